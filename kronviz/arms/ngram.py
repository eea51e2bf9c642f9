"""``ngram`` and ``ngram-…``: bags of hashed n-grams of 2 to 4 bytes, with or without own rows.

``ngram-word`` adds a row of its own for each of the first 4,096 ids. Byte-level BPE numbers tokens
from frequent to rare, so these are the tokens for which a table works best. ``hybrid`` adds one for
every id: a table that sees spelling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes


def maker(rows: int, own: int = 0) -> Callable[[TokenBytes, int, int, Any], BagEmbedding]:
    """Return a function that makes an embedding with ``rows`` shared and ``own`` own rows."""

    def make(
        vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
    ) -> BagEmbedding:
        return BagEmbedding(vocabulary, d_model, Rule(rows), own)

    return make
