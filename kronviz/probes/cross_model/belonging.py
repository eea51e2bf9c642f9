"""Whether a table and a token list belong together: are tokens of like spelling near each other?

Notable:

- The test: take pairs of tokens that are the same word written otherwise, or a word and itself with
  an ending. Of each pair, replace the second by tokens whose ids are close to its own. In a table
  of other tokens, or an untrained one, the pair is no nearer than its replacements.
- Close ids, because ids come in order of frequency, and rows of like frequency are alike in any
  table: a comparison with tokens at random would take that for kinship.
- The threshold: a warning unless the mean of the differences is `THRESHOLD` standard errors above
  0. all-MiniLM-L6-v2's table is 75 above with its own tokens; with permuted ones the largest of
  200 was 2.9 (`benchmarks/belonging.py`).
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
"""How far the id of a replacement may lie from that of the token that it replaces."""


@dataclass(frozen=True)
class Belonging:
    """How much nearer kin by spelling are than tokens with ids close to theirs.

    Attributes:
        pairs: that were looked at.
        nearer: mean difference of the cosines.
        errors: the same in standard errors.
    """

    pairs: int
    nearer: float
    errors: float

    @property
    def doubtful(self) -> bool:
        """Whether kin are no nearer than chance."""
        return self.errors < THRESHOLD


def belonging(
    vectors: Floats,
    ids: NDArray[np.int64],
    pairs: list[tuple[int, int]],
    mean: NDArray[np.float64],
    rng: np.random.Generator,
) -> Belonging | None:
    """Test whether kin by spelling are nearer than chance; ``None`` for too few pairs.

    Args:
        ids: of the rows that are looked at.
        pairs: places in ``ids``.
        mean: row that is taken off before.
    """
    if len(pairs) < MIN_PAIRS:
        return None
    first, second = np.array(pairs).T
    kin = pair_cosines(vectors, ids[first], ids[second], mean)
    steps = rng.integers(1, min(REACH, len(ids) - 1) + 1, (CONTROLS, len(pairs)))
    signs = rng.choice((-1, 1), steps.shape)
    # Beyond either end the ids go on from the other; a pair's own first token is not a replacement.
    others = (second + signs * steps) % len(ids)
    others = np.where(others == first, (others + 1) % len(ids), others)
    controls = np.stack([pair_cosines(vectors, ids[first], ids[o], mean) for o in others])
    apart = kin - controls.mean(0)
    error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
    nearer = float(apart.mean())
    return Belonging(len(pairs), nearer, nearer / error if error > 1e-12 else np.sign(nearer) * 1e6)
