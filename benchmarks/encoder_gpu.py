"""What only a GPU is asked: the physical floors, calls without launch gaps, and a training step.

Part of ``benchmarks/encoder.py``, which runs it where there is a GPU.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kronviz.embedding import KroneckerEmbedding
from kronviz.model import GPT, ModelConfig

REPEATS = 50
SETS = 8
"""Batches of ids that a graph goes through, so that it does not read what it has just read."""


def milliseconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of a call on the GPU."""
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
    """Bytes read and written in a millisecond by a large copy."""
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / milliseconds(lambda: target.copy_(source))


def additions_per_ms() -> float:
    """Float32 additions in a millisecond, from a large matrix product without matrix units."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        matrix = torch.randn(8192, 8192, device="cuda")
        return 8192**3 / milliseconds(lambda: matrix @ matrix, 10)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def replayed(module: nn.Module, batches: list[Tensor]) -> float:
    """Milliseconds of a forward pass replayed from a CUDA graph."""
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


def report(case: Any, made: dict[str, nn.Module], ids: Callable[[int], Tensor]) -> None:
    """Print floors, times from graphs, and the step of both arms, at one case."""
    kron = next(m for m in made.values() if isinstance(m, KroneckerEmbedding))
    batches = [ids(seed) for seed in range(SETS)]
    lengths = (kron.offsets[1:] - kron.offsets[:-1])[batches[0]].long()
    number = kron.weight.element_size()
    used = torch.unique(batches[0])
    cells = int((kron.offsets[1:] - kron.offsets[:-1])[used].sum())
    # Read once: ids, two offsets and the bytes of each token, the rows in use. Written: the result.
    rows = min(cells, kron.weight.shape[0])
    moved = batches[0].nbytes + 8 * len(lengths) + int(lengths.sum())
    moved += (rows + len(lengths)) * case.d_model * number
    added = int(lengths.sum()) * case.d_model
    memory, rate = copy_bytes_per_ms(), additions_per_ms()
    print(f"\nA copy moves {memory / 1e9:.2f} TB/s; float32 adds at {rate / 1e9:.1f} T/s.")
    print(
        f"Floors of the forward pass at {case.tokens:,} tokens, d = {case.d_model}: "
        f"{moved / memory * 1e3:.1f} µs for bytes, {added / rate * 1e3:.1f} µs for additions."
    )
    for name, module in made.items():
        print(f"  from a graph, {name}: {replayed(module, batches) * 1e3:.1f} µs")
    steps = {arm: step_milliseconds(arm) for arm in ("bpe", "kron")}
    print(
        f"Training step, GPT-2 124M's shape, 16 × 1,024 tokens, bf16, compiled: bpe "
        f"{steps['bpe']:.1f} ms, kron {steps['kron']:.1f} ms, ratio "
        f"{steps['kron'] / steps['bpe']:.4f}"
    )


def step_milliseconds(arm: str) -> float:
    """A whole optimizer step of one arm."""
    torch.manual_seed(0)
    model = GPT(ModelConfig(arm, "r50k_base", 768, 12, 12, 1024)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    model.compile_training()
    ids = torch.randint(model.n_vocab, (16, 1025), device="cuda")

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = model.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return milliseconds(step, 20)
