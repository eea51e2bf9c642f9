"""The keyboard alone works everything: each kind of control of each tab, and the walk through all.

A mouse is never used. The focus is put onto a control, because the walk by Tab shows that each can
be reached; from there on only keys are pressed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from walking import ALIKE, open_tab, press, settle, slowly

from kronviz.app.page import TABS
from kronviz.app.tabs.generate import tab as generate
from kronviz.maps.umap_layout import main_axes
from kronviz.probes.outcomes import outcomes

Visit = Callable[..., Any]
PAGE = "whole"


@pytest.fixture
def page(stay: Visit) -> Any:
    return stay()


def write(page: Any, where: str, text: str) -> None:
    press(page, where, "Control+a")
    page.keyboard.type(text)


def go(page: Any, tab: str) -> None:
    open_tab(page, tab)


def chosen(page: Any, part: str) -> str:
    return page.locator(f"{part} input:checked").input_value()


def saves(page: Any, where: str, key: str = "Enter") -> bytes:
    with page.expect_download() as saved:
        press(page, where, key)
    return Path(saved.value.path()).read_bytes()


def test_compare(page: Any) -> None:
    go(page, "compare")
    write(page, "#kv-typo textarea", "Teh cat")
    page.wait_for_function(
        "document.querySelectorAll('.kv-chips')[1].textContent.replaceAll('␣', ' ') === 'Teh cat'"
    )
    press(page, ".kv-example >> nth=1", "Enter")
    page.wait_for_function("document.querySelector('#kv-typo textarea').value !== 'Teh cat'")
    press(page, "#kv-how > button", "Space")
    page.wait_for_selector("#kv-how input[type=range]")
    kind = "#kv-how input[type=checkbox]"
    before = page.locator(kind).first.is_checked()
    for now in (not before, before):
        press(page, kind, "Space")
        page.wait_for_function(
            "([kind, now]) => document.querySelector(kind).checked === now", arg=[kind, now]
        )
    press(page, "#kv-how input[type=range]", "ArrowRight")
    assert page.locator("#kv-how input[type=range]").input_value() == "2"
    press(page, "[aria-label='Seed']", "ArrowUp")
    press(page, "#kv-misspell", "Space")
    page.wait_for_selector(".kv-edits li >> nth=1")
    press(page, "#kv-tab-compare .kv-explained > summary", "Enter")
    page.wait_for_selector("#kv-tab-compare .kv-explained[open]")
    assert saves(page, "#kv-answer > .kv-save button[aria-label$='as PNG']").startswith(b"\x89PNG")
    assert b"kron" in saves(page, "#kv-answer > .kv-save button[aria-label*='table']")
    dark = "document.body.classList.contains('dark')"
    press(page, ".kv-theme", "Enter")
    assert page.evaluate(dark)
    press(page, ".kv-theme", "Space")
    assert not page.evaluate(dark)
    press(page, ".kv-copy", "Enter")
    page.wait_for_selector("text=Link copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_the_byte_sheet(page: Any) -> None:
    go(page, "bytes")
    write(page, "#kv-byte-text input", "magnet")
    page.wait_for_selector(".kv-bytes[data-of=magnet]")
    size = chosen(page, "#kv-byte-positions")
    press(page, "#kv-byte-positions input:checked", "ArrowRight")
    assert chosen(page, "#kv-byte-positions") != size
    press(page, "#kv-byte-positions input:checked", "ArrowLeft")
    press(page, "#kv-byte-rows input", "Space")
    assert page.locator("#kv-byte-rows input").is_checked()
    press(page, "#kv-byte-rows input", "Space")
    press(page, "#kv-byte-kind input:checked", "ArrowRight")
    kind = chosen(page, "#kv-byte-kind")
    page.wait_for_selector(f".kv-fall-here[data-kind={kind}]")
    press(page, "#kv-byte-place input[type=range]", "Home", "ArrowRight")
    page.wait_for_selector(".kv-column-here[data-place='2']")
    press(page, "#kv-byte-collisions > button", "Enter")
    page.wait_for_selector("#kv-byte-shared .kv-counts")
    press(page, "#kv-byte-collision-controls input:checked", "ArrowRight")
    page.wait_for_function("document.querySelector('#kv-byte-collision-controls input:checked')"
                           ".value !== 'r50k_base'")  # fmt: skip
    press(page, "#kv-byte-pairs .kv-try", "Enter")
    page.wait_for_function("document.querySelector('#kv-byte-with input').value === ' horse'")


def test_the_map(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kronviz.maps.fresh.layout", lambda vectors, **settings: main_axes(vectors))
    go(page, "map")
    plot = "window.kronvizMap.plots.left"
    page.wait_for_function("window.kronvizMap?.plots?.left?.count > 500")
    page.wait_for_selector("#kv-map-near [data-answer]")
    press(page, "#kv-map-colour", "ArrowDown")
    page.wait_for_selector(".kv-map-key button")
    press(page, ".kv-map-key button", "Enter")
    page.wait_for_selector(".kv-map-key [aria-pressed=true]")
    press(page, ".kv-map[data-side=left] [data-zoom=in]", "Enter")
    page.wait_for_function(f"{plot}.view.z > {plot}.home.z")
    frame = ".kv-map[data-side=left] .kv-map-frame"
    press(page, frame, "0", "+", "ArrowRight", "ArrowUp")
    home, view = page.evaluate(f"[{plot}.home, {plot}.view]")
    assert view["z"] > home["z"]
    assert view["x"] > home["x"]
    assert view["y"] > home["y"]
    # What Enter selects is told before.
    token = page.evaluate(f"{plot}.middle()")
    for _ in range(20):
        if token is not None:
            break
        page.keyboard.press("-")
        token = page.evaluate(f"{plot}.middle()")
    assert f"id {token}," in page.locator("#kv-float").inner_text()
    said = page.locator(".kv-map[data-side=left] .kv-map-aimed").text_content()
    assert said == page.locator("#kv-float").inner_text().split("\n")[0]
    page.keyboard.press("Enter")
    answer = "JSON.parse(document.querySelector('#kv-map-near [data-answer]').dataset.answer)"
    page.wait_for_function(f"{answer}.sides[0].token === {token}")
    other = page.locator("#kv-map-near .kv-map-token").first.get_attribute("data-id")
    press(page, "#kv-map-near .kv-map-token", "Enter")
    page.wait_for_function(f"{answer}.sides[0].token === {other}")
    write(page, "#kv-map-base :is(input, textarea)", "run")
    press(page, "#kv-map-rules input", "Space")
    press(page, "#kv-map-add", "Enter")
    page.wait_for_function(
        "document.querySelector('#kv-map-words textarea').value.includes('runs')"
    )
    page.wait_for_selector("#kv-map-placed [data-placed]")
    assert b"runs" in saves(page, "#kv-map-distances", "Space")
    press(page, "#kv-map-anew", "Enter")
    press(page, ".kv-map-back", "Enter")
    page.wait_for_function("!window.kronvizMap.shown.fresh")
    assert saves(page, "[data-save=png]").startswith(b"\x89PNG")


def test_generate_and_stop(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go(page, "generate")
    press(page, "#kv-gen-mode input:checked", "ArrowRight")
    assert chosen(page, "#kv-gen-mode") == "typo"
    press(page, "#kv-gen-mode input:checked", "ArrowLeft")
    press(page, "#kv-gen-knobs > button", "Enter")
    page.wait_for_selector("#kv-gen-max_tokens input[type=range]")
    settle(page)
    press(page, "#kv-gen-max_tokens input[type=range]", "Home", "ArrowRight")
    assert page.locator("#kv-gen-max_tokens input[type=range]").input_value() == "2"
    write(page, "#kv-gen-prompt :is(input, textarea)", "Once upon a")
    page.keyboard.press("Enter")
    done = ".kv-gen-result[data-finished]:has-text('Once upon a')"
    page.wait_for_selector(done)
    write(page, "#kv-gen-max_tokens input[type=number]", "50")
    page.keyboard.press("Tab")
    monkeypatch.setattr(generate, "side_by_side", slowly(generate.side_by_side, 0.15))
    press(page, "#kv-gen-start", "Enter")
    # The run before says last of all that there is nothing to stop: now it is over.
    page.wait_for_selector(".kv-gen-result:not([data-finished]) .kv-gen-token")
    page.wait_for_selector("#kv-gen-stop:not([disabled])")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "kv-gen-stop"
    page.keyboard.press("Enter")
    page.wait_for_selector("#kv-gen-status >> text=Stopped.")
    page.wait_for_selector("#kv-gen-stop[disabled]")
    written = page.locator(".kv-gen-token").count()
    page.wait_for_timeout(400)
    assert page.locator(".kv-gen-token").count() == written
    assert written < 50, "it was not stopped but came to its end"
    assert page.locator("text=Stopped.").count() == 1
    press(page, "#kv-gen-max_tokens input[type=range]", "Home", "ArrowRight")
    monkeypatch.undo()
    press(page, ".kv-gen-try", "Enter")
    page.wait_for_selector(".kv-gen-result[data-finished] .kv-downloads")
    assert saves(page, ".kv-gen-result .kv-downloads a:has-text('CSV')")
    write(page, "#kv-echo-strings textarea", "zyzzyva")
    press(page, "#kv-echo-run", "Enter")
    page.wait_for_selector("#kv-echo-shown .kv-downloads")
    press(page, "#kv-echo-shown summary", "Enter")
    page.wait_for_selector("#kv-echo-shown details[open]")


def test_runs_files_and_words(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(page, "robustness")
    monkeypatch.setattr("kronviz.probes.robustness.outcomes", slowly(outcomes, 0.15))
    monkeypatch.setattr("kronviz.probes.outcomes.BATCH_TOKENS", 100)
    write(page, "#kv-lab-pairs input[type=number]", "11")
    press(page, "#kv-lab-run", "Enter")
    page.wait_for_selector("#kv-lab-run-cancel:not([disabled])")
    # The button that was pressed has been disabled; the next Tab goes on from there.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "kv-lab-run-cancel"
    page.wait_for_function("document.querySelector('#kv-lab-table progress')?.value > 0")
    page.keyboard.press("Space")
    page.wait_for_selector("#kv-lab-table .kv-downloads")
    monkeypatch.undo()
    said = page.locator("#kv-lab-table .kv-progress").inner_text()
    assert "Stopped:" in said
    assert "320 pairs, all read" not in said
    press(page, "#kv-lab-source input:checked", "ArrowRight")
    (tmp_path / "mine.csv").write_text("clean,typo\nThe sun is,The snu is\n")
    with page.expect_file_chooser() as asked:
        press(page, "#kv-lab-file button", "Enter")
    asked.value.set_files(tmp_path / "mine.csv")
    page.wait_for_selector("#kv-lab-file :text('mine')")
    press(page, "#kv-lab-run", "Enter")
    page.wait_for_selector("#kv-lab-table :text('1 pair, all read')")
    press(page, "#kv-lab-file :is([aria-label='Clear'], button[aria-label*='emove'])", "Enter")
    page.wait_for_selector("#kv-lab-file :text('mine')", state="detached")
    press(page, "#kv-lab-table .kv-more > summary", "Enter")
    page.wait_for_selector("#kv-lab-table .kv-more[open]")
    for key, word in (("Enter", 4), ("Space", 6)):
        press(page, f"#kv-lab-words .kv-hurt[data-word='{word}']", key)
        page.wait_for_selector(f"#kv-lab-words .kv-hurt[data-word='{word}'][aria-pressed=true]")
    press(page, "#kv-lab-word input[type=range]", "ArrowRight")
    page.wait_for_selector("#kv-lab-words .kv-hurt[data-word='7'][aria-pressed=true]")


RUNS = {
    "generate": {"#kv-gen-start": ".kv-gen-result .kv-downloads"},
    "layers": {"#kv-lay-start": "#kv-lay-details .kv-command"},
    "robustness": {
        "#kv-lab-run": "#kv-lab-table .kv-downloads",
        "#kv-lab-recovery": "#kv-lab-forgetting .kv-downloads",
    },
    "your-model": {"#kv-table-run": "#kv-table-shown .kv-downloads"},
    "cost": {"#kv-cost-start": "#kv-cost-times .kv-command"},
}
"""What each tab's runs are started by, and what is there once they are over."""


@pytest.mark.usefixtures("few_pairs")
def test_other_runs(page: Any) -> None:
    go(page, "your-model")
    press(page, "#kv-tab-your-model input[type=range]", "Home")
    for tab, runs in RUNS.items():
        go(page, tab)
        for button, result in runs.items():
            if not page.locator(result).count():
                press(page, button, "Enter")
                page.wait_for_selector(result)
    press(page, "#kv-cost-dtype input:checked", "ArrowRight")
    page.wait_for_selector("text=--dtype bfloat16")
    press(page, "#kv-cost-pos input[type=range]", "ArrowRight")
    page.wait_for_selector("text=--pos-dim 17")
    go(page, "about")
    press(page, ".kv-copy-text", "Enter")
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("@misc{shravan2026")


SHORT_LISTS = f"({ALIKE})().forEach((one) => one.inert = !one.matches('[class*=svelte]'))"
"""Leaves three of each of our lists; Gradio's own parts may look alike and differ."""
CONTROLS = """(where) => {
    const part = document.querySelector(where);
    part.querySelectorAll("details").forEach((fold) => { fold.open = true; });
    const all = [...part.querySelectorAll(
        "a[href], button, input, textarea, select, summary, [tabindex]")]
        .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled
            && !one.closest("[inert]") && one.tabIndex >= 0
            && (one.type !== "radio" || one.checked));
    window.__seen = new Map();
    window.__walked ??= document.addEventListener("focusin", ({ target }) => {
        const { outlineStyle, outlineWidth, opacity } = getComputedStyle(target);
        const ring = outlineStyle !== "none" && parseFloat(outlineWidth) >= 1 && opacity > 0;
        window.__seen.set(target, ring);
    }) ?? true;
    window.__controls = all;
    const name = part.id.replace("kv-tab-", "");
    const links = document.querySelectorAll(
        `.kv-bar-of-views [data-view="${name}"], .kv-masthead [data-opens="${name}"]`);
    const start = [...links].filter((one) => one.checkVisibility()).at(-1) ?? document.body;
    if (start === document.body) start.tabIndex = -1;
    start.focus();
    document.body.removeAttribute("tabindex");
    window.__seen.clear();
    return all.length;
}"""
FOOT = "window.__seen.has([...document.querySelectorAll('.kv-footer a')].at(-1))"
WALKED = """() => {
    const named = (one) => one.outerHTML.slice(0, 120);
    return {
        missed: window.__controls
            .filter((one) => one.isConnected && !window.__seen.has(one)).map(named),
        unseen: [...window.__seen].filter(([, ring]) => !ring).map(([one]) => named(one)),
    };
}"""


@pytest.mark.usefixtures("few_pairs")
def test_tab_alone_reaches_every_control_of_every_tab(page: Any) -> None:
    """By Tab from the tab's own button through all that can be used, to the foot of the page.

    What only a run brings is there too. Of a list three are walked through.
    """
    faults = {}
    for place, tab in enumerate(TABS):
        open_tab(page, tab.name)
        for button, result in RUNS.get(tab.name, {}).items():
            if not page.locator(result).count():
                page.locator(button).click()
                page.wait_for_selector(result)
        folds = page.locator(f"#kv-tab-{tab.name} .label-wrap:not(.open)")
        for _ in range(folds.count()):
            folds.first.click()
        page.wait_for_timeout(30)  # For what was folded to be drawn.
        page.evaluate(SHORT_LISTS)
        controls = page.evaluate(CONTROLS, f"#kv-tab-{tab.name}" if place else "html")
        for pressed in range(controls + 60):
            page.keyboard.down("Tab")
            if pressed % 12 == 11 and page.evaluate(FOOT):
                break
        else:
            faults[tab.name] = "Tab never came to the foot of the page"
        found = page.evaluate(WALKED)
        if any(found.values()):
            faults[tab.name] = found
    page.evaluate("document.querySelectorAll('[inert]').forEach((one) => one.inert = false)")
    assert faults == {}
