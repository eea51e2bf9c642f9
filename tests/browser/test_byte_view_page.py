"""The byte view in a real browser: cells read off the page, typing, walking, links, keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from walking import cut_off

from kronviz import codec

Visit = Callable[..., Any]
TEXT, SECOND = "#kv-byte-text input", "#kv-byte-with input"
SIXTY = "A string of sixty bytes, all of them letters or blanks, so s"
SEVEN = ("run", " run", "naïve", "नमस्ते", "👩‍🚀", "\x07", SIXTY)
CELLS = """() => [...document.querySelectorAll("#kv-byte-sheet .kv-lit")]
    .map((cell) => [Number(cell.dataset.position), cell.dataset.byte])"""


NONSENSE = "&text=run&positions=99&edit=melt&at=-7&vocabulary=klingon"


def open_bytes(stay: Visit) -> Any:
    """The tab, by a link: one that makes no sense opens it all the same."""
    page = stay(f"?tab=bytes{NONSENSE}")
    page.wait_for_selector("#kv-byte-sheet .kv-lit, #kv-byte-sheet .kv-refused", state="visible")
    page.wait_for_selector("#kv-byte-near .kv-near")
    return page


def wait_for(page: Any, text: str) -> None:
    """Until the sheet on the page is that of this text."""
    page.wait_for_function(
        "(text) => document.querySelector('#kv-byte-sheet .kv-bytes')?.dataset.of === text",
        arg=text,
    )


def cosine(page: Any) -> str:
    return page.locator("#kv-byte-both tbody .kv-like-number").first.inner_text()


@pytest.mark.parametrize("text", SEVEN)
def test_the_cells_on_the_page_are_those_of_the_string(stay: Visit, text: str) -> None:
    page = open_bytes(stay)
    if text != "run":  # As the link has it.
        page.fill(TEXT, text)
    wait_for(page, text)
    kept = codec.truncate(text.encode(), 16)
    cells = sorted((place, byte) for place, byte in page.evaluate(CELLS))
    assert cells == [(place, f"{byte:02x}") for place, byte in enumerate(kept, start=1)]
    cut = len(kept) < len(text.encode())
    assert page.locator(".kv-cut-line").count() == cut
    if cut:
        words = f"Cut after byte {len(kept)} of {len(text.encode())}"
        assert words in page.locator("#kv-byte-sheet .kv-cut-note").inner_text()
    assert "exact" in page.locator("#kv-byte-sheet").inner_text()
    assert page.errors == []


def test_similarities_of_the_papers_pairs_are_on_the_page(stay: Visit) -> None:
    page = open_bytes(stay)
    found = {}
    for button in page.locator("#kv-byte-pairs .kv-try").all():
        button.click()
        first, second = button.get_attribute("data-text"), button.get_attribute("data-with")
        wait_for(page, first)
        page.wait_for_function(
            "(size) => document.querySelectorAll('#kv-byte-both [data-mark]').length === size",
            arg=len(first) + len(second),
        )
        found[first, second] = cosine(page)
    assert found["compute", "commute"] == "0.857"
    assert found["nation", "ration"] == "0.833"
    assert found["run", "runs"] == "0.866"
    assert found["code", "codes"] == "0.894"
    assert found["run", " run"] == "0.000"


def test_typing_asks_once_and_then_rests(stay: Visit) -> None:
    page = open_bytes(stay)

    def asked() -> int:
        return len([url for url in page.requests if "/run/predict" in url])

    def at_rest() -> int:
        """The number of requests, once none has been made for a while."""
        last = -1
        while last != (last := asked()):
            page.wait_for_timeout(300)
        return last

    page.fill(TEXT, "one")
    wait_for(page, "one")
    before = at_rest()
    page.locator(TEXT).press_sequentially(" and more", delay=30)
    wait_for(page, "one and more")
    assert 2 <= at_rest() - before <= 2 * len(" and more")


LATE = """const now = window.fetch;
    const said = new Promise((go) => { window.follow = go; });
    window.fetch = async (...asked) => {
        if (String(asked[1]?.body).includes("?tab=")) await said;
        return now(...asked);
    };"""
"""Holds the link back until `window.follow` is called."""


def test_what_is_typed_before_a_link_was_followed_stays(visit: Visit) -> None:
    page = visit("?tab=bytes&text=link&with=%20other&positions=8", script=LATE)
    page.fill(TEXT, "mine")
    assert page.input_value(SECOND) != " other", "the link was followed already"
    page.evaluate("window.follow()")
    page.wait_for_function(f"document.querySelector('{SECOND}').value === ' other'")
    wait_for(page, "mine")
    assert page.input_value(TEXT) == "mine"
    page.wait_for_function("new URLSearchParams(location.search).get('text') === 'mine'")
    page.get_by_role("radio", name="8", exact=True).and_(page.locator(":checked")).wait_for()


def test_the_place_of_a_link_is_shown_after_typing_into_the_other_field(visit: Visit) -> None:
    page = visit("?tab=bytes&text=extraordinary&edit=delete&at=13", script=LATE)
    page.fill(SECOND, "mine")
    page.evaluate("window.follow()")
    wait_for(page, "extraordinary")
    page.wait_for_selector("#kv-byte-walk .kv-walk-edit >> text=extraordinar")
    page.fill(TEXT, "extraordinarily")
    wait_for(page, "extraordinarily")


def test_the_slider_and_a_click_walk_through_the_word(stay: Visit) -> None:
    page = open_bytes(stay)
    page.fill(TEXT, "magnet")
    wait_for(page, "magnet")
    edit = page.locator("#kv-byte-walk .kv-walk-edit")
    page.get_by_role("radio", name="Substitute").check()
    page.wait_for_function("document.querySelector('.kv-fall-here')?.dataset.kind === 'substitute'")
    assert "xagnet" in edit.inner_text()
    slider = page.locator("#kv-byte-place input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_selector("#kv-byte-walk .kv-walk-edit >> text=mxgnet")
    page.locator('.kv-column[data-kind="delete"][data-place="4"]').click()
    page.wait_for_selector("#kv-byte-walk .kv-walk-edit >> text=maget")
    assert page.locator(".kv-column-here").get_attribute("data-place") == "4"
    page.fill(TEXT, "ox")
    wait_for(page, "ox")
    assert page.locator("#kv-byte-place input[type=range]").get_attribute("max") == "3"


def test_all_256_rows_are_one_gesture_away(stay: Visit) -> None:
    page = open_bytes(stay)
    height = "() => document.querySelector('#kv-byte-sheet .kv-sheet').offsetHeight"
    before = page.evaluate(height)
    page.get_by_label("All 256 rows").check()
    page.wait_for_function(f"({height})() > {before} + 1500")
    page.fill(TEXT, "kept")
    wait_for(page, "kept")
    assert page.evaluate(height) > before + 1500, "typing folded the rows again"
    page.get_by_label("All 256 rows").uncheck()
    page.wait_for_function(f"({height})() < 900")


def test_bad_input_is_one_sentence_in_place(stay: Visit) -> None:
    page = open_bytes(stay)
    page.fill(TEXT, "é" * 101)
    page.wait_for_selector("#kv-byte-sheet .kv-refused >> text=202 bytes; this view takes 200")
    page.fill(TEXT, "")
    page.wait_for_selector("#kv-byte-sheet .kv-refused >> text=empty")
    page.fill(SECOND, "")
    page.fill(TEXT, "run")
    page.wait_for_selector("#kv-byte-both .kv-refused >> text=second string is empty")
    assert page.errors == []


def test_a_link_brings_the_view_back_and_typing_keeps_it_current(visit: Visit) -> None:
    """Also a place beyond the end of the word that is there first."""
    text = quote("naïve & <b>")
    page = visit(f"?tab=bytes&text={text}&with=%20run&positions=32&edit=swap&at=10")
    wait_for(page, "naïve & <b>")
    assert page.input_value(SECOND) == " run"
    assert page.locator("#kv-byte-sheet .kv-position").count() == 32
    page.wait_for_selector(".kv-column-here[data-kind=swap][data-place='10']")
    page.wait_for_selector("#kv-byte-walk .kv-walk-edit:has-text('<>b')")
    page.fill(TEXT, "👩‍🚀")
    page.wait_for_function("location.search.includes(encodeURIComponent('👩‍🚀'))")
    query = parse_qs(urlsplit(page.url).query)
    assert query["tab"] == ["bytes"]
    assert query["with"] == [" run"]
    assert (query["positions"], query["edit"]) == (["32"], ["swap"])
    assert page.errors == []


def test_a_link_sets_the_controls_without_a_text(visit: Visit) -> None:
    page = visit("?tab=bytes&positions=8&edit=delete&at=3&vocabulary=cl100k_base")
    page.wait_for_function("document.querySelectorAll('#kv-byte-sheet .kv-position').length === 8")
    page.wait_for_selector(".kv-column-here[data-kind=delete][data-place='3']")
    page.wait_for_selector("#kv-byte-near :text('in cl100k')")
    assert page.errors == []


def test_the_keyboard_moves_through_cells_and_hears_what_they_are(stay: Visit) -> None:
    page = open_bytes(stay)
    page.fill(TEXT, "run")
    wait_for(page, "run")
    sheet = page.locator("#kv-byte-sheet .kv-sheet")
    assert sheet.locator('[data-told][tabindex="0"]').count() == 1
    page.locator("#kv-byte-sheet .kv-lit").first.focus()
    told = page.locator("#kv-float")
    assert "Position 3, n, byte 6e" in told.inner_text()
    page.keyboard.press("ArrowRight")
    assert "Position 1, r, byte 72: cell 1,824 of 4,096 (114 × 16 + 0)" in told.inner_text()
    assert "1/√3 = 0.577; 36.93 once normalised" in told.inner_text()
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.closest('.kv-sheet')")


def test_every_explained_number_has_a_name(stay: Visit) -> None:
    page = open_bytes(stay)
    nameless = page.evaluate(
        "[...document.querySelectorAll('[data-told]')].filter((e) => !e.ariaLabel).length"
    )
    assert nameless == 0


def test_tokens_that_share_a_code_are_counted(stay: Visit) -> None:
    page = open_bytes(stay)
    page.get_by_role("button", name="Tokens that share a code").click()
    page.wait_for_selector("#kv-byte-shared .kv-counts", timeout=120_000)
    shown = page.locator("#kv-byte-shared").inner_text()
    for figure in ("50,226", "49,893", "GPT-2", "cl100k", "o200k"):
        assert figure in shown


def test_a_phone_needs_no_sideways_scroll(stay: Visit) -> None:
    page = open_bytes(stay)
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("radio", name="32", exact=True).check()
    for text in ("run", SIXTY, "नमस्ते"):
        page.fill(TEXT, text)
        wait_for(page, text)
        page.wait_for_function(
            "document.querySelectorAll('#kv-byte-sheet .kv-position').length === 32"
        )
        assert cut_off(page) == []
