"""``ngram-shuffled``: ``ngram`` with every token spelled as another: is it the spelling that helps?

Tokens trade their bytes with others of the same length, so the bags are as large, as many and as
shared as before, and only what they say about spelling is gone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes

SEED = 0


def shuffle(vocabulary: TokenBytes) -> TokenBytes:
    """Return the vocabulary with the bytes of tokens of one length shuffled."""
    lengths = np.diff(vocabulary.offsets)
    spelled = np.arange(len(vocabulary))
    random = np.random.default_rng(SEED)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        spelled[alike] = random.permutation(alike)
    return TokenBytes.of([vocabulary[int(i)] for i in spelled])


def make(vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None) -> BagEmbedding:
    """Make the embedding."""
    return BagEmbedding(shuffle(vocabulary), d_model, Rule(8192))
