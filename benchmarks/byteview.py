"""Time the byte view: its parts from Python, and a page that follows typing.

    python benchmarks/byteview.py [--pair tiny] [--url http://127.0.0.1:7860]

A headless Chromium then types into the app at ``--url``, or into one that it starts. Each keystroke
is timed until the sheet, and the nearest tokens, on the page are those of the text typed so far.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from running import address
from typing_page import TYPED, Typing, keystrokes, milliseconds, options, report

from kronviz.maps.neighbors import neighbors
from kronviz.predictor import Predictor
from kronviz.probes.byteview import encode
from kronviz.probes.editwalk import edit_walk
from kronviz.probes.stringpair import compare_strings
from kronviz.tokenizer import VOCABULARIES

WORDS = ("compute", " nation", "magnetic", "naïve", "नमस्ते", "The quick brown fox")
RUNS = 60
PAGE = Typing(
    query="tab=bytes&text=run",
    box="#kv-byte-text input",
    places=("#kv-byte-sheet", "#kv-byte-near"),
    shown="document.querySelector('#kv-byte-sheet .kv-bytes')?.dataset.of",
)


def measure(label: str, call: Callable[[str], object]) -> None:
    """Time a call over all words."""
    report(label, milliseconds(lambda number: call(WORDS[number % len(WORDS)]), RUNS))


def type_into(url: str, pair: str) -> None:
    """Time keystrokes on the page."""
    sheet, near = keystrokes(url, PAGE, pair)
    report(f"page: key to sheet, {len(sheet)} of {len(TYPED)} keys", sheet)
    report(f"page: key to nearest tokens, {len(near)} keys", near)


def main() -> None:
    arguments = options(__doc__)
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
    with address(arguments.url) as url:
        type_into(url, arguments.pair)


if __name__ == "__main__":
    main()
