"""Which tile suits the fused encoder's forward kernel on this GPU: each sensible one, timed.

    python benchmarks/tiles.py [--d-model 768] [--tokens 8192 65536]

Times are those of a CUDA graph's replay, so that no launch is counted, beside `nn.Embedding`'s.
`kronviz.encoders.gpu` holds the tile that is used.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import encoder_gpu
from encoder import OURS, TABLE, Case, contestants
from table import show

from kronviz.encoders import gpu

Tile = tuple[int, int, int, int, int]
"""Tokens, columns, warps, bytes read at once, and programs that stay on a multiprocessor."""
BEST = 12
"""Rows that are shown, and tiles that are timed at the other sizes."""


def tiles(width: int) -> Iterator[Tile]:
    """A program a tile, with 4 to 32 numbers for each thread; and programs that stay."""
    for tokens, columns, warps, unroll in itertools.product(
        (1, 2, 4, 8, 16), (128, 256, 512, 1024), (1, 2, 4), (1, 2, 4, 8)
    ):
        if 4 <= tokens * columns // (32 * warps) <= 32 and columns < 2 * width:
            yield tokens, columns, warps, unroll, 0
    # Blocks so narrow that their share of all rows in use fits into the first-level cache.
    for columns, per_thread, warps, unroll, stay in itertools.product(
        (32, 64, 128), (8, 16), (1, 2, 4), (2, 4), (8, 16, 32)
    ):
        tokens = 32 * warps * per_thread // columns
        if tokens >= 2 and warps * stay <= 64 and columns < 2 * width:
            yield tokens, columns, warps, unroll, stay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--d-model", type=int, default=768)
    parser.add_argument("--tokens", type=int, nargs="+", default=[8192, 65_536])
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA GPU.")
    first, *others = (
        Case(tokens=count, d_model=arguments.d_model, dtype=torch.bfloat16, device="cuda")
        for count in arguments.tokens
    )
    made, _ = contestants(first, training=False)

    def timed(case: Case, tile: Tile) -> float:
        gpu.TOKENS, gpu.COLUMNS, gpu.WARPS, gpu.UNROLL, gpu.STAY = tile
        return encoder_gpu.replayed(made[OURS], batches(case)) * 1e3

    def batches(case: Case) -> list[torch.Tensor]:
        return [case.ids(seed) for seed in range(encoder_gpu.SETS)]

    found = sorted((timed(first, tile), tile) for tile in tiles(first.d_model))[:BEST]
    cases = [first, *others]
    tables = [encoder_gpu.replayed(made[TABLE], batches(case)) * 1e3 for case in cases]
    rows = []
    for microseconds, tile in found:
        times = [microseconds, *(timed(case, tile) for case in others)]
        rows.append(
            [
                " · ".join(map(str, tile)),
                *(f"{t:.1f} (×{t / table:.2f})" for t, table in zip(times, tables, strict=True)),
            ]
        )
    show(
        f"{torch.cuda.get_device_name()}, bfloat16, d = {first.d_model}: µs (ratio to {TABLE})",
        ["tokens · columns · warps · unrolled · staying", *(f"{case.tokens:,}" for case in cases)],
        rows,
        arguments.markdown,
    )


if __name__ == "__main__":
    main()
