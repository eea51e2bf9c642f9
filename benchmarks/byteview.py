"""How fast the byte view is: its parts from Python, and a page that follows typing.

    python benchmarks/byteview.py [--pair tiny] [--url http://127.0.0.1:7860]

With ``--url``, a headless Chromium types into the running app and times each keystroke until the
sheet, and then the nearest tokens, on the page are those of the text typed so far.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.predictor import Predictor
from kronviz.probes.byteview import encode
from kronviz.probes.editwalk import edit_walk
from kronviz.probes.neighbors import neighbors
from kronviz.probes.stringpair import compare_strings
from kronviz.tokenizer import VOCABULARIES

WORDS = ("compute", " nation", "magnetic", "naïve", "नमस्ते", "The quick brown fox")
RUNS = 60
TYPED = "the magnetic nation computes"
LISTEN = """() => {
    const box = document.querySelector("#kv-byte-text input");
    window.times = []; window.near = [];
    let pressed = 0;
    box.addEventListener("input", () => { pressed = performance.now(); }, true);
    const shown = () => document.querySelector("#kv-byte-sheet .kv-bytes")?.dataset.of;
    const watch = (id, list, told = 0) => new MutationObserver(() => {
        if (shown() !== box.value || told === pressed) return;
        told = pressed;
        list.push(performance.now() - pressed);
    }).observe(document.querySelector(id), { childList: true, subtree: true });
    watch("#kv-byte-sheet", window.times);
    watch("#kv-byte-near", window.near);
}"""


def report(label: str, times: list[float]) -> None:
    """Print one row; times in milliseconds."""
    times = sorted(times)
    late = times[int(len(times) * 0.95)]
    print(f"{label:<44} p50 {statistics.median(times):8.2f} ms   p95 {late:8.2f} ms")


def measure(label: str, call: Callable[[str], object]) -> None:
    """Time a call over all words, after one round to warm up."""
    for word in WORDS:
        call(word)
    times = []
    for number in range(RUNS):
        started = time.perf_counter()
        call(WORDS[number % len(WORDS)])
        times.append((time.perf_counter() - started) * 1000)
    report(label, times)


def type_into(url: str) -> None:
    """Time keystrokes on the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{url}/?tab=bytes&text=run")
        page.wait_for_function(
            "document.querySelector('#kv-byte-sheet .kv-bytes')?.dataset.of === 'run'"
        )
        page.evaluate(LISTEN)
        page.locator("#kv-byte-text input").press_sequentially(TYPED, delay=400)
        page.wait_for_timeout(1500)
        report("page: key to sheet", page.evaluate("window.times"))
        report("page: key to nearest tokens", page.evaluate("window.near"))
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pair", default="tiny")
    parser.add_argument("--url", help="also type into the app that runs there")
    arguments = parser.parse_args()
    predictor = Predictor.load(arguments.pair, device="cpu")
    print(f"pair {predictor.pair}, {torch.get_num_threads()} threads, {RUNS} runs")
    measure("encode", lambda word: encode(word, predictor))
    measure("compare_strings", lambda word: compare_strings(word, word[::-1], predictor))
    measure("edit_walk, six kinds", lambda word: edit_walk(word, predictor))
    measure("neighbors, code and both tables", lambda word: neighbors(word, predictor))
    for name in VOCABULARIES:
        measure(
            f"neighbors in {name}, with both tables",
            lambda word, name=name: neighbors(word, predictor, vocabulary=name),  # type: ignore[misc]
        )
    if arguments.url:
        type_into(arguments.url.rstrip("/"))


if __name__ == "__main__":
    main()
