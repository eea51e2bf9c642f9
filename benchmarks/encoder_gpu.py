"""Measure what applies only to a GPU: physical limits, calls without launch gaps, a training step.

``benchmarks/encoder.py`` runs this if there is a GPU.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from table import show
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.embedding import KroneckerEmbedding
from kronviz.model import GPT, ModelConfig

REPEATS, ROUNDS = 50, 6
OURS, TABLE, DYNAMIC = "kron, fused", "nn.Embedding", "reference, dynamic"
"""Names of the implementations in tables."""
ROWS = 16, 1025
"""Sequences of a training step, and ids per sequence: one more than the model reads."""
SETS = 8
"""Number of batches that a graph cycles through, so that it does not reread the last one."""


def milliseconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of a call on the GPU."""
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def copy_bytes_per_ms() -> float:
    """Return the bytes that a large copy reads and writes per millisecond."""
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / milliseconds(lambda: target.copy_(source))


def additions_per_ms() -> float:
    """Return float32 additions per millisecond in a large matrix product without tensor cores."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        matrix = torch.randn(8192, 8192, device="cuda")
        return 8192**3 / milliseconds(lambda: matrix @ matrix, 10)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def replayed(module: nn.Module, batches: list[Tensor]) -> float:
    """Return the milliseconds of a forward pass replayed from a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for ids in batches:
            module(ids)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        kept = [module(ids) for ids in batches]
    found = milliseconds(graph.replay) / len(batches)
    del kept
    return found


def report(cases: dict[str, Any], made: dict[str, nn.Module], markdown: bool) -> None:
    """Print the limits, the times from graphs, and the training step of both arms.

    Args:
        cases: the first is the base case, for which ``made`` was made; the others differ in ids.
    """
    memory, rate = copy_bytes_per_ms(), additions_per_ms()
    print(f"\nA copy moves {memory / 1e9:.2f} TB/s; float32 adds at {rate / 1e9:.1f} T/s.")
    kron = next(m for m in made.values() if isinstance(m, KroneckerEmbedding))
    columns = []
    for label, case in cases.items():
        batches = [case.ids(number) for number in range(SETS)]
        moved, added = floors(kron, batches[0])
        print(
            f"Floors of the forward pass, {label}: {moved / memory * 1e3:.1f} µs for bytes, "
            f"{added / rate * 1e3:.1f} µs for additions."
        )
        columns.append({name: graphed(module, batches) * 1e3 for name, module in made.items()})
    first = columns[0]
    rows = [
        [name, *(f"{column[name]:.1f} (×{column[name] / column[TABLE]:.2f})" for column in columns)]
        for name in first
    ]
    heading = f"{'### ' * markdown}Forward without launches, µs (ratio to {TABLE})"
    show(heading, ["", *cases], rows, markdown)
    for one, other, limit in ((OURS, TABLE, "at most 1.5"), (DYNAMIC, OURS, "at least 40")):
        if one in first and other in first:
            ratios = ", ".join(f"{column[one] / column[other]:.3g}" for column in columns)
            print(f"{one}, over {other} ({limit}): {ratios}")
    case = next(iter(cases.values()))
    text = replace(case, tokens=math.prod(ROWS)).ids().view(ROWS)
    steps = step_milliseconds(text)
    print(
        f"Training step, GPT-2 124M's shape, 16 × 1,024 tokens, bf16, compiled: bpe "
        f"{steps['bpe']:.2f} ms, kron {steps['kron']:.2f} ms, ratio (at most 1) "
        f"{steps['kron'] / steps['bpe']:.4f}"
    )


def floors(kron: KroneckerEmbedding, ids: Tensor) -> tuple[int, int]:
    """Return the minimum bytes that a forward pass moves and additions that it makes."""
    lengths = (kron.offsets[1:] - kron.offsets[:-1]).long()
    bytes_read, width = int(lengths[ids].sum()), kron.embedding_dim
    # Read once: ids, two offsets and the bytes of each token, the rows in use. Written: the result.
    rows = min(int(lengths[torch.unique(ids)].sum()), len(kron.weight))
    moved = ids.nbytes + 8 * len(ids) + bytes_read
    moved += (rows + len(ids)) * width * kron.weight.element_size()
    return moved, bytes_read * width


def graphed(module: nn.Module, batches: list[Tensor]) -> float:
    """Return the milliseconds of a forward pass: from a CUDA graph, or without one if none can be
    recorded.
    """
    can = isinstance(module, nn.Embedding | nn.EmbeddingBag | KroneckerEmbedding)
    if can and getattr(module, "encoder", "") != "reference":
        return replayed(module, batches)
    with torch.inference_mode():
        return milliseconds(lambda: module(batches[0]), 10)


def step_milliseconds(ids: Tensor) -> dict[str, float]:
    """Return the milliseconds of an optimizer step of each arm, on ids of shape `ROWS`.

    The arms' steps are interleaved, because a GPU's clock varies by more than their difference.
    """
    steps = {arm: _step(arm, ids) for arm in ("bpe", "kron")}
    times: dict[str, list[float]] = {arm: [] for arm in steps}
    for _ in range(ROUNDS):
        for arm, step in steps.items():
            times[arm].append(milliseconds(step, 5))
    return {arm: statistics.median(found) for arm, found in times.items()}


def _step(arm: str, ids: Tensor) -> Callable[[], None]:
    torch.manual_seed(0)
    model = GPT(ModelConfig(arm, "r50k_base", 768, 12, 12, 1024)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    model.compile_training()

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = model.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
