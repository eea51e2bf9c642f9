"""``ngram-shuffled``: ``ngram`` with every token spelled as another, a control for the spelling.

Tokens swap their bytes with others of the same length. The bags keep their sizes and share as many
rows as before; only the information about spelling is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes

SEED = 0


def shuffle(vocabulary: TokenBytes) -> TokenBytes:
    """Return the vocabulary with its bytes permuted among tokens of the same length."""
    lengths = np.diff(vocabulary.offsets)
    spelled = np.arange(len(vocabulary))
    random = np.random.default_rng(SEED)
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        spelled[same] = random.permutation(same)
    return TokenBytes.of([vocabulary[int(i)] for i in spelled])


def maker(rows: int) -> Callable[[TokenBytes, int, int, Any], BagEmbedding]:
    """Return a function that makes an embedding with so many rows."""

    def make(
        vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
    ) -> BagEmbedding:
        return BagEmbedding(shuffle(vocabulary), d_model, Rule(rows))

    return make
