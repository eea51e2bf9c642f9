"""The encoder in plain PyTorch: any device, any type, derivatives by autograd.

It is what the fused paths are tested against, and what is left where neither numba nor Triton is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz import codec


def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int
) -> Tensor:
    """Embed ids by the codes of their bytes (paper, section 3).

    With ``W̄`` the mean of the rows of the projection, a z-normalised code times it is

        z(b) · W = 1/(σ √L) · Σ_p ( W[cell_p] − W̄ )        σ = codec.moments(L, pos_dim)[1]

    because subtracting the code's mean from each entry subtracts the mean of all rows.

    Args:
        weight: the projection, ``(D, d_model)``.
        mean: its mean row ``(d_model,)`` in at least float32, where it is known already; leave it
            out to have derivatives.
        ids: integers ``(n,)``.
        data: uint8, the bytes of all tokens end to end, none longer than ``pos_dim``.
        offsets: int32 ``(n_vocab + 1,)``; token ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
        pos_dim: positions of the code, P; ``D = 256 * P``.

    Returns:
        ``(n, d_model)`` in the type of the weight; a token without bytes is zero.

    Raises:
        IndexError: an id is not in the vocabulary (on a CPU; a GPU fails as it does on any index).
    """
    starts = offsets[ids]
    lengths = offsets[ids + 1] - starts
    ends = lengths.cumsum(0)
    bag_starts = ends - lengths
    bags = torch.repeat_interleave(lengths)
    positions = torch.arange(bags.numel(), device=bags.device) - bag_starts[bags]
    cells = data[starts[bags] + positions].long() * pos_dim + positions
    precise = torch.promote_types(weight.dtype, torch.float32)
    # embedding_bag wants one integer type for both; int64 is what gives every backend.
    sums = F.embedding_bag(cells, weight, bag_starts.long(), mode="sum").to(precise)
    if mean is None:
        mean = weight.mean(0, dtype=precise)
    counts = lengths[:, None].to(precise)
    return (gains(counts, pos_dim) * (sums - counts * mean)).to(weight.dtype)


def gains(counts: Tensor, pos_dim: int) -> Tensor:
    """``1/(σ √L)`` for numbers of bytes, floats of any shape; finite for an empty token, too."""
    size = codec.dimension(pos_dim)
    deviations = ((1 - counts / size) / (size - 1)).sqrt() + codec.EPSILON
    return 1 / (deviations * counts.clamp(min=1).sqrt())
