"""Measure comparisons per second, their latency, and the deviation of bfloat16 from float32.

    python benchmarks/serve.py [--pair tiny] [--device cpu|cuda] [--markdown]

A comparison is a clean text and a misspelled one, read by both arms, with the four metrics; the
texts are our own pairs. “Answer” is `Predictor.compare`, which is everything that the first page
shows. “Batch” reads several comparisons at once as the app does: by CUDA graphs on a GPU, and with
common prefixes read once on a CPU. “Plainly” pads them to one length instead. Without ``--device``
it measures the CPU and, if there is one, the GPU, each in float32 and bfloat16 (bfloat16 not on a
CPU that only emulates it).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from table import show

from kronviz.accounting.timing import machine
from kronviz.embedding import KroneckerEmbedding
from kronviz.graphs import GraphReader
from kronviz.metrics import kl_divergence, pair_metrics
from kronviz.model import GPT
from kronviz.predictor import Predictor
from kronviz.prefixes import PrefixReader
from kronviz.probes.pairs import Pair, load_pairs
from kronviz.training.train import has_fast_bfloat16

BATCHES = (1, 4, 16, 64)
SECONDS = 2.0
DTYPES = (torch.float32, torch.bfloat16)
Row = list[str]
Reader = GPT | GraphReader | PrefixReader


def timed(call: Callable[[int], object], seconds: float) -> list[float]:
    """Return the sorted seconds of calls, numbered from 0, after three to warm up."""
    for number in range(3):
        call(number)
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(times) < 5:
        started = time.perf_counter()
        call(len(times))
        times.append(time.perf_counter() - started)
    return sorted(times)


def read_batch(predictor: Predictor, readers: Iterable[Reader], pairs: list[Pair]) -> None:
    """Compute the metrics of several comparisons with one batch per arm."""
    texts = [predictor.encode(pair.clean) for pair in pairs]
    texts += [predictor.encode(pair.typo) for pair in pairs]
    for reader in readers:
        reading = reader.read(texts)
        half = len(pairs)
        pair_metrics(
            reading.logits[:half],
            reading.logits[half:],
            reading.final[:half],
            reading.final[half:],
        )


def speed(predictor: Predictor, pairs: list[Pair], seconds: float) -> list[Row]:
    """Return a row for whole answers and two for each batch size: as in the app, and plainly."""
    rows = []

    def answer(number: int) -> None:
        pair = pairs[number % len(pairs)]
        predictor.compare(pair.clean, pair.typo)

    rows.append(["answer", *_numbers(timed(answer, seconds), 1)])
    ways: dict[str, Iterable[Reader]] = {
        "": predictor.readers.values(),
        ", plainly": predictor.arms.values(),
    }
    for way, readers in ways.items():
        for size in BATCHES:

            def batch(number: int, size: int = size, readers: Any = readers) -> None:
                first = number * size
                asked = [pairs[(first + i) % len(pairs)] for i in range(size)]
                read_batch(predictor, readers, asked)

            rows.append([f"batch of {size}{way}", *_numbers(timed(batch, seconds), size)])
    return rows


def _numbers(times: list[float], size: int) -> list[str]:
    median = statistics.median(times)
    late = times[min(int(len(times) * 0.95), len(times) - 1)]
    return [f"{size / median:,.0f}", f"{median * 1e3:.2f}", f"{late * 1e3:.2f}"]


def logits(predictor: Predictor, arm: str, pairs: list[Pair]) -> Tensor:
    """Return the logits ``(texts, vocab)`` of all clean and misspelled texts, float64 on the
    CPU.
    """
    texts = [predictor.encode(text) for pair in pairs for text in (pair.clean, pair.typo)]
    parts = [texts[i : i + 64] for i in range(0, len(texts), 64)]
    return torch.cat([predictor.arms[arm].read(part).logits.double().cpu() for part in parts])


def straying(exact: Predictor, rounded: Predictor, pairs: list[Pair]) -> list[Row]:
    """Return rows that compare an arm's results in bfloat16 with those in float32."""
    rows = []
    for arm in exact.arms:
        one, other = (logits(predictor, arm, pairs) for predictor in (exact, rounded))
        kept = (one.argmax(-1) == other.argmax(-1)).double().mean().item()
        divergence = kl_divergence(one, other)
        halves = [(found[0::2], found[1::2]) for found in (one, other)]
        moved = [kl_divergence(clean, typo).mean().item() for clean, typo in halves]
        rows.append(
            [
                arm,
                f"{kept:.1%}",
                f"{divergence.mean().item():.2e}",
                f"{divergence.max().item():.2e}",
                f"{moved[0]:.4f}",
                f"{moved[1]:.4f}",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pair", default="tiny")
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds for each row")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    pairs = list(load_pairs().pairs)
    devices = [arguments.device] if arguments.device else ["cpu"]
    if not arguments.device and torch.cuda.is_available():
        devices.append("cuda")
    for device in devices:
        made = {}
        dtypes = DTYPES
        if device == "cpu" and not has_fast_bfloat16():
            dtypes = (torch.float32,)
            print("This CPU only emulates bfloat16: left out.")
        for dtype in dtypes:
            predictor = made[dtype] = Predictor.load(arguments.pair, device, dtype)
            for model in predictor.arms.values():
                if isinstance(model.wte, KroneckerEmbedding):
                    model.wte.warm_up()
            name = str(dtype).removeprefix("torch.")
            show(
                f"Pair {predictor.pair}, {machine(torch.device(device))}, {name}",
                ["", "comparisons/s", "median ms", "95% ms"],
                speed(predictor, pairs, arguments.seconds),
                arguments.markdown,
            )
        if len(made) < len(DTYPES):
            continue
        show(
            f"bfloat16 against float32 on {device}, over {2 * len(pairs)} texts; KL in nats",
            [
                "arm",
                "top-1 the same",
                "mean KL",
                "largest KL",
                "KL(clean ‖ typo), float32",
                "in bfloat16",
            ],
            straying(made[torch.float32], made[torch.bfloat16], pairs),
            arguments.markdown,
        )


if __name__ == "__main__":
    main()
