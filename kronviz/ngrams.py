"""Hashed byte n-grams: which rows of a learned matrix a byte string shares with its kin.

Notable:

- The bytes stand between two marks, one for the beginning and one for the end, so that short tokens
  have n-grams that nothing else has, and a prefix differs from the same letters within a word.
- Nothing is absolute: a letter more at the front leaves all n-grams behind it as they are.

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
"""Symbols before the first and behind the last byte."""
OFFSET, PRIME = 0x811C9DC5, 0x01000193
"""Of the 32-bit FNV-1a hash."""
MIX = 0x85EBCA6B, 0xC2B2AE35
"""Factors of MurmurHash3's finaliser."""


@dataclass(frozen=True)
class Rule:
    """Which n-grams count and how many rows they are hashed to.

    Attributes:
        rows: rows of the matrix that n-grams share.
        shortest, longest: bytes of an n-gram, marks included.

    Raises:
        ValueError: there are no rows, or no lengths.
    """

    rows: int
    shortest: int = 2
    longest: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.rows < 2**31:
            raise ValueError(
                f"rows is {self.rows}; an n-gram needs 1 to {2**31 - 1} to choose from"
            )
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(
                f"n-grams of {self.shortest} to {self.longest} bytes: the shortest must have at "
                "least one, and no more than the longest"
            )

    def cells(self, data: bytes) -> NDArray[np.int64]:
        """Return the row of every n-gram of a byte string, ``(n_grams,)``, the shortest first.

        A row that several n-grams hash to is there as often.
        """
        symbols = np.empty(len(data) + 2, np.uint32)
        symbols[0], symbols[-1] = BEGIN, END
        symbols[1:-1] = np.frombuffer(data, np.uint8)
        hashes = np.full(len(symbols), OFFSET, np.uint32)
        found = [np.zeros(0, np.uint32)]
        for n in range(1, min(self.longest, len(symbols)) + 1):
            count = len(symbols) - n + 1
            hashes = (hashes[:count] ^ symbols[n - 1 :]) * np.uint32(PRIME)
            if n >= self.shortest:
                found.append(mix(hashes) % np.uint32(self.rows))
        return np.concatenate(found).astype(np.int64)

    def spans(self, length: int) -> Iterator[tuple[int, int]]:
        """Yield the bytes that each n-gram of `cells` covers: the first, and the one behind it."""
        for n in range(self.shortest, min(self.longest, length + 2) + 1):
            for start in range(length + 3 - n):
                yield max(0, start - 1), min(length, start + n - 1)


def mix(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Spread 32-bit hashes over all their bits (MurmurHash3's finaliser)."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(MIX[0])
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(MIX[1])
    return hashes ^ (hashes >> np.uint32(16))
