"""The encoder in operations whose shapes follow from the shapes of the ids, one step a position.

For whoever reads the computation itself rather than its result: `torch.func` transforms,
forward-mode derivatives, `torch.export`, ONNX, `torch.jit.trace`. `plain` computes the same faster,
with shapes that follow from the tokens at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.encoders import plain


def encode(weight: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int) -> Tensor:
    """Embed ids of any shape; arguments otherwise as for `plain.encode`.

    Returns:
        ``(*ids.shape, d_model)`` in the type of the weight.

    Raises:
        IndexError: an id is not in the vocabulary (on a CPU).
    """
    ids = ids.long()
    starts = _at(offsets[:-1], ids).long()
    lengths = _at(offsets[1:] - offsets[:-1], ids).long()
    # A token at the end has fewer bytes than positions.
    padded = F.pad(data, (0, pos_dim))
    precise = torch.promote_types(weight.dtype, torch.float32)
    counts = lengths[..., None].to(precise)
    total = counts * -weight.mean(0, dtype=precise)
    for position in range(pos_dim):
        cells = _at(padded, starts + position).long() * pos_dim + position
        within = (lengths > position)[..., None]
        total = total + F.embedding(cells, weight).to(precise) * within
    return (plain.gains(counts, pos_dim) * total).to(weight.dtype)


def _at(table: Tensor, indices: Tensor) -> Tensor:
    # Unlike indexing, this refuses negative indices.
    return F.embedding(indices, table[:, None])[..., 0]
