"""The whole app for everyone: the guided path, About, keyboard, screen readers, phones, links,
and what can be taken along.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from walking import ALIKE, SELECTED, cut_off, open_tab, press

from kronviz.app.guide import STEPS
from kronviz.app.page import TABS

Visit = Callable[..., Any]
PAGE = "whole"


@pytest.fixture(scope="session")
def axe() -> str:
    package = pytest.importorskip(
        "axe_playwright_python", reason="axe-playwright-python is not installed"
    )
    return (resources.files(package) / "axe.min.js").read_text(encoding="utf-8")


KINDS = """() => {
    const [grounds, kinds] = [new Map(), new Set()];
    for (const one of document.querySelectorAll("body, body *")) {
        const look = getComputedStyle(one);
        const own = [look.backgroundColor, look.backgroundImage, look.opacity].join();
        const below = grounds.get(one.parentElement) ?? "";
        const ground = own === "rgba(0, 0, 0, 0),none,1" ? below : `${below} ${own}`;
        grounds.set(one, ground);
        const writes = one.matches("input, textarea, select")
            || [...one.childNodes].some(({ nodeType, data }) => nodeType === 3 && data.trim());
        const off = one.matches(":disabled, [aria-disabled=true] *");
        const view = one.closest("[role=tabpanel]")?.id;
        const kind = [ground, look.color, look.fontSize, look.fontWeight, off, view].join();
        const first = writes && one.checkVisibility() && !kinds.has(kind);
        if (first) kinds.add(kind);
        one.classList.toggle("kv-kind", first);
    }
    axe.configure({ rules: [{ id: "color-contrast", selector: ".kv-kind" }] });
}"""
"""Of texts of one colour on one ground in a view, the contrast of one is measured."""
SEARCH = """async (rules) => {
    const wanted = {resultTypes: ["violations"], preload: false, selectors: false, ...rules};
    const found = await axe.run({...wanted, elementRef: true});
    return found.violations.flatMap(({ id, nodes }) => nodes.map(({ element, html }) =>
        `${element.closest("[role=tabpanel]")?.id}: ${id}: ${html.slice(0, 120)}`));
}"""

ENGLISH = r"""() => {
    const number = /(?<!(section|table|arXiv|License|CC BY|CC BY-SA) )(?<![\w.-])\d+[.,]\d/;
    const texts = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { parentElement: at, data } = walker.currentNode;
        if (at.closest("script, style, code, pre, bdi, .kv-piece, .js-plotly-plot")) continue;
        if (at.closest(".wrap.hide")) continue;  // Gradio's clock, hidden in each part that waits.
        if (!number.test(data)) continue;
        if (at.checkVisibility()) texts.push(data.trim());
    }
    for (const at of document.querySelectorAll("[aria-label]")) {
        const said = at.getAttribute("aria-label");
        if (at.checkVisibility() && !at.querySelector("bdi") && number.test(said)) texts.push(said);
    }
    return texts;
}"""


def search(page: Any, **rules: Any) -> list[str]:
    """What axe finds on the page."""
    page.evaluate(KINDS)
    return page.evaluate(SEARCH, rules)


@pytest.mark.usefixtures("few_pairs")
def test_on_all_views_axe_finds_nothing_numbers_are_the_readers_and_no_other_host_is_asked(
    visit: Visit, axe: str, address: str
) -> None:
    """Every rule over all views; dark and as narrow as a phone, what colours and width change.

    Read in Arabic, whose digits are others: whatever number is left as it was is easily told.
    """
    # Colours that fade from light to dark would be measured half way.
    page = visit(reduced_motion="reduce", locale="ar-EG")
    durations = page.evaluate(
        "[...document.querySelectorAll('.kv-bar')].map(e => getComputedStyle(e).transitionDuration)"
    )
    assert set(durations) == {"0s"}
    shown = page.locator(".kv-score data").first
    exact = float(shown.get_attribute("value"))
    arabic = str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫")
    assert shown.inner_text() == f"{exact:.1%}".translate(arabic)
    english = {}
    for tab in TABS:
        open_tab(page, tab.name)
        if tab.name == "robustness":
            page.click("#kv-lab-run")
            page.wait_for_selector("#kv-lab-table .kv-downloads")
            page.wait_for_timeout(100)
        english[tab.name] = page.evaluate(ENGLISH)
    assert {tab: texts for tab, texts in english.items() if texts} == {}
    page.evaluate(axe)
    page.click(".kv-path-start")
    page.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
    # One below the other: most of its time axe spends on reading the whole page, whatever is asked.
    page.evaluate(
        """() => {
            const every = new CSSStyleSheet();
            every.replaceSync("[role=tabpanel] { display: block !important }");
            document.adoptedStyleSheets.push(every);
        }"""
    )
    page.set_viewport_size({"width": 390, "height": 900})
    assert cut_off(page) == []
    # Of a list three are searched, and no figure's curves.
    page.evaluate(f"({ALIKE})().forEach((one) => one.remove())")
    page.evaluate("document.querySelectorAll('.main-svg > *').forEach((one) => one.remove())")
    page.evaluate("document.body.classList.add('dark')")
    faults = search(page, runOnly=["color-contrast", "scrollable-region-focusable"])
    page.set_viewport_size({"width": 1440, "height": 900})
    page.evaluate("document.body.classList.remove('dark')")
    faults += search(page)
    assert faults == []
    own = (address, "data:", "blob:")
    assert [url for url in page.requests if not url.startswith(own)] == []
    assert page.errors == []


def test_the_path_is_walked_by_keyboard_and_can_be_left(stay: Visit) -> None:
    page = stay()
    assert not page.locator(".kv-path").is_visible()
    press(page, ".kv-path-start", "Enter")
    for number, step in enumerate(STEPS, start=1):
        page.wait_for_function(f"{SELECTED} === '{step.tab}'")
        page.wait_for_function(f"location.search.includes('step={number}')")
        assert page.locator(".kv-step:visible h2").inner_text() == step.title
        assert page.locator(".kv-step-count").inner_text() == f"Step {number} of {len(STEPS)}"
        if number == 1:
            typo = page.input_value("#kv-typo textarea")
            press(page, ".kv-step:visible .kv-step-try", "Enter")
            page.wait_for_function(
                "typo => document.querySelector('#kv-typo textarea').value !== typo", arg=typo
            )
        page.wait_for_selector(step.press, state="attached")
        page.wait_for_selector(step.show, state="attached")
        press(page, ".kv-step-next", "Enter")
    page.wait_for_function(f"{SELECTED} === 'about'")
    page.wait_for_function("!location.search.includes('step')")
    press(page, ".kv-path-start", "Enter")
    assert page.evaluate("document.activeElement.className") == "kv-step-title"
    for button in ("next", "next", "back"):
        press(page, f".kv-step-{button}", "Enter")
    page.wait_for_function(f"{SELECTED} === 'bytes'")
    press(page, ".kv-step-title:visible", "Escape")
    assert not page.locator(".kv-path").is_visible()
    assert page.evaluate("document.activeElement.className") == "kv-path-start"
    assert page.locator(".kv-path-start").inner_text() == f"Back to step 2 of {len(STEPS)}"
    page.keyboard.press("Enter")
    assert page.locator(".kv-step:visible h2").inner_text() == STEPS[1].title
    press(page, ".kv-step-off", "Enter")
    page.wait_for_selector(".kv-path", state="hidden")
    assert page.errors == []


def test_a_link_names_its_step_and_a_phone_shows_the_page_as_wide_as_it_is(visit: Visit) -> None:
    page = visit("?step=2", width=390, height=844, is_mobile=True, has_touch=True)
    page.wait_for_function(f"{SELECTED} === 'bytes'")
    page.locator(".kv-step:visible .kv-step-try").click()
    page.wait_for_function("document.querySelector('#kv-byte-with input, #kv-byte-with textarea')"
                           ".value === 'hunderd'")  # fmt: skip
    assert cut_off(page) == []
    open_tab(page, "compare")
    page.fill("#kv-typo textarea", "w" * 48)
    page.wait_for_function(
        """document.querySelectorAll(".kv-chips")[1].textContent === "w".repeat(48)"""
    )
    assert cut_off(page) == []


def test_the_footer_leads_to_the_documentation_of_the_endpoints(visit: Visit) -> None:
    page = visit("?view=api")
    page.wait_for_selector(".api-docs :text('/compare')", state="attached")
    assert page.locator("footer:visible").count() == 1, "Gradio's own is not shown"
    assert page.locator(".kv-footer a:text('API')").get_attribute("href") == "?view=api"
    asked = [url for url in page.requests if "/gradio_api/run/" in url]
    assert len(asked) <= 1, "no view was linked to, so none has to be restored"
    assert page.errors == []


def test_how_it_works_draws_the_method_and_about_has_figures(stay: Visit) -> None:
    page = stay()
    open_tab(page, "bytes")
    page.wait_for_selector(".kv-method svg", state="visible")
    assert page.locator(".kv-method svg[role=img]").count() == 4
    open_tab(page, "about")
    assert page.locator("#kv-about-figures tbody tr").count() >= 8


def test_a_result_is_saved_as_picture_and_table(stay: Visit) -> None:
    page = stay()
    open_tab(page, "compare")
    line = page.locator("#kv-answer > .kv-save")
    starts = {"as PNG": b"\x89PNG", "as SVG": b"<svg"}
    for name, start in starts.items():
        with page.expect_download() as waiting:
            line.get_by_role("button", name=name).click()
        assert waiting.value.suggested_filename.startswith("kronviz-compare-comparison.")
        with open(waiting.value.path(), "rb") as file:
            data = file.read()
        assert data.startswith(start)
        assert len(data) > 10_000
    with page.expect_download() as waiting:
        line.get_by_role("button", name="table “bpe”").click()
    with open(waiting.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["Next token", "clean", "misspelled"]
    assert len(rows) == 11
    assert 0 < float(rows[1][1]) < 1


def test_a_figure_is_saved_by_plotly(stay: Visit) -> None:
    page = stay()
    open_tab(page, "training")
    line = page.locator("#kv-tab-training .kv-plot > .kv-save").first
    with page.expect_download() as waiting:
        line.get_by_role("button", name="as SVG").click()
    assert waiting.value.suggested_filename == "kronviz-training-loss.svg"
    with open(waiting.value.path(), encoding="utf-8") as file:
        assert 'class="main-svg"' in file.read()


def test_a_cell_that_looks_like_a_formula_is_inert(stay: Visit) -> None:
    page = stay()
    cells = ["=1+1", "+SUM(A1)", "-2+3+cmd|' /C calc'!A0", "@x", "−0.25", "+1.5 nats", 'a "b", c']
    text = page.evaluate(
        """(cells) => {
            const table = document.createElement("table");
            const row = table.insertRow();
            cells.forEach((text) => { row.insertCell().textContent = text; });
            return window.kronvizShare.csv(table);
        }""",
        cells,
    )
    assert next(csv.reader(io.StringIO(text))) == [
        "'=1+1", "'+SUM(A1)", "'-2+3+cmd|' /C calc'!A0", "'@x", "-0.25", "+1.5 nats", 'a "b", c',
    ]  # fmt: skip


def test_the_cost_tabs_figures_write_numbers_the_readers_way_and_its_link_holds_the_controls(
    visit: Visit,
) -> None:
    page = visit("?tab=cost&of=number&tokens=32000&p=32&dtype=bfloat16", locale="de-DE")
    page.wait_for_selector("text=--vocabulary 32000 --pos-dim 32 --d-model 768 --dtype bfloat16")
    page.locator("#kv-cost-dtype input[value=float16]").click()
    page.wait_for_function("location.search.includes('dtype=float16')")
    assert "tokens=32000" in page.url
    page.wait_for_selector("#kv-tab-cost .xtick :text('10.000')")
    page.wait_for_function(
        "document.querySelector('#kv-cost-vocabulary').innerText.includes('50.257')"
    )
    page.wait_for_selector("#kv-tab-cost .annotation-text, #kv-tab-cost .textpoint")
    shown = page.locator("#kv-tab-cost .textpoint").all_text_contents()
    assert any("," in text for text in shown)
    assert not any("." in text for text in shown)
