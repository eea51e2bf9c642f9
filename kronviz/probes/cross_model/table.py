"""A table of token vectors in memory, filled part by part from whatever holds it.

Notable:

- A table is held once, as float32; nothing makes a second copy of it while it is read.
- Of a table with more than `MAX_VALUES` numbers the first rows are read: ids come in order of
  frequency in most vocabularies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import MIN_ROWS, short

MAX_VALUES = 200_000_000
"""Gemma 3's 262,208 rows of 640 fit, in 0.7 GB."""
MIN_DIMS, MAX_DIMS = 2, 16_384
BLOCK_VALUES = 1 << 22
"""Numbers that are turned into float32 at once."""


@dataclass(frozen=True)
class VectorTable:
    """A table of vectors.

    Attributes:
        vectors: float32, shape ``(rows read, dims)``.
        name: of the tensor or the file that they came from.
        dtype: as it was stored.
        rows: how many there are in all; the first of them are in ``vectors``.
        notes: sentences about how the table was chosen.
    """

    vectors: NDArray[np.float32]
    name: str
    dtype: str
    rows: int
    notes: tuple[str, ...] = ()


def check_shape(rows: int, dims: int, name: str) -> int:
    """Return how many rows of a table are read; `InputError` where it cannot be one of tokens."""
    if rows < MIN_ROWS or not MIN_DIMS <= dims <= MAX_DIMS:
        raise InputError(
            f"{short(name)} has {rows:,} rows of {dims:,} numbers; a table of tokens has at least "
            f"{MIN_ROWS} rows and {MIN_DIMS} to {MAX_DIMS:,} numbers in each."
        )
    return min(rows, MAX_VALUES // dims)


def filled(
    rows: int, dims: int, read: Callable[[int, int], NDArray[np.floating]]
) -> NDArray[np.float32]:
    """Fill a table.

    Args:
        read: from the first row and the one after the last to these rows.
    """
    vectors = np.empty((rows, dims), np.float32)
    step = max(1, BLOCK_VALUES // dims)
    with np.errstate(over="ignore"):
        for first in range(0, rows, step):
            last = min(rows, first + step)
            vectors[first:last] = read(first, last)
    return vectors


def part_of(file: BinaryIO, first: int, end: int) -> bytes:
    """Return the bytes of a file from ``first`` up to ``end``."""
    file.seek(first)
    return file.read(end - first)
