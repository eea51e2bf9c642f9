"""Measure the tab “Map”: bytes, memory, seconds until both maps respond, frame times, placed words.

    python benchmarks/map.py                    # a random pair over GPT-2's 50,257 tokens
    python benchmarks/map.py --pair tiny        # a shipped pair

Uses headless Chromium without a graphics card. The random pair has the shape of “small” (width 256,
6 layers). Its maps are laid out by principal axes, as only the number of points matters here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import torch
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.app.context import Context, load_context
from kronviz.app.page import build_app, launch
from kronviz.checkpoint import save_arm
from kronviz.checkpoint_files import PAIR
from kronviz.maps import store
from kronviz.maps.lookup import look_up, place_words
from kronviz.maps.spaces import _vectors as kept_vectors
from kronviz.maps.spaces import spaces
from kronviz.model import GPT, ModelConfig
from kronviz.paths import CHECKPOINTS
from kronviz.predictor import Predictor

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
READY = (
    "performance.getEntriesByName('kronviz-map-ready').length"
    " && document.querySelector('#kv-map-near [data-answer]')"
)
FRAMES = """async () => {
  const { left, right } = window.kronvizMap.plots;
  const times = [];
  for (let frame = 0; frame < 180; frame += 1) {
    const turn = frame / 20;
    const view = { x: 0.5 + 0.1 * Math.sin(turn), y: 0.5, z: 1.5 + Math.sin(turn / 2) };
    left.look(view, false);
    right.look(view, false);
    times.push(await new Promise(requestAnimationFrame));
  }
  const gaps = times.slice(20).map((time, place) => time - times[place + 19]).sort((a, b) => a - b);
  return [gaps[Math.floor(gaps.length / 2)], gaps[Math.floor(gaps.length * 0.95)]];
}"""


def main() -> None:
    """Print every figure, one per line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pair", help="a pair in checkpoints; default: a random one")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        context = _random(Path(folder)) if options.pair is None else _shipped(options.pair)
        predictor = context.predictor()
        print(
            f"pair {predictor.pair}, {predictor.tokenizer.n_vocab:,} tokens a map, "
            f"{options.runs} runs"
        )
        _stored(predictor, Path(folder) / "maps")
        _python(context)
        app = build_app(context)
        _, url, _ = launch(app, prevent_thread_lock=True, quiet=True)
        try:
            _browser(url, options.runs)
        finally:
            app.close()


def _shipped(pair: str) -> Context:
    context = load_context(CHECKPOINTS)
    return Context({pair: context.predictor(pair)}, root=CHECKPOINTS)


def _random(folder: Path) -> Context:
    torch.manual_seed(0)
    for arm in PAIR:
        config = ModelConfig(
            arm=arm, vocabulary="r50k_base", d_model=256, n_layer=6, n_head=8, n_ctx=256
        )
        save_arm(GPT(config), folder / "random" / arm)
    context = load_context(folder)
    with (
        patch("kronviz.maps.store.lay_out", lambda found, start, *rest: start),
        patch("kronviz.maps.store.near", lambda *arguments: None),
    ):
        for space in spaces(context.predictor()):
            store.draw_map(context.predictor(), space.name)
    return context


def _stored(predictor: Predictor, folder: Path) -> None:
    """Print the files of all maps, the time to read one, and that of first queries to spaces."""
    names = [space.name for space in spaces(predictor) if not space.whole]
    files = [store.write_map(predictor, store.read_map(predictor, n), folder) for n in names]
    sizes = [file.stat().st_size for file in files]
    print(f"{len(files)} maps: {max(sizes) / 1e3:.0f} kB at most, {sum(sizes) / 1e6:.2f} MB in all")
    store._drawn.clear()
    reading = _median(lambda: (store._drawn.clear(), store.read_map(predictor, "kron", folder)))
    print(f"a map read from its file: {reading:.1f} ms")
    for name in names:
        store.read_map(predictor, name, folder)
    kept_vectors.cache_clear()
    before, slowest = _memory_mb(), 0.0
    for name in names:
        started = time.perf_counter()
        look_up(" nation", predictor, name, name)
        slowest = max(slowest, time.perf_counter() - started)
    print(
        f"first question to a space: {slowest:.2f} s at most; memory {before:.0f} MB before, "
        f"{_memory_mb():.0f} MB after a question to every space"
    )


def _memory_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _python(context: Context) -> None:
    predictor = context.predictor()
    look_up(" nation", predictor)
    few = [" running", "rnuning", "Run", "magnetised", "krokodil", " act", "buidl"]
    many = [f"{word}{number}" for number in range(30) for word in few][:200]
    for name, words in (("7 words placed", few), ("200 words placed", many)):
        place_words(words, predictor)
        print(f"{name}, from Python: {_median(lambda w=words: place_words(w, predictor)):.0f} ms")
    print(f"a word looked up, from Python: {_median(lambda: look_up(' run', predictor)):.0f} ms")


def _median(call: Any) -> float:
    times = []
    for _ in range(7):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def _browser(url: str, runs: int) -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        ready, frames, typed, many, clicked = [], [], [], [], []
        for _ in range(runs):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            page = context.new_page()
            sizes: dict[str, int] = {}
            page.on("response", lambda r, sizes=sizes: _note(sizes, r))
            started = time.perf_counter()
            page.goto(f"{url}?tab=map", wait_until="commit")
            page.wait_for_function(READY, timeout=60_000)
            ready.append(time.perf_counter() - started)
            frames.append(page.evaluate(FRAMES))
            words = "#kv-map-words textarea"
            answer = "#kv-map-placed [data-placed]"
            typed.append(_answered(page, words, " running\nrnuning\nkrokodil", answer))
            listed = "\n".join(f" word{number}s" for number in range(200))
            many.append(_answered(page, words, listed, answer))
            clicked.append(
                _answered(
                    page, "#kv-map-word :is(input, textarea)", " act", "#kv-map-near [data-answer]"
                )
            )
            context.close()
        browser.close()
    print(f"page opened to both maps answering: {_spread(ready)} s")
    print(f"frame while moving both maps: median {_spread([f[0] for f in frames])} ms, "
          f"95th percentile {_spread([f[1] for f in frames])} ms")  # fmt: skip
    print(f"3 words typed to drawn: {_spread(typed)} s; 200 words: {_spread(many)} s")
    print(f"a word searched to drawn: {_spread(clicked)} s")
    print(f"maps' own data: {sum(sizes.values()) / 1e6:.2f} MB unpacked in {len(sizes)} files")


def _note(sizes: dict[str, int], response: Any) -> None:
    if "/kronviz/" in response.url:
        sizes[response.url] = len(response.body())


def _answered(page: Any, box: str, text: str, answer: str) -> float:
    """Return the seconds from typing a text into a field to its answer on the maps."""
    before = page.evaluate(f"document.querySelector(`{answer}`)?.outerHTML ?? ''")
    started = time.perf_counter()
    page.locator(box).fill(text)
    page.wait_for_function(
        f"before => (document.querySelector(`{answer}`)?.outerHTML ?? before) !== before",
        arg=before,
        polling=10,
    )
    page.evaluate("new Promise(requestAnimationFrame)")
    return time.perf_counter() - started


def _spread(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    main()
