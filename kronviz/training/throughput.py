"""Measure how fast a machine trains a configuration, and how close that is to its peak.

    python -m kronviz.training.throughput --config gpt2 [--seconds 20] [--minutes 12] [--even]

For each arm: tokens per second, median step time, memory, and model-FLOP utilisation. The last is
the number of operations that the model needs (per token, 6 for each weight of a matrix product and
12 · layers · width · context for attention; a table look-up needs none), divided by what the same
machine does in one large matrix product in the same run. ``--minutes`` prints how many steps fit
into that time. The text is the manual that comes with Python, so nothing has to be prepared;
``--even`` draws ids uniformly from the vocabulary instead, which is unlike any text.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pydoc_data.topics import topics

import numpy as np
import torch
from numpy.typing import NDArray

from kronviz import cli
from kronviz.checkpoint_files import PAIR
from kronviz.model import GPT, padded_vocabulary
from kronviz.tokenizer import load_tokenizer
from kronviz.training.configs import TrainConfig, add_config_arguments, load_config
from kronviz.training.train import Trainer

WARM_UP = 3
"""Steps before timing starts, for compilation, the allocator and first memory accesses."""


@dataclass(frozen=True)
class Throughput:
    """The training speed of one arm.

    Attributes:
        step_seconds: median time of an optimizer step.
        tokens_per_second: tokens of a step divided by that time.
        utilisation: model FLOPs per second divided by ``peak_flops``.
        peak_flops: operations per second of one large product on the same machine.
        memory_bytes: peak memory allocated on the GPU; ``None`` on a CPU.
    """

    arm: str
    step_seconds: float
    tokens_per_second: float
    utilisation: float
    peak_flops: float
    memory_bytes: int | None


def flops_per_token(model: GPT, scored: int = 0) -> int:
    """Return the operations of the forward and backward pass for one token (PaLM, appendix B).

    Args:
        scored: number of tokens that the head scores; 0 for all.
    """
    config = model.config
    matrices = sum(p.numel() for p in model.blocks.parameters() if p.dim() == 2)
    matrices += config.d_model * (scored or len(model.lm_head.weight))
    return 6 * matrices + 12 * config.n_layer * config.d_model * config.n_ctx


def peak_flops(device: torch.device) -> float:
    """Return the operations per second of a square matrix product, the median of ten.

    It is in bfloat16, or in float32 on a CPU where that is faster, as many lack bfloat16.
    """
    if device.type == "cuda":
        return _product_flops(8192, torch.bfloat16, device)
    return max(_product_flops(512, dtype, device) for dtype in (torch.bfloat16, torch.float32))


def _product_flops(size: int, dtype: torch.dtype, device: torch.device) -> float:
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for turn in range(13):
        started = _now(device)
        a @ b
        if turn >= WARM_UP:
            times.append(_now(device) - started)
    return 2 * size**3 / statistics.median(times)


def manual() -> str:
    """Return the manual that comes with Python: half a megabyte of text on every machine."""
    return "\n".join(topics.values())


class ManualTrainer(Trainer):
    """A trainer that reads the Python manual, or uniformly drawn ids, and writes nothing."""

    def __init__(self, config: TrainConfig, arm: str, even: bool):
        tokenizer = load_tokenizer(config.vocabulary)
        self.n_vocab = tokenizer.n_vocab
        self.text = None if even else np.array(tokenizer.encode(manual()))
        self.start(config, arm)

    def _counts(self) -> NDArray[np.integer]:
        ids = np.arange(self.n_vocab) if self.text is None else self.text
        size = len(padded_vocabulary(load_tokenizer(self.config.vocabulary)))
        return np.bincount(ids, minlength=size)

    def rows(self, step: int) -> NDArray[np.int64]:
        shape = self.config.batch_size, self.config.n_ctx + 1
        draw = np.random.default_rng(step)
        if self.text is None:
            return draw.integers(self.n_vocab, size=shape)
        starts = draw.integers(len(self.text) - shape[1], size=shape[0])
        return self.text[starts[:, None] + np.arange(shape[1])]


def throughput(
    config: TrainConfig, arm: str, seconds: float = 20.0, even: bool = False
) -> Throughput:
    """Train for a while and time the steps.

    Args:
        even: draw ids uniformly from the vocabulary instead of reading text.
    """
    trainer = ManualTrainer(config, arm, even)
    device = trainer.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    deadline = float("inf")
    while len(times) < WARM_UP + 3 or _now(device) < deadline:
        if len(times) == WARM_UP:
            deadline = _now(device) + seconds
        started = _now(device)
        trainer.optimize(0.1)
        trainer.step += 1
        times.append(_now(device) - started)
    step_seconds = statistics.median(times[WARM_UP:])
    tokens_per_second = config.tokens_per_step / step_seconds
    peak = peak_flops(device)
    return Throughput(
        arm=arm,
        step_seconds=step_seconds,
        tokens_per_second=tokens_per_second,
        utilisation=flops_per_token(trainer.model, config.scored) * tokens_per_second / peak,
        peak_flops=peak,
        memory_bytes=torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_config_arguments(parser)
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds to time each arm")
    parser.add_argument("--even", action="store_true", help="uniformly drawn ids instead of text")
    parser.add_argument("--minutes", type=float, help="print how many steps fit into this time")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    speeds = [throughput(config, arm, arguments.seconds, arguments.even) for arm in PAIR]
    for one in speeds:
        memory = f", {one.memory_bytes / 1e9:.1f} GB" if one.memory_bytes else ""
        print(
            f"{one.arm}: {one.tokens_per_second:,.0f} tokens/s, step {one.step_seconds:.4f} s, "
            f"{one.utilisation:.1%} of {one.peak_flops / 1e12:.2f} TFLOP/s{memory}"
        )
        if arguments.minutes:
            steps = int(60 * arguments.minutes / one.step_seconds)
            print(f"  in {arguments.minutes:g} minutes: {steps:,} steps, "
                  f"{steps * config.tokens_per_step / 1e6:,.0f} M tokens")  # fmt: skip
    bpe, kron = speeds
    print(f"kron's step takes {kron.step_seconds / bpe.step_seconds:.3f} of bpe's time")


if __name__ == "__main__":
    cli.run(main)
