"""Tests whether a table and a token list are of the same model: is similar spelling near?

Notable:

- The test takes pairs of tokens that are the same word in different spellings, or a word and the
  same word with an ending, and replaces the second of each pair by tokens with similar ids. In a
  table of other tokens, or an untrained one, the pairs are no closer than the replacements.
- Similar ids, because ids are ordered by frequency, and rows of similar frequency are similar in
  any table; random tokens would make that look like a relation.
- The table is doubted unless the mean difference is `THRESHOLD` standard errors above 0. For
  all-MiniLM-L6-v2's table it is 75 with its own tokens; with permuted tokens the largest of 200
  was 2.9 (`benchmarks/belonging.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kronviz.probes.cross_model.geometry import Floats, pair_cosines

THRESHOLD = 3.0
MIN_PAIRS = 8
CONTROLS = 8
REACH = 100
"""Largest distance between the ids of a token and its replacement."""


@dataclass(frozen=True)
class Belonging:
    """How much closer tokens of related spelling are than tokens of similar ids.

    Attributes:
        pairs: number of pairs compared.
        nearer: mean difference of the cosines.
        errors: the same in standard errors.
    """

    pairs: int
    nearer: float
    errors: float

    @property
    def doubtful(self) -> bool:
        """Return whether related tokens are no closer than chance."""
        return self.errors < THRESHOLD


def belonging(
    vectors: Floats,
    ids: NDArray[np.int64],
    pairs: list[tuple[int, int]],
    mean: NDArray[np.float64],
    rng: np.random.Generator,
) -> Belonging | None:
    """Test whether tokens of related spelling are closer than chance; ``None`` for too few pairs.

    Args:
        ids: ids of the rows to compare.
        pairs: pairs of indices in ``ids``.
        mean: the row to subtract first.
    """
    if len(pairs) < MIN_PAIRS:
        return None
    first, second = np.array(pairs).T
    kin = pair_cosines(vectors, ids[first], ids[second], mean)
    steps = rng.integers(1, min(REACH, len(ids) - 1) + 1, (CONTROLS, len(pairs)))
    signs = rng.choice((-1, 1), steps.shape)
    # Ids wrap around at both ends; a pair's own first token is not a replacement.
    others = (second + signs * steps) % len(ids)
    others = np.where(others == first, (others + 1) % len(ids), others)
    controls = np.stack([pair_cosines(vectors, ids[first], ids[o], mean) for o in others])
    differences = kin - controls.mean(0)
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    nearer = float(differences.mean())
    return Belonging(len(pairs), nearer, nearer / error if error > 1e-12 else np.sign(nearer) * 1e6)
