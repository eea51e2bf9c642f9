"""How far a picture can be trusted: trustworthiness and neighbour overlap.

Notable:

- Both look at a point's ``k`` nearest in the picture and ask where these stand in the original
  space: at what rank (trustworthiness, Venna and Kaski 2001), and whether among the ``k`` nearest.
- Where cosines are equal, as many are in the code, a neighbour is given the best rank of those.
- Up to `ALL` points every one is asked, of more a seeded sample.
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
        k: how many nearest were looked at.
        asked: how many points were asked.
        trustworthiness: 0 to 1; 1 where the nearest in the picture are the nearest in the space.
        overlap: mean share of the ``k`` nearest in the picture that are so in the space.
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
    """Measure a picture against what it is a picture of.

    Args:
        flat: coordinates, shape ``(n, 2)``, in the order of the content.
        k: how many nearest; cut to less than half of the points.
        progress: told how many points are done.

    Raises:
        Stopped: ``progress`` said so.
    """
    count = len(flat)
    k = min(k, (count - 1) // 2)
    if k < 1:
        return Faithfulness(0, 0, 1.0, 1.0)
    asked = np.arange(count)
    if count > ALL:
        asked = np.sort(np.random.default_rng(0).choice(count, SAMPLE, replace=False))
    near = picture_nearest(flat, asked, k)
    penalty, kept = 0, 0
    for start in range(0, len(asked), BLOCK):
        tell(progress, start, len(asked))
        part = asked[start : start + BLOCK]
        similar = content.similarities(content.own(part))
        similar[np.arange(len(part)), part] = -np.inf
        seen = np.take_along_axis(similar, near[start : start + BLOCK], 1)
        for column in range(k):
            ranks = 1 + (similar > seen[:, column, None]).sum(1)
            penalty += int(np.maximum(ranks - k, 0).sum())
            kept += int((ranks <= k).sum())
    trust = 1 - 2 * penalty / (len(asked) * k * (2 * count - 3 * k - 1))
    return Faithfulness(k, len(asked), float(trust), kept / (len(asked) * k))


def picture_nearest(
    flat: NDArray[np.floating], asked: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """Return the ``k`` others that lie nearest to points of a picture: int64, ``(asked, k)``."""
    if len(asked) == 1:
        away = ((flat - flat[asked[0]]) ** 2).sum(1)
        away[asked[0]] = np.inf
        near = np.argpartition(away, k - 1)[:k]
        return near[np.argsort(away[near], kind="stable")][None].astype(np.int64)
    from scipy.spatial import KDTree

    _, found = KDTree(flat).query(flat[asked], k + 1)
    # Of points that coincide, any may come first: the point itself is taken out where it stands.
    others = found != asked[:, None]
    others[others.all(1), -1] = False
    return found[others].reshape(len(asked), k).astype(np.int64)
