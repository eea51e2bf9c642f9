"""``hybrid``: 8,192 rows of byte n-grams, and a row for every token: a table that sees spelling."""

from __future__ import annotations

from typing import Any

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes


def make(vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None) -> BagEmbedding:
    """Make the embedding."""
    return BagEmbedding(vocabulary, d_model, Rule(8192), own=len(vocabulary))
