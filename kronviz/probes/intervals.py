"""How sure a mean is, and whether two models' yes/no answers differ: seeded.

Notable:

- One set of resampled pairs serves every column, so differences between arms stay paired.
- McNemar's exact test and Wilson's interval of a share are SciPy's.

>>> mcnemar_exact(3, 12)
0.03515625
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000
LEVEL = 0.95
_BLOCK = 250


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its 95% bootstrap interval, all three in the same unit."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class ArmMean:
    """Mean of one figure for one arm."""

    arm: str
    value: Interval


@dataclass(frozen=True)
class Difference:
    """A figure of ``arm`` − that of ``base``, item by item."""

    arm: str
    base: str
    value: Interval


def bootstrap_intervals(
    values: ArrayLike, seed: int, resamples: int = RESAMPLES
) -> tuple[Interval, ...]:
    """Return the mean of each column with its percentile bootstrap interval at 95%.

    Args:
        values: ``(n, columns)``, n ≥ 1; rows are drawn with replacement, columns together.
        seed: the same values and seed give the same bounds everywhere.
        resamples: how often n rows are drawn.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or not len(table):
        raise ValueError(f"values has shape {table.shape}; it must be (n, columns) with n ≥ 1.")
    if len(table) == 1:
        return tuple(Interval(mean, mean, mean) for mean in table[0].tolist())
    drawn = _resampled_means(table, np.random.default_rng(abs(seed)), resamples)
    return _percentiles(table.mean(0).tolist(), drawn)


def ratio_intervals(
    numerators: ArrayLike, denominators: ArrayLike, seed: int, resamples: int = RESAMPLES
) -> tuple[Interval, ...]:
    """Return the ratio of the sums of each two columns with its percentile bootstrap interval at
    95%.

    Args:
        numerators, denominators: ``(n, columns)`` each; the rows are drawn as those of
            `bootstrap_intervals` are, numerator and denominator together.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if top.ndim != 2 or top.shape != bottom.shape or not len(top):
        raise ValueError(f"The shapes {top.shape} and {bottom.shape} must be one (n, columns).")
    middle = (top.sum(0) / bottom.sum(0)).tolist()
    if len(top) == 1:
        return tuple(Interval(value, value, value) for value in middle)
    drawn = _resampled_means(np.hstack([top, bottom]), np.random.default_rng(abs(seed)), resamples)
    ratios = drawn[:, : top.shape[1]] / drawn[:, top.shape[1] :]
    return _percentiles(middle, ratios)


def ratio_differences(
    ones: tuple[NDArray[np.float64], NDArray[np.float64]],
    others: tuple[NDArray[np.float64], NDArray[np.float64]],
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[Interval, ...]:
    """Return the differences of two `ratio_intervals` over the same rows, which are drawn together.

    Args:
        ones, others: numerators and denominators, ``(n, columns)`` each; given is ones − others.
    """
    table = np.hstack([*ones, *others])
    means = table.mean(0), _resampled_means(table, np.random.default_rng(abs(seed)), resamples)
    middle, drawn = (
        top / bottom - other_top / other_bottom
        for top, bottom, other_top, other_bottom in (np.split(own, 4, axis=-1) for own in means)
    )
    return _percentiles(middle.tolist(), drawn)


def _percentiles(middle: Sequence[float], drawn: NDArray[np.float64]) -> tuple[Interval, ...]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0).tolist()
    return tuple(map(Interval, middle, low, high))


def difference_interval(first: ArrayLike, second: ArrayLike, seed: int) -> Interval:
    """Return the difference of two means, first − second, with its 95% bootstrap interval.

    Args:
        first, second: two samples that are not paired, each ``(n,)``; each is resampled by itself.
        seed: the same values and seed give the same bounds everywhere.
    """
    samples = [np.asarray(values, np.float64)[:, None] for values in (first, second)]
    if not all(map(len, samples)):
        raise ValueError("Each of the two samples must have at least one value.")
    rng = np.random.default_rng(abs(seed))
    drawn = [_resampled_means(values, rng, RESAMPLES)[:, 0] for values in samples]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn[0] - drawn[1], [tail, 1 - tail]).tolist()
    return Interval(float(samples[0].mean() - samples[1].mean()), low, high)


def _resampled_means(
    table: NDArray[np.float64], rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    n = len(table)
    means = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        # How often each row is drawn, which costs one product instead of a gather per column.
        drawn = rng.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        means[start : start + size] = times @ table / n
    return means


def wilson(hits: int, runs: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927), which stays inside 0 to 1."""
    from scipy.stats import binomtest  # As below.

    found = binomtest(hits, runs).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_first: how many items only the first of two models got right; ``only_second`` likewise.
    """
    # Imported here: scipy.stats takes a second, which nobody should wait for when the app starts.
    from scipy.stats import binomtest

    n = only_first + only_second
    return float(binomtest(only_first, n).pvalue) if n else 1.0
