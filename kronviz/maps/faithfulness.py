"""Measures how far a picture can be trusted: trustworthiness and neighbour overlap.

Notable:

- Both take a point's ``k`` nearest in the picture and find their ranks in the original space.
  Trustworthiness (Venna and Kaski 2001) uses the ranks, overlap whether they are at most ``k``.
- Among equal cosines, which are common in the code, a neighbour gets the best rank.
- Up to `ALL` points all are measured, of more points a seeded sample.
- `sklearn.manifold.trustworthiness` needs all n × n distances in memory, and breaks ties by order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kronviz.maps.spaces import Codes, Vectors
from kronviz.progress import Progress, tell

ALL = 10_000
SAMPLE = 2_000
BLOCK = 256


@dataclass(frozen=True)
class Faithfulness:
    """How faithful a picture is.

    Attributes:
        k: number of nearest points used.
        asked: number of points measured.
        trustworthiness: 0 to 1; 1 if the nearest in the picture are the nearest in the space.
        overlap: mean share of the ``k`` nearest in the picture that are also among the ``k``
            nearest in the space.
    """

    k: int
    asked: int
    trustworthiness: float
    overlap: float


def faithfulness(
    content: Vectors | Codes,
    flat: NDArray[np.floating],
    k: int = 15,
    progress: Progress | None = None,
) -> Faithfulness:
    """Measure a picture against the space that it shows.

    Args:
        flat: coordinates, shape ``(n, 2)``, in the order of the content.
        k: how many nearest; reduced to less than half of the points.
        progress: called with the number of points done.

    Raises:
        Stopped: ``progress`` returned ``False``.
    """
    count = len(flat)
    k = min(k, (count - 1) // 2)
    if k < 1:
        return Faithfulness(0, 0, 1.0, 1.0)
    asked = np.arange(count)
    if count > ALL:
        asked = np.sort(np.random.default_rng(0).choice(count, SAMPLE, replace=False))
    near = picture_nearest(flat, asked, k)
    penalty, shared = 0, 0
    for start in range(0, len(asked), BLOCK):
        tell(progress, start, len(asked))
        part = asked[start : start + BLOCK]
        similar = content.similarities(content.own(part))
        similar[np.arange(len(part)), part] = -np.inf
        seen = np.take_along_axis(similar, near[start : start + BLOCK], 1)
        for column in range(k):
            ranks = 1 + (similar > seen[:, column, None]).sum(1)
            penalty += int(np.maximum(ranks - k, 0).sum())
            shared += int((ranks <= k).sum())
    trust = 1 - 2 * penalty / (len(asked) * k * (2 * count - 3 * k - 1))
    return Faithfulness(k, len(asked), float(trust), shared / (len(asked) * k))


def picture_nearest(
    flat: NDArray[np.floating], asked: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """Return the ``k`` other points nearest to each point in a picture: int64, ``(asked, k)``."""
    if len(asked) == 1:
        squares = ((flat - flat[asked[0]]) ** 2).sum(1)
        squares[asked[0]] = np.inf
        near = np.argpartition(squares, k - 1)[:k]
        return near[np.argsort(squares[near], kind="stable")][None].astype(np.int64)
    from scipy.spatial import KDTree

    _, near = KDTree(flat).query(flat[asked], k + 1)
    # The point itself need not come first if others coincide with it: remove it wherever it is.
    others = near != asked[:, None]
    others[others.all(1), -1] = False
    return near[others].reshape(len(asked), k).astype(np.int64)
