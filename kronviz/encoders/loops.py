"""Compiled loops of the fused encoder on a CPU. Importing this module imports numba.

Notable:

- Plain loops that release the GIL, not numba's own parallelism: its thread pools abort the process
  when two Python threads call them at once, as a web server's do. `cpu` runs slices on threads.
- Forward: a token's rows are added while its output row sits in the first-level cache. Backward:
  each thread owns a band of columns, so that nothing is added twice, nothing is locked, and the
  sums come out the same to the last bit however many threads there are.
- Machine code is kept on disk where numba can write, and compiled afresh where it cannot.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

log = logging.getLogger(__name__)
Loop = Callable[..., Any]


@dataclass(frozen=True)
class Loops:
    """The compiled loops for one floating-point type."""

    first_unknown: Loop
    encode: Loop
    backward: Loop


@functools.lru_cache(maxsize=2)
def compiled(dtype: str) -> Loops:
    """The loops for ``float32`` or ``float64``, ready to run.

    The first call on a machine takes seconds; with the machine code on disk, a tenth of one.
    """
    # Only the type that models compute in is worth a place on disk.
    for on_disk in (True, False) if dtype == "float32" else (False,):
        try:
            loops = Loops(
                *(
                    numba.njit(loop, nogil=True, cache=on_disk)
                    for loop in (_first_unknown, _encode, _backward)
                )
            )
            _run_once(loops, dtype)
        except (RuntimeError, OSError) as error:
            if not on_disk:
                raise
            log.info("numba cannot keep its machine code on disk (%s); compiling afresh", error)
        else:
            return loops
    raise AssertionError("unreachable")


def _run_once(loops: Loops, dtype: str) -> None:
    one = np.zeros((256, 1), dtype)
    ids, data = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    offsets, gains = np.array([0, 1], np.int32), np.ones(2, dtype)
    loops.first_unknown(ids, 1)
    loops.encode(one, one[0], ids, data, offsets, gains, gains, np.empty((1, 1), dtype), 0, 1)
    loops.backward(one[:1], ids, data, offsets, gains, np.empty((256, 1), dtype), 0, 1)


def _first_unknown(ids: Any, known: int) -> int:
    """Index of the first id outside ``[0, known)``, or -1."""
    for i in range(len(ids)):
        if ids[i] < 0 or ids[i] >= known:
            return i
    return -1


def _encode(
    weight: Any,
    mean: Any,
    ids: Any,
    data: Any,
    offsets: Any,
    gains: Any,
    shares: Any,
    out: Any,
    first: int,
    last: int,
) -> None:
    """Rows ``first … last - 1`` of the embedding: ``gain * sum of rows - share * mean``."""
    pos_dim = len(gains) - 1
    width = weight.shape[1]
    for i in range(first, last):
        start = offsets[ids[i]]
        length = offsets[ids[i] + 1] - start
        # Of the weight's own type: numba would widen a product with an integer to float64.
        gain, share = gains[length], shares[length]
        row = out[i]
        # Each pass adds as many rows as it can, for loads and stores of the output cost as much as
        # a row; the first adds what the passes of four leave over.
        p = length % 4
        if p == 0:
            for j in range(width):
                row[j] = -share * mean[j]
        elif p == 1:
            a = weight[data[start] * pos_dim]
            for j in range(width):
                row[j] = gain * a[j] - share * mean[j]
        elif p == 2:
            a = weight[data[start] * pos_dim]
            b = weight[data[start + 1] * pos_dim + 1]
            for j in range(width):
                row[j] = gain * (a[j] + b[j]) - share * mean[j]
        else:
            a = weight[data[start] * pos_dim]
            b = weight[data[start + 1] * pos_dim + 1]
            c = weight[data[start + 2] * pos_dim + 2]
            for j in range(width):
                row[j] = gain * ((a[j] + b[j]) + c[j]) - share * mean[j]
        while p < length:
            a = weight[data[start + p] * pos_dim + p]
            b = weight[data[start + p + 1] * pos_dim + p + 1]
            c = weight[data[start + p + 2] * pos_dim + p + 2]
            d = weight[data[start + p + 3] * pos_dim + p + 3]
            for j in range(width):
                row[j] += gain * ((a[j] + b[j]) + (c[j] + d[j]))
            p += 4


def _backward(
    grad: Any,
    ids: Any,
    data: Any,
    offsets: Any,
    gains: Any,
    out: Any,
    first: int,
    last: int,
) -> None:
    """Columns ``first … last - 1`` of the gradient of the projection: each cell's sum, centred."""
    pos_dim = len(gains) - 1
    band = out[:, first:last]
    width = last - first
    band[:] = 0
    for i in range(len(ids)):
        start = offsets[ids[i]]
        length = offsets[ids[i] + 1] - start
        gain = gains[length]
        source = grad[i, first:last]
        for p in range(length):
            target = band[data[start + p] * pos_dim + p]
            for j in range(width):
                target[j] += gain * source[j]
    centre = np.zeros(width)
    for cell in range(len(band)):
        row = band[cell]
        for j in range(width):
            centre[j] += row[j]
    shift = (centre / len(band)).astype(out.dtype)
    for cell in range(len(band)):
        row = band[cell]
        for j in range(width):
            row[j] -= shift[j]
