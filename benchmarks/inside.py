"""How long it takes to follow a misspelling through both networks, beside a plain loop.

    python benchmarks/inside.py [--pair gpt2] [--texts 10]

Texts are pairs of ours with at most 16 tokens. Prints the median time until the first picture (both
texts read by every arm, the residual stream patched at every block and word), until everything is
there, and of a plain loop in the same run: a whole forward pass for each cell of the first picture.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.metrics import kl_divergence
from kronviz.model import GPT
from kronviz.predictor import Predictor
from kronviz.probes.inside import PARTS, Inside, steps
from kronviz.probes.pairs import load_pairs
from kronviz.serving import share_cores

LONGEST = 16


@torch.inference_mode()
def plain_loop(model: GPT, clean: list[int], typo: list[int], report: Inside) -> list[float]:
    """Return KL of every cell, each by a forward pass of its own with one hook."""
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pair", default="gpt2")
    parser.add_argument("--texts", type=int, default=10)
    options = parser.parse_args()
    share_cores()
    predictor = Predictor.load(options.pair, device="cpu")
    encode = predictor.tokenizer.encode
    short = [
        pair
        for pair in load_pairs().pairs
        if max(len(encode(pair.clean)), len(encode(pair.typo))) <= LONGEST
    ]
    chosen = short[:: max(1, len(short) // options.texts)][: options.texts]
    list(steps(predictor, chosen[0].clean, chosen[0].typo, parts=("residual",)))
    first, whole, plain, errors = [], [], [], []
    for pair in chosen:
        started = time.perf_counter()
        following = steps(predictor, pair.clean, pair.typo, parts=PARTS)
        report = next(following)
        first.append(time.perf_counter() - started)
        *_, report = following
        whole.append(time.perf_counter() - started)
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
    print(f"{options.pair}: {len(chosen)} texts of {min(tokens)} to {max(tokens)} tokens, ", end="")
    print(f"{len(predictor.arms)} arms")
    print(f"first picture: p50 {statistics.median(first):.2f} s, slowest {max(first):.2f} s")
    print(f"everything, heads included: p50 {statistics.median(whole):.2f} s")
    ratio = statistics.median(b / a for a, b in zip(first, plain, strict=True))
    print(f"a plain loop for the first picture: p50 {statistics.median(plain):.2f} s, ", end="")
    print(f"{ratio:.1f} times as long; KL differs by at most {max(errors):.1e} nats")


if __name__ == "__main__":
    main()
