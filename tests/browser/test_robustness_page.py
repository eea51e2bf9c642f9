"""The lab in a real browser: a run, a stop, a file, and a sentence that is followed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Visit = Callable[..., Any]
PAGE = "compare"


@pytest.fixture
def lab(stay: Visit) -> Any:
    page = stay()
    page.evaluate("window.kronvizViews.open('robustness')")
    page.wait_for_selector("#kv-lab-run")
    return page


def test_the_pairs_run_and_can_be_saved(lab: Any) -> None:
    assert "47.3%" in lab.locator("#kv-lab-table").inner_text()
    lab.click("#kv-lab-run")
    lab.wait_for_selector("#kv-lab-table .kv-downloads")
    assert "320 pairs, all read" in lab.locator("#kv-lab-table .kv-progress").inner_text()
    with lab.expect_download() as saved:
        lab.click("#kv-lab-table .kv-downloads a:has-text('CSV')")
    assert len(Path(saved.value.path()).read_text().splitlines()) == 321
    assert lab.locator("#kv-lab-run").is_enabled()
    assert lab.errors == []


def test_a_file_with_a_bad_row_runs_and_names_the_row(lab: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("clean,typo\nThe sun is,The snu is\n,nothing\nThe sky is,<b>The syk</b> is\n")
    lab.get_by_text("A file", exact=True).click()
    lab.set_input_files("#kv-lab-file input[type=file]", file)
    lab.wait_for_selector("#kv-lab-file :text('mine')")
    lab.click("#kv-lab-run")
    lab.wait_for_selector("#kv-lab-table .kv-problems")
    assert "Row 2" in lab.locator("#kv-lab-table .kv-problems").inner_text()
    assert "2 pairs, all read" in lab.locator("#kv-lab-table .kv-progress").inner_text()
    assert lab.locator("#kv-lab-table .kv-more b").count() == 0


def test_words_follow_typing_and_a_pressed_word_is_followed(lab: Any) -> None:
    lab.fill("#kv-lab-text textarea, #kv-lab-text input", "Seven days make one whole week")
    lab.wait_for_function("document.querySelectorAll('#kv-lab-words .kv-hurt').length === 12")
    lab.locator("#kv-lab-words .kv-hurt").nth(4).click()
    lab.wait_for_selector("#kv-lab-words .kv-hurt[data-word='5'][aria-pressed='true']")
    assert "Seven␣days␣make␣one␣" in lab.locator("#kv-lab-strip .kv-lab-line").inner_text()
