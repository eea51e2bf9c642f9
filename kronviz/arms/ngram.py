"""``ngram-…``: bags of hashed byte n-grams of 2 to 4 bytes, with or without rows for tokens.

``ngram-word`` adds a row of its own for each of the first 4,096 ids: byte-level BPE numbers its
tokens from the frequent to the rare, so these are what a table does best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes


def maker(rows: int, own: int = 0) -> Callable[[TokenBytes, int, int, Any], BagEmbedding]:
    """Return what makes an embedding of so many shared rows and so many tokens' own."""

    def make(
        vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
    ) -> BagEmbedding:
        return BagEmbedding(vocabulary, d_model, Rule(rows), own)

    return make
