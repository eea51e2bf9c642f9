"""From tab to tab, and slowly, as several tests of whole pages do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

SELECTED = "window.kronvizViews.current()"
CUT_OFF = """async () => {
    const scrolls = (one) => one && (["auto", "scroll"].includes(getComputedStyle(one).overflowX)
        || scrolls(one.parentElement));
    const beyond = () => {
        const right = document.documentElement.clientWidth + 1;
        return [...document.querySelectorAll("body :not(svg *)")].filter((one) =>
            one.getBoundingClientRect().right > right && one.checkVisibility()
                && !scrolls(one.parentElement));
    };
    for (let tried = 0; tried < 30 && beyond().length; tried++) {
        await new Promise((done) => setTimeout(done, 100));
    }
    return beyond().map(
        (one) => `${one.closest("[role=tabpanel]")?.id}: ${one.outerHTML.slice(0, 120)}`);
}"""

ALIKE = """() => [...document.querySelectorAll("[role=tabpanel] *")].flatMap((parent) => {
    const counts = {};
    return [...parent.children].filter((one) => {
        const kind = [one.tagName, ...["class", "style", "data-arm", "aria-pressed"]
            .map((name) => one.getAttribute(name)), ...one.getAttributeNames()].join();
        counts[kind] = (counts[kind] ?? 0) + 1;
        return counts[kind] > 3;
    });
})"""
"""Of many alike in one place, as the rows of a table are, all but three."""


def open_tab(page: Any, name: str) -> None:
    """Open a tab by its name in links, and wait until it is drawn."""
    page.evaluate("name => window.kronvizViews.open(name)", name)
    page.wait_for_function(f"{SELECTED} === '{name}'")
    page.wait_for_function(
        """[...document.querySelectorAll(".kv-plot")].filter((plot) => plot.checkVisibility())
            .every((plot) => plot.querySelector(".main-svg"))"""
    )
    settle(page)


def settle(page: Any) -> None:
    """Wait for what follows an opening (sizes, values, lines that save), drawn in two frames."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def cut_off(page: Any) -> list[str]:
    """What reaches beyond the right edge where nothing scrolls, once figures have their new size.

    The page itself never scrolls sideways, because Gradio's container hides what is too wide.
    """
    return page.evaluate(CUT_OFF)


def press(page: Any, where: str, *keys: str) -> None:
    """Keys on the first control that a selector names."""
    page.locator(where).first.focus()
    for key in keys:
        page.keyboard.press(key)


def slowly(function: Callable[..., Any], seconds: float) -> Callable[..., Iterator[Any]]:
    """A generator that waits before each item, so that there is something left to stop."""

    def steps(*arguments: Any) -> Iterator[Any]:
        for step in function(*arguments):
            time.sleep(seconds)
            yield step

    return steps
