"""``kron-mlp``: the Kronecker code through two layers, as the reference was once described.

An early revision of the reference's repository described the probed model as
``Linear(D → D) → GELU → Linear(D → d_model) → RMSNorm``; a later one withdrew that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kronviz import codec
from kronviz.embedding import KroneckerEmbedding
from kronviz.row_sums import Slot
from kronviz.tokenizer import TokenBytes


class TwoLayerKronecker(nn.Module):
    """Embeds ids by two layers on top of the code; each distinct id of a batch is computed once.

    Args:
        vocabulary: the bytes of every id.
        d_model: width of the embedding.
        pos_dim: positions of the code, P; the hidden layer is as wide as the code.

    Attributes:
        first: the code times the first matrix.
        second: the second matrix, ``(D, d_model)``, drawn from N(0, 1/√D).
    """

    def __init__(self, vocabulary: TokenBytes, d_model: int, pos_dim: int):
        super().__init__()
        size = codec.dimension(pos_dim)
        self.pos_dim = self.longest_read = pos_dim
        self.embedding_dim = d_model
        self.first = KroneckerEmbedding(vocabulary, size, pos_dim)
        self.second = nn.Parameter(torch.randn(size, d_model) / size**0.5)
        self.norm = nn.RMSNorm(d_model)

    @property
    def weight(self) -> Tensor:
        """Return the first matrix, ``(D, D)``."""
        return self.first.weight

    def forward(self, ids: Tensor, forced: Mapping[Slot, bytes] | None = None) -> Tensor:
        """Embed ids; arguments and result as for `KroneckerEmbedding.forward`."""
        if forced:
            return self._rest(self.first(ids, forced))
        unique, inverse = ids.unique(return_inverse=True)
        return F.embedding(inverse, self._rest(self.first(unique)))

    def embed_bytes(self, strings: Sequence[bytes]) -> Tensor:
        """Embed byte strings, in the vocabulary or not: shape ``(len(strings), d_model)``."""
        return self._rest(self.first.embed_bytes(strings))

    def _rest(self, hidden: Tensor) -> Tensor:
        return self.norm(F.gelu(hidden) @ self.second)


def make(
    vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
) -> TwoLayerKronecker:
    """Make the embedding."""
    return TwoLayerKronecker(vocabulary, d_model, pos_dim)
