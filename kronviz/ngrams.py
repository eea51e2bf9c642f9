"""Hashed byte n-grams: which rows of a learned matrix a byte string selects.

Notable:

- The bytes are put between a begin and an end mark, so that short tokens have n-grams of their own,
  and a prefix differs from the same letters within a word.
- N-grams do not depend on their position: an extra letter at the front leaves the n-grams after it
  unchanged.

Sources: fastText (Bojanowski et al. 2017, arXiv 1607.04606) for bags of hashed n-grams, T-FREE
(arXiv 2406.19223) for such bags as the whole input embedding.

>>> rule = Rule(rows=8192)
>>> len(rule.cells(b"of")), len(set(rule.cells(b"of")) & set(rule.cells(b"off")))
(6, 3)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BEGIN, END = 256, 257
"""The marks before the first and after the last byte."""
OFFSET, PRIME = 0x811C9DC5, 0x01000193
"""Constants of the 32-bit FNV-1a hash."""
MIX = 0x85EBCA6B, 0xC2B2AE35
"""Multipliers of MurmurHash3's finaliser."""


@dataclass(frozen=True)
class Rule:
    """Which n-grams are used, and how many rows they are hashed to.

    Attributes:
        rows: number of rows that n-grams are hashed to.
        shortest, longest: symbols in an n-gram: bytes and marks.

    Raises:
        ValueError: there are no rows, or no lengths.
    """

    rows: int
    shortest: int = 2
    longest: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.rows < 2**31:
            raise ValueError(
                f"rows is {self.rows}; it must be a whole number from 1 to {2**31 - 1}"
            )
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(
                f"shortest is {self.shortest} and longest {self.longest}; shortest must be at "
                "least 1 and at most longest"
            )

    def cells(self, data: bytes) -> NDArray[np.int64]:
        """Return the row of every n-gram of a byte string, ``(n_grams,)``, the shortest first.

        A row to which several n-grams hash is repeated.
        """
        symbols = np.empty(len(data) + 2, np.uint32)
        symbols[0], symbols[-1] = BEGIN, END
        symbols[1:-1] = np.frombuffer(data, np.uint8)
        hashes = np.full(len(symbols), OFFSET, np.uint32)
        rows = [np.zeros(0, np.uint32)]
        for n in range(1, min(self.longest, len(symbols)) + 1):
            count = len(symbols) - n + 1
            hashes = (hashes[:count] ^ symbols[n - 1 :]) * np.uint32(PRIME)
            if n >= self.shortest:
                rows.append(mix(hashes) % np.uint32(self.rows))
        return np.concatenate(rows).astype(np.int64)

    def spans(self, length: int) -> Iterator[tuple[int, int]]:
        """Yield the range of bytes, start and exclusive end, that each n-gram of `cells` covers."""
        for n in range(self.shortest, min(self.longest, length + 2) + 1):
            for start in range(length + 3 - n):
                yield max(0, start - 1), min(length, start + n - 1)


def mix(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Mix the bits of 32-bit hashes (MurmurHash3's finaliser)."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(MIX[0])
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(MIX[1])
    return hashes ^ (hashes >> np.uint32(16))
