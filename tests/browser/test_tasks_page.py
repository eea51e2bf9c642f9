"""Five things people come for, each done in at most four clicks from the first screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from walking import open_tab

Visit = Callable[..., Any]
PAGE = "compare"
MOST = 4


class Clicks:
    """A page whose clicks are counted."""

    def __init__(self, page: Any):
        self.page, self.count = page, 0

    def __call__(self, where: str) -> None:
        self.page.locator(where).first.click()
        self.count += 1


@pytest.fixture
def clicks(stay: Visit) -> Clicks:
    page = stay()
    open_tab(page, "compare")
    return Clicks(page)


def test_find_out_whether_kron_helps_with_a_dropped_letter(clicks: Clicks) -> None:
    clicks(".kv-groups >> text=Evidence")
    clicks("#kv-lab-sweep")
    clicks.page.wait_for_selector("#kv-lab-curves svg")
    assert "drop" in clicks.page.locator("#kv-lab-curves").inner_text().lower()
    finding = clicks.page.locator("#kv-lab-curves-said .kv-finding").bounding_box()
    curves = clicks.page.locator("#kv-lab-curves").bounding_box()
    assert finding is not None
    assert curves is not None
    assert finding["y"] < curves["y"], "the answer comes first"
    assert clicks.count <= MOST


def test_see_why_insertion_hurts(clicks: Clicks) -> None:
    clicks(".kv-groups >> text=How it works")
    clicks("#kv-byte-kind label:has(input[value=insert])")
    clicks.page.wait_for_selector("#kv-byte-walk svg, #kv-byte-walk .kv-fall-here")
    assert clicks.count <= MOST


def test_find_your_own_word_on_the_map(clicks: Clicks) -> None:
    clicks(".kv-groups >> text=Map")
    clicks.page.wait_for_function("window.kronvizMap?.plots?.left?.count > 500")
    clicks("#kv-map-word :is(input, textarea)")
    clicks.page.keyboard.press("Control+a")
    clicks.page.keyboard.type("zyzzyva")
    clicks.page.wait_for_function("window.kronvizMap.shown.answer?.word === 'zyzzyva'")
    assert clicks.count <= MOST


def test_export_the_figure(clicks: Clicks) -> None:
    with clicks.page.expect_download() as saved:
        clicks("#kv-now .kv-save button >> nth=0")
    assert saved.value.suggested_filename.endswith(".png")
    assert clicks.count <= MOST


def test_what_it_would_save_for_llamas_vocabulary(clicks: Clicks) -> None:
    clicks(".kv-groups >> text=Evidence")
    clicks(".kv-views:visible >> text=Cost")
    clicks("#kv-tab-cost label:has-text('a number')")
    clicks.page.locator("#kv-cost-number input").fill("128256")
    clicks.page.keyboard.press("Enter")
    clicks.page.wait_for_selector("#kv-tab-cost .kv-finding:has-text('98.5 M')")
    assert clicks.count <= MOST
