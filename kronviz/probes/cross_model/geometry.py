"""Norms, cosines and principal axes of the rows of a table, computed in blocks.

Notable:

- A table may fill most of the memory, so nothing here copies it.
- Principal axes are torch's: scikit-learn's `PCA` is as fast, but its figures differ from the
  stored ones in the fourth decimal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kronviz.probes.cross_model.report import SPECTRUM_ROWS, Anisotropy
from kronviz.probes.intervals import bootstrap_intervals

BLOCK = 1 << 22
SPECTRUM_VALUES = 1 << 25
RANDOM_PAIRS = 10_000
SPECTRUM_AXES = 10
Floats = NDArray[np.float32]


def parts(count: int, dims: int) -> Iterator[slice]:
    """Split rows into blocks of at most `BLOCK` numbers."""
    step = max(1, BLOCK // max(dims, 1))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def row_lengths(vectors: Floats) -> NDArray[np.float64]:
    """Return the norm of each row: float64, ``(n,)``; not finite if one of its numbers is not."""
    lengths = np.empty(len(vectors))
    with np.errstate(all="ignore"):
        for part in parts(*vectors.shape):
            lengths[part] = np.linalg.norm(vectors[part].astype(np.float64), axis=1)
    return lengths


def mean_row(vectors: Floats, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of some rows: float64, ``(d,)``."""
    total = np.zeros(vectors.shape[1])
    for part in parts(len(ids), vectors.shape[1]):
        total += vectors[ids[part]].sum(0, dtype=np.float64)
    return total / max(len(ids), 1)


def pair_cosines(
    vectors: Floats,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    mean: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the cosines of pairs of rows: float64, ``(pairs,)``.

    Args:
        mean: a row to subtract from every row first.
    """
    cosines = np.empty(len(first))
    for part in parts(len(first), 4 * vectors.shape[1]):
        a, b = (vectors[ids[part]].astype(np.float64) for ids in (first, second))
        if mean is not None:
            a -= mean
            b -= mean
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines[part] = np.einsum("nd,nd->n", a, b) / np.maximum(lengths, 1e-300)
    return cosines


def copies(vectors: Floats, ids: Sequence[int] | NDArray[np.int64]) -> int:
    """Return how many of the rows ``ids`` repeat an earlier one."""
    return len(ids) - len({hash(vectors[token].tobytes()) for token in ids})


def anisotropy(
    vectors: Floats,
    ids: NDArray[np.int64],
    lengths: NDArray[np.float64],
    mean: NDArray[np.float64],
    rng: np.random.Generator,
    seed: int,
    wanted: Callable[[], bool] = lambda: True,
) -> Anisotropy | None:
    """Measure how much the rows point in the same direction; ``None`` if no longer wanted.

    Args:
        ids: ids of the rows to measure.
        lengths: norms of all rows.
        mean: mean of the rows ``ids``.
        wanted: called between two steps.
    """
    pairs = rng.integers(0, len(ids), (RANDOM_PAIRS, 2))
    first, second = ids[pairs[pairs[:, 0] != pairs[:, 1]].T]
    most = min(SPECTRUM_ROWS, max(SPECTRUM_AXES, SPECTRUM_VALUES // vectors.shape[1]), len(ids))
    axes = _spectrum(vectors[ids[np.sort(rng.choice(len(ids), most, replace=False))]], seed)
    own = lengths[ids]
    if not wanted():
        return None
    return Anisotropy(
        cosine=bootstrap_intervals(pair_cosines(vectors, first, second)[:, None], seed, 500)[0],
        mean_share=float(np.linalg.norm(mean) / own.mean()),
        first_axis=axes[0],
        ten_axes=sum(axes),
        norm_mean=float(own.mean()),
        norm_deviation=float(own.std(ddof=1)),
    )


def _spectrum(rows: Floats, seed: int) -> list[float]:
    """Return the shares of the variance along the first principal axes."""
    rows -= rows.mean(0, dtype=np.float64).astype(np.float32)
    total = sum(float(np.square(rows[p], dtype=np.float64).sum()) for p in parts(*rows.shape))
    count = min(SPECTRUM_AXES, *rows.shape)
    if not total:
        return [0.0] * count
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A few more axes than needed, so that the last one is accurate, too.
        size = min(count + 10, *rows.shape)
        _, values, _ = torch.svd_lowrank(torch.from_numpy(rows), q=size, niter=6)
    return [float(value) ** 2 / total for value in values[:count]]
