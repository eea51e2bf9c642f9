"""``pairs``: adjacent bytes, κ = Σ c(b_p) ⊗ c(b_{p+1}), hashed to 4,096 rows.

A Kronecker product like the paper's, but of a byte and the next byte rather than its position.
"""

from __future__ import annotations

from typing import Any

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes


def make(vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None) -> BagEmbedding:
    """Make the embedding."""
    return BagEmbedding(vocabulary, d_model, Rule(4096, shortest=2, longest=2))
