"""A table of token vectors in memory, filled block by block from any source.

Notable:

- A table is in memory once, as float32; reading it makes no second copy.
- Of a table too large for `MAX_VALUES` only the first rows are read, because most vocabularies
  order ids by frequency.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import MIN_ROWS, short
from kronviz.progress import Progress, tell

MAX_MAP_TOKENS = 4_000
"""Most tokens of a map, which needs a copy of their rows."""
MAX_VALUES = 171_000_000
"""Most numbers in memory, with those of a map: Gemma 3's 262,208 rows of 640 fit, in 0.7 GB."""
MIN_DIMS, MAX_DIMS = 2, 16_384
BLOCK_VALUES = 1 << 22
"""Numbers that are converted to float32 at once."""


@dataclass(frozen=True)
class VectorTable:
    """A table of vectors.

    Attributes:
        vectors: float32, shape ``(rows read, dims)``.
        name: name of the tensor or of the file.
        dtype: the type in which they were stored.
        rows: number of rows in the file; ``vectors`` has the first of them.
        notes: sentences on how the table was chosen.
    """

    vectors: NDArray[np.float32]
    name: str
    dtype: str
    rows: int
    notes: tuple[str, ...] = ()


def check_shape(rows: int, dims: int, name: str) -> int:
    """Return how many rows of a table to read; `InputError` if it cannot be a table of tokens."""
    if rows < MIN_ROWS or not MIN_DIMS <= dims <= MAX_DIMS:
        raise InputError(
            f"{short(name)} has {rows:,} rows of {dims:,} numbers; a table of tokens has at least "
            f"{MIN_ROWS} rows and {MIN_DIMS} to {MAX_DIMS:,} numbers in each."
        )
    return min(rows, MAX_VALUES // dims - MAX_MAP_TOKENS)


def filled(
    rows: int,
    dims: int,
    read: Callable[[int, int], NDArray[np.floating]],
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Fill a table.

    Args:
        read: returns the rows from a first up to, but excluding, a last one.
        progress: called with the rows read.

    Raises:
        Stopped: ``progress`` returned ``False``.
    """
    vectors = np.empty((rows, dims), np.float32)
    step = max(1, BLOCK_VALUES // dims)
    with np.errstate(over="ignore"):
        for first in range(0, rows, step):
            tell(progress, first, rows)
            last = min(rows, first + step)
            vectors[first:last] = read(first, last)
    return vectors


def part_of(file: BinaryIO, first: int, end: int) -> bytes:
    """Return the bytes of a file from ``first`` up to ``end``."""
    file.seek(first)
    return file.read(end - first)
