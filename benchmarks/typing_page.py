"""Time calls, and keystrokes on a page of the running app in a headless Chromium."""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

TYPED = "the magnetic nation computes its run"
PAUSE = 400
"""Milliseconds between two keystrokes; each is answered before the next."""
LISTEN = """([box, places, shown]) => {
    const field = document.querySelector(box);
    const current = new Function(`return ${shown}`);
    let pressed = 0;
    field.addEventListener("input", () => { pressed = performance.now(); }, true);
    window.kvTimes = places.map((place) => {
        const times = [];
        let told = 0;
        new MutationObserver(() => {
            if (told === pressed || current() !== field.value) return;
            told = pressed;
            times.push(performance.now() - pressed);
        }).observe(document.querySelector(place), { childList: true, subtree: true });
        return times;
    });
}"""


@dataclass(frozen=True)
class Typing:
    """A field to type into, and the places that show its answers.

    Attributes:
        query: query string of the page's address.
        box: selector of the field.
        places: selectors of the answers; each is timed separately.
        shown: JavaScript that returns the text to which the page's answer belongs.
    """

    query: str
    box: str
    places: tuple[str, ...]
    shown: str


def options(about: str | None) -> argparse.Namespace:
    """Return the options of a benchmark: its pair of models, and the address of a running app."""
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("--pair", default="tiny")
    parser.add_argument("--url", help="a running app; default: start one")
    return parser.parse_args()


def milliseconds(call: Callable[[int], object], runs: int) -> list[float]:
    """Return the times of ``runs`` calls in milliseconds, after ten to warm up."""
    times = []
    for number in range(runs + 10):
        started = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - started) * 1000)
    return times[10:]


def report(label: str, times: list[float], peer: float | None = None) -> float:
    """Print one row, with the ratio to a peer's median if there is one, and return the median."""
    times = sorted(times)
    median, late = statistics.median(times), times[int(len(times) * 0.95)]
    ratio = f"  {median / peer:6.2f}" if peer else ""
    print(f"{label:<44} p50 {median:8.2f} ms   p95 {late:8.2f} ms{ratio}")
    return median


def keystrokes(url: str, typing: Typing, pair: str) -> list[list[float]]:
    """Return the milliseconds from each key to its answer on the page, a list for each place.

    Args:
        url: address of the running app.
        pair: pair of models that answers.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{url}/?pair={pair}&{typing.query}")
        page.wait_for_selector("#kv-first", state="detached")
        for place in typing.places:
            page.wait_for_selector(f"{place} section, {place} [class^=kv-]", state="attached")
        page.wait_for_timeout(1500)
        page.evaluate(LISTEN, [typing.box, list(typing.places), typing.shown])
        page.locator(typing.box).fill("")
        page.wait_for_timeout(1000)
        page.evaluate("window.kvTimes.forEach((times) => { times.length = 0; })")
        page.locator(typing.box).press_sequentially(TYPED, delay=PAUSE)
        page.wait_for_timeout(1500)
        times: list[list[float]] = page.evaluate("window.kvTimes")
        browser.close()
    return times
