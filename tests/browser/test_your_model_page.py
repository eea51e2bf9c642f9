"""Your model and the lab's links in a real browser: files are measured, links bring runs back,
and what other models said is dimmed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from walking import cut_off, open_tab

Visit = Callable[..., Any]
LAB = (
    "?tab=robustness&robustness.pairs-source=sentences&robustness.pairs-seed=7"
    "&robustness.pairs-sentences=The+sun+rises+in+the&robustness.pairs-kinds=drop"
    "&robustness.text=One+small+step&robustness.word=3&robustness.run=pairs"
)


def test_a_link_brings_settings_and_run_back(visit: Visit) -> None:
    page = visit("?tab=your-model&your-model.map=0&your-model.words=the&your-model.run=measured")
    page.wait_for_selector("#kv-table-shown .kv-downloads")
    assert page.input_value("#kv-table-words :is(input, textarea)") == "the"
    assert page.locator("#kv-table-shown .kv-model-words section").count() == 1
    assert "0.553" in page.locator("#kv-table-shown").inner_text()
    page.fill("#kv-table-words :is(input, textarea)", "the, and")
    page.wait_for_function("location.search.includes('your-model.words=the%2C+and')")
    assert "your-model.map=0" in page.url
    with page.expect_download() as saved:
        page.click("#kv-table-shown .kv-downloads a:has-text('JSON')")
    assert json.loads(Path(saved.value.path()).read_text())["source"] == "toy, bpe"
    assert page.errors == []


def test_files_are_measured_and_others_refused_on_a_phone(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "run runs walk walks stone stones house houses red reds time times".split()
    tokens = ["<s>", *(f"▁{w}" for w in words), *words]
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    rng = np.random.default_rng(1)
    np.save(tmp_path / "mine.npy", rng.normal(size=(len(tokens), 8)).astype("f4"))
    (tmp_path / "bad.bin").write_bytes(b"PK\x03\x04" + b"\0" * 5000)
    page = visit("?tab=your-model&your-model.map=0", width=390, height=844)
    page.get_by_text("My files", exact=True).click()
    page.click("#kv-table-run")
    page.wait_for_selector("#kv-table-shown .kv-refused")
    assert "Two files are needed" in page.locator("#kv-table-shown").inner_text()
    for name, file in (("vectors", "bad.bin"), ("tokens", "tokens.json")):
        page.set_input_files(f"#kv-table-{name} input[type=file]", tmp_path / file)
        page.wait_for_selector(f"#kv-table-{name} :text('{file.partition('.')[0]}')")
    page.click("#kv-table-run")
    page.wait_for_selector("#kv-table-shown .kv-refused:has-text('an archive')")
    page.click(
        "#kv-table-vectors button[aria-label*='emove'], #kv-table-vectors [aria-label='Clear']"
    )
    page.set_input_files("#kv-table-vectors input[type=file]", tmp_path / "mine.npy")
    page.wait_for_selector("#kv-table-vectors :text('mine')")
    page.click("#kv-table-run")
    page.wait_for_selector("#kv-table-shown .kv-downloads")
    assert "mine.npy" in page.locator("#kv-table-shown").inner_text()
    assert cut_off(page) == []
    # UMAP alone would take longer than all of this.
    monkeypatch.setattr("kronviz.maps.store.lay_out", lambda found, start, *rest: start)
    page.click("[data-on-map]")
    page.wait_for_function(
        "['left', 'right'].every((side) => {"
        "  const map = window.kronvizMap?.maps[side];"
        "  return map?.points?.length === 48 && map.about.space.startsWith('table');"
        "})"
    )
    page.fill("#kv-map-word :is(input, textarea)", " run")
    page.wait_for_selector("#kv-map-near .kv-arm-name:has-text('your table')")
    assert "␣runs" in page.locator("#kv-map-near .kv-panel").first.inner_text()
    assert cut_off(page) == []
    assert page.errors == []


def test_a_link_brings_the_lab_back(stay: Visit) -> None:
    page = stay(LAB)
    page.wait_for_selector("#kv-lab-table .kv-downloads")
    assert "1 pair, all read" in page.locator("#kv-lab-table .kv-progress").inner_text()
    page.wait_for_selector("#kv-lab-words .kv-hurt[data-word='3'][aria-pressed='true']")
    assert page.input_value("#kv-lab-pairs input[type=number]") == "7"


def test_figures_of_the_models_before_are_dim_until_those_of_the_chosen_are_there(
    stay: Visit,
) -> None:
    page = stay(LAB)
    page.wait_for_selector("#kv-lab-table .kv-downloads")
    page.evaluate("window.kronviz.stale()")
    for part in ("#kv-answer", "#kv-lab-table", "#kv-lab-words"):
        assert page.get_attribute(part, "aria-busy") == "true", part
    open_tab(page, "layers")
    page.wait_for_selector("#kv-lay-status[aria-busy]", state="attached")
    page.wait_for_function("getComputedStyle(document.getElementById('kv-lab-table')).opacity < .5")
    page.evaluate("window.kronviz.fresh('.kv-of-models')")
    assert page.locator("#kv-lab-table[aria-busy], #kv-lay-status[aria-busy]").count() == 0
    open_tab(page, "robustness")
    page.fill("#kv-lab-text textarea", "A sentence that is new here")
    page.wait_for_selector("#kv-lab-words:not([aria-busy])", state="attached")
    assert page.get_attribute("#kv-answer", "aria-busy") == "true"
    page.evaluate("document.querySelector('#kv-typo textarea').value = 'Once apon a time'")
    page.locator("#kv-typo textarea").dispatch_event("input")
    page.wait_for_selector("#kv-answer:not([aria-busy])", state="attached")
    assert page.errors == []


def test_a_link_fetches_nothing_and_what_it_asks_in_vain_is_said(visit: Visit) -> None:
    page = visit(
        "?tab=your-model&your-model.source=hub&your-model.run=measured&your-model.seed=-1"
        f"&your-model.words={'x' * 9_000}"
    )
    page.wait_for_selector("#kv-ignored >> text=your-model.seed is '-1'")
    page.wait_for_selector("#kv-table-model :is(input, textarea)")
    page.wait_for_timeout(800)  # A link's run starts after 300.
    assert page.locator("#kv-table-shown .kv-refused, #kv-table-shown .kv-progress").count() == 0
    assert page.locator("#kv-table-run").is_enabled()
    page.click(".kv-bar-of-views [data-view=map]")
    page.wait_for_selector("#kv-ignored", state="hidden")
