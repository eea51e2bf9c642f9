"""The encoder in plain PyTorch: any device, any type, derivatives by autograd.

It is what the fused paths are tested against, and what is left where neither numba nor Triton is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.encoders.codes import Code, gains, selected


def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> Tensor:
    """Embed ids by the rows that their bytes select (paper, section 3).

    With ``W̄`` the mean of the rows of the projection, a z-normalised Kronecker code times it is

        z(b) · W = 1/(σ √L) · Σ_p ( W[cell_p] − W̄ )        σ = codec.moments(L, pos_dim)[1]

    because subtracting the code's mean from each entry subtracts the mean of all rows. Bags of
    n-grams are computed alike, with a factor of ``√(R/L)``.

    Args:
        weight: the rows, ``(R, d_model)``.
        mean: their mean ``(d_model,)`` in at least float32, where it is known already; leave it
            out to have derivatives.
        ids: integers ``(n,)``.
        data: uint8, the bytes of all tokens end to end; for a Kronecker code none longer than
            ``pos_dim``.
        offsets: int32 ``(n_vocab + 1,)``; token ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
        code: which rows, see `codes`; R is `codes.n_rows`.

    Returns:
        ``(n, d_model)`` in the type of the weight; a token that selects no row is zero.

    Raises:
        IndexError: an id is not in the vocabulary (on a CPU; a GPU fails as it does on any index).
    """
    cells, lengths = selected(ids, data, offsets, code)
    precise = torch.promote_types(weight.dtype, torch.float32)
    # embedding_bag wants one integer type for both; int64 is what gives every backend.
    firsts = (lengths.cumsum(0) - lengths).long()
    sums = F.embedding_bag(cells, weight, firsts, mode="sum").to(precise)
    if mean is None:
        mean = weight.mean(0, dtype=precise)
    counts = lengths[:, None].to(precise)
    return (gains(counts, code) * (sums - counts * mean)).to(weight.dtype)
