"""Generate and Layers in a real browser: written, stopped, shared, measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from odd_inputs import MARKUP

from kronviz.app.tabs.generate.tab import PROMPTS, SLOTS

Visit = Callable[..., Any]
PAGE = "compare"
DONE = ".kv-gen-result[data-finished]"
TOKENS = "document.querySelectorAll('.kv-gen-token').length"


def generate_tab(visit: Visit, query: str = "", **settings: Any) -> Any:
    page = visit(query, **settings)
    page.evaluate("window.kronvizViews.open('generate')")
    page.wait_for_selector("#kv-gen-start", state="visible")
    return page


def mode(page: Any, name: str) -> None:
    page.click(f"#kv-gen-mode label:has(input[value={name}])")


def run(page: Any) -> None:
    page.evaluate("document.querySelector('.kv-gen-result').removeAttribute('data-finished')")
    page.click("#kv-gen-start")
    page.wait_for_selector(f"{DONE}, .kv-gen-result .kv-refused")


def texts(page: Any) -> list[str]:
    return page.locator(".kv-gen-text").all_inner_texts()


def test_a_result_is_there_before_anything_is_asked(stay: Visit) -> None:
    page = generate_tab(stay)
    assert page.locator(".kv-gen-result .kv-panel").count() == 2
    assert page.locator(".kv-gen-token").count() > 2
    assert page.errors == []


def test_both_models_write_and_the_same_seed_writes_the_same(stay: Visit) -> None:
    page = generate_tab(stay)
    mode(page, "clean")
    page.fill("#kv-gen-prompt textarea, #kv-gen-prompt input", PROMPTS[0][1])
    run(page)
    first = texts(page)
    assert all(text.startswith(PROMPTS[0][1]) for text in first)
    run(page)
    assert texts(page) == first


def test_every_mode_keeps_its_fields(stay: Visit) -> None:
    page = generate_tab(stay)
    page.fill("#kv-gen-prompt textarea, #kv-gen-prompt input", "My own beginning")
    mode(page, "slot")
    assert not page.locator("#kv-gen-prompt").is_visible()
    run(page)
    assert page.locator(".kv-gen-slot").count() == 1
    assert page.locator(".kv-gen-instead").count() > 1
    mode(page, "typo")
    field = page.locator("#kv-gen-prompt textarea, #kv-gen-prompt input")
    assert field.input_value() == "My own beginning"
    run(page)
    assert page.locator(".kv-gen-result .kv-panel").count() == 4


def test_an_example_is_one_click_away(stay: Visit) -> None:
    page = generate_tab(stay)
    slotted, string = SLOTS[1]
    page.get_by_role("button", name=string).click()
    page.wait_for_selector(f"{DONE} .kv-gen-slot:has-text('{string}')")
    assert all(text.startswith(slotted.split(" {}")[0]) for text in texts(page))


def test_bad_input_is_one_sentence_and_nothing_is_lost(stay: Visit) -> None:
    page = generate_tab(stay)
    mode(page, "slot")
    field = page.locator("#kv-gen-slotted textarea, #kv-gen-slotted input")
    field.fill("there is no place for it")
    page.click("#kv-gen-start")
    page.wait_for_selector("text=Write {} once")
    assert field.input_value() == "there is no place for it"


def test_a_link_brings_the_view_back_and_writes_it(visit: Visit) -> None:
    """The view's run, and that of the echo below it."""
    query = f"?tab=generate&mode=slot&slotted={quote('A {} is <b>')}&string=zyzzyva&seed=5"
    page = visit(f"{query}&generate.strings=zyzzyva&generate.run=echo")
    page.wait_for_selector(f"{DONE} .kv-gen-slot:has-text('zyzzyva')")
    page.wait_for_selector("text=seed 5")
    field = page.locator("#kv-gen-string textarea, #kv-gen-string input")
    field.fill("quokka")
    page.wait_for_function("location.search.includes('quokka')")
    found = parse_qs(urlsplit(page.url).query)
    assert found["tab"] == ["generate"]
    assert found["slotted"] == ["A {} is <b>"]
    page.wait_for_selector("#kv-echo-shown .kv-downloads")
    assert "9 continuations, all read" in page.locator("#kv-echo-shown").inner_text()


@pytest.mark.parametrize("text", MARKUP[::15])
def test_markup_in_the_fields_is_text(stay: Visit, text: str) -> None:
    page = generate_tab(stay)
    mode(page, "slot")
    page.locator("#kv-gen-slotted textarea, #kv-gen-slotted input").fill("{} is")
    page.locator("#kv-gen-string textarea, #kv-gen-string input").fill(text)
    run(page)
    assert page.evaluate("window.__ran") is None
    assert page.locator("#kv-gen-answer :is(script, img, iframe, svg, style)").count() == 0
    assert page.locator("#kv-gen-answer a:not([href^='data:'])").count() == 0


def test_writing_does_not_hold_up_typing(stay: Visit) -> None:
    page = generate_tab(stay)
    page.click("#kv-gen-start")
    page.evaluate("window.kronvizViews.open('compare')")
    page.fill("#kv-typo textarea", "typed meanwhile")
    page.wait_for_function(
        "document.querySelectorAll('.kv-chips')[1].textContent.includes('meanwhile')"
    )


def test_the_layers_are_measured_beside_the_papers(stay: Visit) -> None:
    page = stay()
    page.evaluate("window.kronvizViews.open('layers')")
    page.wait_for_selector("#kv-lay-start", state="visible")
    assert "the paper’s" in page.inner_text("#kv-lay-details")
    page.click("#kv-lay-start")
    page.wait_for_selector("#kv-lay-status >> text=Measured in")
    page.wait_for_function("location.search.includes('layers.run=measured')")
    assert "ours" in page.inner_text("#kv-lay-details")
    assert page.errors == []
