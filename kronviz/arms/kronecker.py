"""``kron``: the paper's embedding, the code of a token's bytes and positions times a projection."""

from __future__ import annotations

from typing import Any

from kronviz.embedding import KroneckerEmbedding
from kronviz.tokenizer import TokenBytes


def make(
    vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
) -> KroneckerEmbedding:
    """Make the embedding with the paper's initialisation."""
    return KroneckerEmbedding(vocabulary, d_model, pos_dim)
