"""The encoder in plain PyTorch: any device, any type, derivatives by autograd.

The fused paths are tested against it, and it is used where neither numba nor Triton is installed.
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
    n-grams are computed the same way, with a factor of ``√(R/L)``.

    Args:
        weight: the rows, ``(R, d_model)``.
        mean: their mean ``(d_model,)`` in at least float32, if it is already known; None if
            derivatives are needed.
        ids: integers ``(n,)``.
        data: uint8, the bytes of all tokens, concatenated; for a Kronecker code no token is longer
            than ``pos_dim``.
        offsets: int32 ``(n_vocab + 1,)``; token ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
        code: which rows are selected, see `codes`; R is `codes.n_rows`.

    Returns:
        ``(n, d_model)`` in the type of the weight; a token that selects no row is zero.

    Raises:
        IndexError: an id is not in the vocabulary (on a CPU; on a GPU it is a device assert).
    """
    cells, lengths = selected(ids, data, offsets, code)
    precise = torch.promote_types(weight.dtype, torch.float32)
    # embedding_bag needs the same integer type for both; every backend has int64.
    firsts = (lengths.cumsum(0) - lengths).long()
    sums = F.embedding_bag(cells, weight, firsts, mode="sum").to(precise)
    if mean is None:
        mean = weight.mean(0, dtype=precise)
    counts = lengths[:, None].to(precise)
    return (gains(counts, code) * (sums - counts * mean)).to(weight.dtype)
