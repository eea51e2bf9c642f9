"""Groups on the map: named, selected by lasso, listed, exported, and kept in the link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Visit = Callable[..., Any]
PAGE = "compare"
READY = "window.kronvizMap?.plots?.left?.count > 500 && window.kronvizMap.maps.left.points"


def around(page: Any) -> None:
    """Draw a lasso around the middle of the left map."""
    box = page.locator(".kv-map-frame").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.click("[data-lasso]")
    page.mouse.move(x - 90, y - 90)
    page.mouse.down()
    for dx, dy in ((0, -95), (90, -90), (95, 0), (90, 90), (0, 95), (-90, 90), (-95, 0)):
        page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def test_a_lasso_selects_lists_exports_and_travels_in_the_link(stay: Visit, visit: Visit) -> None:
    page = stay("?tab=map")
    page.wait_for_function(READY)
    around(page)
    page.wait_for_selector(".kv-map-picked:visible")
    said = page.locator(".kv-map-picked h3").inner_text()
    count = int(said.split()[0].replace(",", ""))
    inside = page.evaluate(
        """() => {
            const { plots, shown } = window.kronvizMap;
            const { places } = plots.left;
            const path = new Path2D(`M${shown.lasso.line.map((at) => at.join(" ")).join("L")}Z`);
            const pen = new OffscreenCanvas(1, 1).getContext("2d");
            let found = 0;
            for (let i = 0; i < places.length; i += 2) {
                found += pen.isPointInPath(path, places[i], places[i + 1], "evenodd");
            }
            return found;
        }"""
    )
    assert count == inside > 0
    with page.expect_download() as saved:
        page.click(".kv-map-export")
    assert len(Path(saved.value.path()).read_text("utf-8-sig").splitlines()) == count + 1
    page.wait_for_function("location.search.includes('map.lasso')")
    again = visit("?" + page.url.partition("?")[2])
    again.wait_for_selector(".kv-map-picked:visible")
    told = int(again.locator(".kv-map-picked h3").inner_text().split()[0].replace(",", ""))
    assert abs(told - count) <= max(2, count // 50), "corners are rounded in a link"
    page.click(".kv-map-clear")
    page.wait_for_selector(".kv-map-picked", state="hidden")
    assert page.errors == []


def test_a_group_is_named_for_what_its_tokens_share(stay: Visit) -> None:
    """Digits put into a corner of their own are found there, and nothing else is."""
    page = stay("?tab=map")
    page.wait_for_function(READY)
    found = page.evaluate(
        """() => {
            const { words } = window.kronvizMap.maps.left;
            const { named, features } = window.kronvizGroups;
            const { names, lists } = features(words);
            const digits = names.indexOf("digits");
            const places = new Float32Array(2 * lists.length);
            lists.forEach((own, id) => {
                const [one, other] = [(id % 97) / 98, ((id * 31) % 89) / 90];
                const there = own.includes(digits);
                places[2 * id] = there ? 0.05 + 0.1 * one : 0.5 + 0.5 * one;
                places[2 * id + 1] = there ? 0.05 + 0.1 * other : other;
            });
            const plot = { count: lists.length, width: 600, height: 600, places,
                           toScreen: (x, y) => [600 * x, 600 - 600 * y] };
            return named(plot, words).filter(({ at }) => at[0] < 0.4).map(({ text }) => text);
        }"""
    )
    assert found == ["digits"]
