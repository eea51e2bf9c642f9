"""``pairs``: adjacent bytes, κ = Σ c(b_p) ⊗ c(b_{p+1}), hashed to rows.

A Kronecker product like the paper's, but of a byte and the next byte rather than its position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes


def maker(rows: int) -> Callable[[TokenBytes, int, int, Any], BagEmbedding]:
    """Return a function that makes an embedding with so many rows."""

    def make(
        vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
    ) -> BagEmbedding:
        return BagEmbedding(vocabulary, d_model, Rule(rows, shortest=2, longest=2))

    return make
