"""The exact nearest neighbours of many vectors by cosine, block by block.

Notable:

- No index, no approximation: one matrix product a block of rows. 50,000 vectors of width 256 take
  about a quarter of a minute on two cores, and the same vectors give the same neighbours again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from kronviz.progress import Progress, tell

BLOCK_CELLS, BLOCK_FLOP = 1 << 25, 4e10
"""Similarities held at once (128 MB of float32), and what they may cost: then a stop is heard."""


@dataclass(frozen=True)
class Nearest:
    """The nearest others of every vector, nearest first, itself left out.

    Attributes:
        ids: int64, shape ``(n, k)``.
        similarity: cosines, float32, shape ``(n, k)``.
    """

    ids: NDArray[np.int64]
    similarity: NDArray[np.float32]


def nearest(
    vectors: NDArray[np.floating] | torch.Tensor,
    k: int,
    progress: Progress | None = None,
) -> Nearest:
    """Find the ``k`` nearest others of every vector, by cosine.

    Args:
        vectors: shape ``(n, d)``; a vector of length zero has cosine 0 with everything.
        k: 1 to ``n - 1``.
        progress: told how many vectors are done.

    Raises:
        ValueError: the shape is not ``(n, d)``, a value is not finite, or ``k`` is out of range.
        Stopped: ``progress`` said so.
    """
    units = F.normalize(_checked(vectors), dim=1)
    count = len(units)
    if not 1 <= k < count:
        raise ValueError(f"k is {k!r}; it must be 1 to {count - 1}, one less than the vectors")
    ids = np.empty((count, k), np.int64)
    similarity = np.empty((count, k), np.float32)
    rows = max(1, min(BLOCK_CELLS // count, int(BLOCK_FLOP / (2 * units.numel()))))
    with torch.inference_mode():
        for start in range(0, count, rows):
            block = torch.from_numpy(cosines(units[start : start + rows], units))
            own = torch.arange(len(block))
            block[own, own + start] = -torch.inf
            found = block.topk(k, dim=1)
            ids[start : start + rows] = found.indices.numpy()
            similarity[start : start + rows] = found.values.numpy()
            tell(progress, min(start + rows, count), count)
    return Nearest(ids, similarity)


def cosines(some: torch.Tensor, all_: torch.Tensor) -> NDArray[np.float32]:
    """Return the products of rows of length 1 with many others: float32, ``(m, n)``.

    On a CPU numpy's library is asked, which here takes a half to a third of the time of torch's.
    """
    found: NDArray[np.float32] = some.numpy() @ all_.numpy().T
    return found


def top(similar: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the columns of the ``k`` largest of every row, largest first, equal ones in order."""
    near = np.sort(torch.from_numpy(similar).topk(k, dim=1).indices.numpy(), axis=1)
    order = np.argsort(-np.take_along_axis(similar, near, 1), axis=1, kind="stable")
    return np.take_along_axis(near, order, 1)


def _checked(vectors: NDArray[np.floating] | torch.Tensor) -> torch.Tensor:
    tensor = torch.as_tensor(vectors).detach().to("cpu", torch.float32)
    if tensor.dim() != 2:
        raise ValueError(f"vectors have shape {tuple(tensor.shape)}; they must be (n, d)")
    if not all(part.isfinite().all() for part in tensor.split(1024)):
        raise ValueError("vectors hold values that are not finite; leave those rows out")
    return tensor
