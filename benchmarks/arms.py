"""Measure what each input embedding costs: bytes stored, time to embed, time of a training step.

    python benchmarks/arms.py --config tiny-seeds --write assets/studies/tiny-seeds/costs.json

All arms are timed in the same run, interleaved; ratios are to a learned table with a separate head.
The ids are those of the manual that comes with Python. A table looks its vectors up; the other arms
compute them from the bytes of the tokens.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path

import torch
from table import show
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.accounting.timing import going_through, machine, rounds, summarise
from kronviz.arms import ARMS
from kronviz.checkpoint import quantise
from kronviz.training.configs import load_config
from kronviz.training.throughput import ManualTrainer

PEER = "bpe-untied"
BATCHES = 8


def stored_bytes(embedding: nn.Module) -> int:
    """Return the bytes of an embedding in a checkpoint: int8 matrices with one scale per row."""
    return sum(
        sum(part.nbytes for part in quantise(parameter.detach().cpu()))
        if parameter.dim() == 2
        else parameter.nbytes
        for parameter in embedding.parameters()
    )


def _step(trainer: ManualTrainer) -> None:
    trainer.optimize(0.1)
    trainer.step += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="tiny-seeds")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--tokens", type=int, default=8192, help="number of ids to embed")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="seconds for each of the two timings"
    )
    parser.add_argument("--threads", type=int, help="default: PyTorch's choice")
    parser.add_argument("--write", type=Path, help="a JSON file for the page")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arms = list(dict.fromkeys((PEER, *arguments.arms)))
    config = load_config(arguments.config)
    trainers = {arm: ManualTrainer(config, arm, even=False) for arm in arms}
    device = trainers[PEER].device
    text = torch.from_numpy(trainers[PEER].text)
    batches = [
        text[None, torch.arange(start, start + arguments.tokens) % len(text)].to(device)
        for start in range(0, BATCHES * arguments.tokens, arguments.tokens)
    ]
    steps = {arm: functools.partial(_step, trainer) for arm, trainer in trainers.items()}
    for step in steps.values():
        step()
    stepped = summarise(rounds(steps, seconds=arguments.seconds, device=device))
    with torch.inference_mode():
        models = {arm: trainer.model.eval() for arm, trainer in trainers.items()}
        calls = {arm: going_through(batches, model.embed) for arm, model in models.items()}
        for call in calls.values():
            call()
        embedded = summarise(rounds(calls, seconds=arguments.seconds, device=device))
    costs = {
        arm: {
            "stored_bytes": stored_bytes(models[arm].wte),
            "embed_ms": round(e.milliseconds, 4),
            "embed_ratio": round(e.ratio, 3),
            "step_ms": round(s.milliseconds, 2),
            "step_ratio": round(s.ratio, 3),
        }
        for arm, e, s in zip(arms, embedded, stepped, strict=True)
    }
    head = ["", "MB stored", f"{arguments.tokens:,} ids, ms", "ratio", "a step, ms", "ratio"]
    rows = [
        [arm, f"{c['stored_bytes'] / 1e6:.2f}", f"{c['embed_ms']:.3g}", f"{c['embed_ratio']:.2f}",
         f"{c['step_ms']:.4g}", f"{c['step_ratio']:.2f}"]
        for arm, c in costs.items()
    ]  # fmt: skip
    where = machine(device)
    title = f"{config.name} on {where}; ratios are to {PEER}"
    show(title, head, rows, arguments.markdown)
    if arguments.write:
        command = f"python benchmarks/arms.py --config {config.name} --tokens {arguments.tokens}"
        if arguments.threads:
            command += f" --threads {arguments.threads}"
        about = {
            "machine": where,
            "command": command,
            "tokens": arguments.tokens,
            "step_tokens": config.tokens_per_step,
            "peer": PEER,
            "arms": costs,
        }
        arguments.write.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
