"""Measure what a first visit transfers and when its first picture shows, on a slow phone.

    python app.py &
    python benchmarks/first_visit.py [--url http://127.0.0.1:7860] [--visits 5]

Chromium throttles to 1.6 Mbit/s down, 750 kbit/s up, 150 ms of latency and a processor four times
slower, in a window of 390 × 844 with an empty cache. Times count from the server's answer.
The picture comes with the page; later the app replaces it and answers what is typed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from typing import Any

from playwright.sync_api import sync_playwright

DOWN, UP, LATENCY_MS, SLOWER = 1.6e6 / 8, 750e3 / 8, 150, 4
PICTURE = ".kv-now-sides svg"
APP = "gradio-app .kv-now-sides svg"


def visit(browser: Any, url: str) -> tuple[float, float, float, float, int]:
    """Return kilobytes transferred, seconds to first paint, picture and app, and request count."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(240_000)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": LATENCY_MS,
            "downloadThroughput": DOWN,
            "uploadThroughput": UP,
        },
    )
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(url, wait_until="commit")
    page.wait_for_selector(PICTURE)
    picture = page.evaluate("performance.now()")
    page.wait_for_selector(APP)
    there = page.evaluate("performance.now()")
    answered, painted = page.evaluate(
        "[performance.getEntriesByType('navigation')[0].responseStart,"
        " performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN]"
    )
    page.wait_for_timeout(5_000)
    context.close()
    times = ((moment - answered) / 1e3 for moment in (painted, picture, there))
    return sum(sizes) / 1e3, *times, len(sizes)


def main() -> None:
    """Print medians over several visits."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:7860")
    parser.add_argument("--visits", type=int, default=5)
    options = parser.parse_args()
    found = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        visits = [visit(browser, options.url) for _ in range(options.visits)]
        browser.close()
    size, painted, picture, there, requests = (
        statistics.median(column) for column in zip(*visits, strict=True)
    )
    print(
        f"{size:,.0f} kB in {requests:.0f} requests; first paint {painted:.2f} s, the picture "
        f"{picture:.2f} s and the app {there:.2f} s after the server's answer (median of "
        f"{options.visits})"
    )


if __name__ == "__main__":
    main()
