"""Time every sensible tile of the fused encoder's forward kernel on this GPU.

    python benchmarks/tiles.py [--d-model 768] [--tokens 8192 65536]

Times are of a CUDA graph's replay, without launches, and are compared with `nn.Embedding`.
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

Tile = tuple[int, int, int, int]
"""Columns per block, blocks per warp, bytes read at once, warps per multiprocessor."""
BEST = 12
"""Number of rows shown, and of tiles that are timed at the other sizes."""


def tiles(width: int) -> Iterator[Tile]:
    for tile in itertools.product((128, 256, 512), (1, 2, 3, 4), (1, 2, 4), (16, 32, 64)):
        if tile[0] * tile[1] < 2 * width:
            yield tile


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
        gpu.COLUMNS, gpu.BLOCKS, gpu.STEPS, gpu.RESIDENT = tile
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
        ["columns · blocks · bytes at once · warps", *(f"{case.tokens:,}" for case in cases)],
        rows,
        arguments.markdown,
    )


if __name__ == "__main__":
    main()
