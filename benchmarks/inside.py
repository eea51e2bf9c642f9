"""Time the tracing of a misspelling through both networks, compared with a plain loop.

    python benchmarks/inside.py [--pair gpt2] [--texts 10] [--first]

Texts are our pairs with at most 16 tokens, and then longer ones of 14 to 16 tokens, misspelled near
their beginning, where most has to be computed. Prints the median time to the first picture (both
texts read by every arm, the residual stream patched at every block and word), to the full result,
and of a plain loop in the same run, with a whole forward pass for each cell of the first picture.
Seconds are given as wall time and as processor time, which other work on the machine affects less.
``--first`` measures only the first picture.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.metrics import kl_divergence
from kronviz.model import GPT
from kronviz.predictor import Predictor
from kronviz.probes.inside import PARTS, Followed, Inside
from kronviz.probes.pairs import Pair, load_pairs
from kronviz.serving import share_cores

LONGEST = 16


@torch.inference_mode()
def plain_loop(model: GPT, clean: list[int], typo: list[int], report: Inside) -> list[float]:
    """Return the KL of every cell in nats, each from its own forward pass with one hook."""
    states = model(torch.tensor([clean]), hidden=True)
    base = states.logits[0, -1]
    found = []
    for layer, block in enumerate(model.blocks):
        for word in report.words:
            start, end = word.typo
            theirs = states.hidden[layer][:, slice(*word.clean)]

            def swap(module: object, given: tuple, start: int = start, end: int = end,
                     theirs: torch.Tensor = theirs) -> tuple:  # fmt: skip
                x = given[0]
                return (torch.cat([x[:, :start], theirs, x[:, end:]], 1), *given[1:])

            hook = block.register_forward_pre_hook(swap)
            try:
                logits = model(torch.tensor([typo])).logits[0, -1]
            finally:
                hook.remove()
            found.append(float(kl_divergence(base, logits)))
    return found


def joined(pairs: Sequence[Pair], encode: Callable[[str], list[int]]) -> list[Pair]:
    """Return pairs of 14 to 16 tokens: one of our pairs followed by words of the next."""
    found = []
    for pair, behind in pairwise(pairs):
        words = behind.clean.split()
        for count in range(len(words), 0, -1):
            rest = " ".join(words[:count])
            long = replace(pair, clean=f"{pair.clean} {rest}", typo=f"{pair.typo} {rest}")
            size = max(len(encode(long.clean)), len(encode(long.typo)))
            if size <= LONGEST:
                found += [long] if size >= LONGEST - 2 else []
                break
    return found


def measure(predictor: Predictor, chosen: Sequence[Pair], whole: bool) -> None:
    """Measure some pairs and print the times."""
    encode = predictor.tokenizer.encode
    first, worked, complete, plain, errors = [], [], [], [], []
    for pair in chosen:
        started, began = time.perf_counter(), time.process_time()
        followed = Followed(predictor, pair.clean, pair.typo)
        followed.report(("residual",))
        first.append(time.perf_counter() - started)
        worked.append(time.process_time() - began)
        if not whole:
            continue
        report = followed.report(PARTS)
        complete.append(time.perf_counter() - started)
        ids = encode(pair.clean), encode(pair.typo)
        started = time.perf_counter()
        loops = {arm: plain_loop(model, *ids, report) for arm, model in predictor.arms.items()}
        plain.append(time.perf_counter() - started)
        for arm in report.arms:
            patched = arm.map("residual")
            assert patched is not None
            cells = [outcome.kl_nats for row in patched.outcomes for outcome in row]
            errors += [abs(a - b) for a, b in zip(cells, loops[arm.arm], strict=True)]
    tokens = [len(encode(pair.typo)) for pair in chosen]
    print(
        f"{predictor.pair}: {len(chosen)} texts of {min(tokens)} to {max(tokens)} tokens, ", end=""
    )
    print(f"{len(predictor.arms)} arms on {os.cpu_count()} cores")
    print(
        f"first picture: p50 {statistics.median(first):.2f} s, slowest {max(first):.2f} s; ", end=""
    )
    print(f"the processors worked p50 {statistics.median(worked):.2f} s")
    if whole:
        print(f"everything, heads included: p50 {statistics.median(complete):.2f} s")
        ratio = statistics.median(b / a for a, b in zip(first, plain, strict=True))
        print(f"a plain loop for the first picture: p50 {statistics.median(plain):.2f} s, ", end="")
        print(f"{ratio:.1f} times as long; KL differs by at most {max(errors):.1e} nats")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pair", default="gpt2")
    parser.add_argument("--texts", type=int, default=10)
    parser.add_argument("--first", action="store_true", help="measure only the first picture")
    options = parser.parse_args()
    share_cores()
    predictor = Predictor.load(options.pair, device="cpu")
    encode = predictor.tokenizer.encode
    ours = load_pairs().pairs
    short = [
        pair for pair in ours if max(len(encode(pair.clean)), len(encode(pair.typo))) <= LONGEST
    ]
    Followed(predictor, short[0].clean, short[0].typo).report(("residual",))
    for pairs in (short, joined(short, encode)):
        chosen = pairs[:: max(1, len(pairs) // options.texts)][: options.texts]
        measure(predictor, chosen, not options.first)


if __name__ == "__main__":
    main()
