"""One misspelling inside both networks: cells, measures, heads, the link, a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from walking import cut_off

Visit = Callable[..., Any]
PAGE = "#kv-inside-answer"


def told(page: Any) -> str:
    """What is said of the chosen cell."""
    page.wait_for_selector(f"{PAGE} .kv-ins-told:has-text('It then predicts')")
    return page.locator(f"{PAGE} .kv-ins-told").inner_text()


def test_cells_measures_and_heads_are_chosen_and_travel_in_the_link(visit: Visit) -> None:
    page = visit("?tab=inside")
    page.wait_for_selector(f"{PAGE} .kv-ins-bytes")
    for arm in ("bpe", "kron"):
        assert page.locator(f"{PAGE} .kv-panel[data-arm={arm}] .kv-heat").count() == 1
    cell = page.locator(f"{PAGE} .kv-heat-cell").nth(1)
    cell.click()
    first = told(page)
    assert f"{cell.get_attribute('data-arm')}, {cell.get_attribute('data-place')}" in first
    page.keyboard.press("ArrowDown")
    assert told(page) != first
    chosen = page.locator(f"{PAGE} .kv-heat-cell[aria-pressed]").get_attribute("data-place")
    page.click("#kv-inside-measure label:has(input[value=logprob])")
    page.wait_for_selector(f"{PAGE} .kv-ins-key:has-text('Log-probability')")
    # Another measure keeps the chosen cell.
    page.wait_for_selector(f"{PAGE} .kv-heat-cell[aria-pressed]")
    pressed = page.locator(f"{PAGE} .kv-heat-cell[aria-pressed]")
    assert pressed.get_attribute("data-place") == chosen
    page.click("#kv-inside-thing label:has(input[value=mlp])")
    page.wait_for_selector(f"{PAGE} h2:has-text('Patching: MLP output')")
    # The answer comes in two parts; the second draws the select once more.
    page.wait_for_selector(f"{PAGE} .kv-ins-bytes")
    page.select_option(f"{PAGE} .kv-ins-head", "2.1")
    page.wait_for_function("location.search.includes('inside.head=2.1')")
    page.wait_for_function("location.search.includes('inside.thing=mlp')")
    link = page.url.partition("?")[2]
    assert parse_qs(link)["inside.measure"] == ["logprob"]
    shares = page.locator(f"{PAGE} .kv-ins-look").first.inner_text()
    phone = visit(f"?{link}", width=390, height=844)
    phone.wait_for_selector(f"{PAGE} h2:has-text('Patching: MLP output')")
    phone.wait_for_selector(f"{PAGE} .kv-ins-bytes")
    assert phone.locator(f"{PAGE} .kv-ins-head").input_value() == "2.1"
    # Each of the link's settings may draw the answer once more.
    phone.wait_for_function(
        "([where, shares]) => document.querySelector(where).innerText === shares",
        arg=[f"{PAGE} .kv-ins-look", shares],
    )
    assert phone.locator("#kv-inside-measure input:checked").input_value() == "logprob"
    assert cut_off(phone) == []
    for field, word in {"clean": "xq" * 15, "typo": "xq" * 14 + "qx"}.items():
        phone.fill(f"#kv-inside-{field} textarea", word)
    phone.wait_for_selector(f"{PAGE} .kv-ins-word.kv-ins-changed:has-text('xqx')")
    assert cut_off(phone) == []
    page.fill("#kv-inside-typo textarea", page.input_value("#kv-inside-clean textarea"))
    page.wait_for_selector(f"{PAGE} [role=alert]:has-text('Both texts are the same')")
    assert page.errors == phone.errors == []
