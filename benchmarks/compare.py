"""Time answers: `Predictor.compare`, the endpoint ``/compare``, a keystroke on the page.

    python benchmarks/compare.py [--pair tiny] [--url http://127.0.0.1:7860]

Prints medians (p50) and 95th percentiles in milliseconds, and ratios to the bare forward passes of
both arms in the same run. Every text is different, so that no cache answers. Without ``--url`` it
starts an app for the endpoint and for the page, on which a headless Chromium types.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from running import address
from typing_page import TYPED, Typing, keystrokes, milliseconds, options, report

from kronviz.predictor import Predictor

CLEAN, TYPO = "The capital of France is", "The captial of Frnace is"
RUNS = 200
PAGE = Typing(
    query="",
    box="#kv-typo textarea",
    places=(".kv-result",),
    shown="""new TextDecoder().decode(new Uint8Array([...(document.querySelectorAll(".kv-chips")[1]
        ?.children ?? [])].flatMap((chip) => chip.dataset.hex.split(" "))
        .map((hex) => parseInt(hex, 16))))""",
)


def main() -> None:
    arguments = options(__doc__)
    predictor = Predictor.load(arguments.pair, device="cpu")
    print(
        f"pair {predictor.pair}, {torch.get_num_threads()} threads, {RUNS} runs; last column: ratio"
    )

    def forward(number: int) -> None:
        texts = [predictor.tokenizer.encode(f"{text} {number}") for text in (CLEAN, TYPO)]
        for model in predictor.arms.values():
            model.read(texts)

    peer = report("forward passes of both arms", milliseconds(forward, RUNS))
    compare = lambda number: predictor.compare(f"{CLEAN} {number}", f"{TYPO} {number}")  # noqa: E731
    report("Predictor.compare", milliseconds(compare, RUNS), peer)
    with address(arguments.url) as url:
        over_http(url, arguments.pair, peer)


def over_http(url: str, pair: str, peer: float) -> None:
    """Time the endpoint, and then keys on the page."""
    from gradio_client import Client

    client = Client(url, verbose=False)

    def endpoint(number: int) -> object:
        texts = f"{CLEAN} {number}", f"{TYPO} {number}"
        return client.predict(*texts, pair=pair, api_name="/compare")

    report("/compare through gradio_client", milliseconds(endpoint, 100), peer)
    for times in keystrokes(url, PAGE, pair):
        report(f"page: key to answer, {len(times)} of {len(TYPED)} keys", times, peer)


if __name__ == "__main__":
    main()
