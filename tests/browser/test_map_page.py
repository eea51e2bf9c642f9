"""The tab “Map” in a real browser: maps are drawn, a click selects, words stand on both maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from walking import cut_off

from kronviz.maps.lookup import look_up
from kronviz.predictor import Predictor

PAGE = "compare"
READY = "window.kronvizMap?.plots?.left?.count > 500 && window.kronvizMap.plots.right.count > 500"


def test_a_map_that_is_not_there_is_drawn_on_request(
    visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronviz.maps.store.lay_out", lambda found, start, *rest: start)
    page = visit("?tab=map&map.left=bpe-1")
    drawn = page.locator(".kv-map[data-side=left]")
    drawn.locator(".kv-map-status", has_text="not been drawn yet").wait_for()
    drawn.get_by_role("button", name="Draw this map now").click()
    page.wait_for_function("window.kronvizMap.plots.left.count > 500")
    assert "trustworthiness" in drawn.locator("figcaption").inner_text()


def test_a_map_that_arrives_while_its_tab_is_hidden_is_whole_when_one_comes_back(
    stay: Callable[..., Any],
) -> None:
    page = stay("?tab=map")
    page.wait_for_function(READY)
    usual, home, view, broken = page.evaluate(
        """async () => {
        const plot = window.kronvizMap.plots.left;
        const usual = plot.home;
        const until = async (wide) => {
          while (plot.width > 0 !== wide) await new Promise(requestAnimationFrame);
          for (let turn = 0; turn < 3; turn += 1) await new Promise(requestAnimationFrame);
        };
        plot.frame.style.display = "none";
        await until(false);
        plot.set(plot.places, 1);
        plot.look(plot.home, false);
        await new Promise(requestAnimationFrame);
        const broken = plot.svg.innerHTML.includes("NaN");
        plot.frame.style.display = "";
        await until(true);
        return [usual, plot.home, plot.view, broken];
        }"""
    )
    assert home == view == usual
    assert not broken


def test_a_click_selects_a_token_in_both_maps(
    stay: Callable[..., Any], small_predictor: Predictor
) -> None:
    page = stay("?tab=map")
    page.wait_for_function(READY)
    page.wait_for_selector("#kv-map-near [data-answer]")
    # The point that lies farthest from all others in view, so that the click means no other.
    token, left, top = page.evaluate(
        """() => {
        const plot = window.kronvizMap.plots.left;
        let best = [0, 0, 0, -1];
        for (let i = 300; i < 1000; i += 1) {
          const at = plot.toScreen(plot.places[2 * i], plot.places[2 * i + 1]);
          const inside = at[0] > 40 && at[1] > 40 && at[0] < plot.width - 60;
          if (!inside || at[1] > plot.height - 200) continue;
          let room = Infinity;
          for (let j = 0; j < plot.count; j += 1) {
            if (j === i) continue;
            const other = plot.toScreen(plot.places[2 * j], plot.places[2 * j + 1]);
            room = Math.min(room, Math.hypot(at[0] - other[0], at[1] - other[1]));
          }
          if (room > best[3]) best = [i, ...at, room];
        }
        return best.slice(0, 3);
        }"""
    )
    frame = page.locator(".kv-map[data-side=left] .kv-map-frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    x, y = box["x"] + left, box["y"] + top
    page.mouse.move(x, y)
    page.wait_for_function(
        f"document.getElementById('kv-float').textContent.includes('id {token},')"
    )
    page.mouse.click(x, y)
    text = small_predictor.tokenizer.token_text(token)
    page.wait_for_function(
        "text => JSON.parse(document.querySelector('#kv-map-near [data-answer]').dataset.answer)"
        ".word === text",
        arg=text,
    )
    expected = look_up(text, small_predictor)
    for panel, side in zip(
        page.locator("#kv-map-near .kv-panel").all(), expected.sides, strict=True
    ):
        ids = [int(one.get_attribute("data-id")) for one in panel.locator(".kv-map-token").all()]
        assert ids == [one.id for one in side.standing.neighbors]
    for side in ("left", "right"):
        assert page.locator(f".kv-map[data-side={side}] .kv-map-sign-self").count() == 1
    assert not page.errors


def test_a_link_brings_words_colours_selection_and_zoom_back(
    stay: Callable[..., Any], visit: Callable[..., Any]
) -> None:
    page = stay("?tab=map")
    page.wait_for_function(READY)
    page.locator("#kv-map-word :is(input, textarea)").fill(" the")
    page.locator("#kv-map-words textarea").fill("there\n other\nqwertz")
    page.wait_for_selector("#kv-map-placed [data-placed]")
    page.select_option("#kv-map-colour", "space")
    page.locator(".kv-map[data-side=left] [data-zoom=in]").click()
    # A test before may have left a view in the address: until it is this one, so is the link's.
    page.wait_for_function(
        """() => {
        const query = new URLSearchParams(location.search);
        const { x, y, z } = window.kronvizMap.plots.left.view;
        const at = [x, y, z].map((number) => number.toFixed(4)).join();
        return query.get("map.at")?.startsWith(at) && query.get("map.colour") === "space"
            && query.get("map.words")?.includes("qwertz");
        }"""
    )
    zoomed = page.evaluate("window.kronvizMap.plots.left.view")
    other = visit("?" + urlsplit(page.url).query)
    other.wait_for_function(READY)
    other.wait_for_selector("#kv-map-placed [data-placed]")
    other.wait_for_function(
        "z => Math.abs(window.kronvizMap.plots.left.view.z - z) < 0.01", arg=zoomed["z"]
    )
    assert other.locator("#kv-map-word :is(input, textarea)").input_value() == " the"
    assert other.locator("#kv-map-colour").input_value() == "space"
    assert "no leading space" in other.locator(".kv-map-key").inner_text()
    # Of several tokens, bpe has but a mean: its mark is another one.
    other.wait_for_function(
        """document.querySelectorAll(".kv-map[data-side=right] .kv-map-sign-own").length === 3
            && document.querySelector(".kv-map[data-side=left] .kv-map-sign-mean")"""
    )
    assert parse_qs(urlsplit(other.url).query)["map.words"] == ["there\n other\nqwertz"]


def test_what_is_typed_is_text_and_saving_works(
    stay: Callable[..., Any], small_predictor: Predictor
) -> None:
    page = stay("?tab=map")
    page.wait_for_function(READY)
    page.set_viewport_size({"width": 390, "height": 900})
    page.locator("#kv-map-words textarea").fill("<img src=x onerror=window.hacked=1>\n=1+1")
    page.wait_for_selector("#kv-map-placed :has([data-placed]):has-text('=1+1')")
    assert page.locator("#kv-map-placed img").count() == 0
    assert not page.evaluate("window.hacked")
    for kind in ("csv", "svg", "png"):
        with page.expect_download() as saved:
            page.locator(f"[data-save={kind}]").click()
        data = saved.value.path().read_bytes()
        if kind == "csv":
            assert b"'=1+1" in data
        else:
            assert data.startswith({"svg": b"<svg", "png": b"\x89PNG"}[kind])
    assert cut_off(page) == []
    page.set_viewport_size({"width": 1440, "height": 900})
    assert all(urlsplit(url).hostname in (None, "", "127.0.0.1") for url in page.requests)


@pytest.mark.parametrize("webgl", [True, False])
def test_a_point_is_drawn_where_it_is_with_a_graphics_card_and_without(
    stay: Callable[..., Any], webgl: bool
) -> None:
    page = stay("?tab=map")
    inks = page.evaluate(
        """(webgl) => {
        const frame = document.createElement("div");
        frame.style.cssText = "position: fixed; width: 200px; height: 100px";
        frame.innerHTML = "<canvas></canvas><svg class='kv-map-marks'></svg>";
        document.body.append(frame);
        window.kronvizCanvas.always = webgl;
        const plot = new window.kronvizCanvas.Plot(frame, {});
        window.kronvizCanvas.always = false;
        plot.set(new Uint16Array([32768, 32768, 65535, 0]), 65535);
        plot.look({ x: 0.5, y: 0.5, z: 1 });
        plot.paint(new Uint8Array([255, 0, 0, 255, 0, 0, 255, 255]));
        plot.draw();
        const read = (left, top) => {
          if (!webgl) return [...plot.plain.getImageData(left, top, 1, 1).data];
          const ink = new Uint8Array(4);
          plot.gl.readPixels(left, 99 - top, 1, 1, plot.gl.RGBA, plot.gl.UNSIGNED_BYTE, ink);
          return [...ink];
        };
        const near = plot.nearest(100, 50);
        return [Boolean(plot.program), near, read(100, 50), read(146, 96), read(20, 20)];
        }""",
        webgl,
    )
    drawn, near, middle, corner, empty = inks
    assert (drawn, near) == (webgl, 0)
    assert middle[0] > 100 > middle[2]
    assert corner[2] > 100 > corner[0]
    assert empty[3] == 0
