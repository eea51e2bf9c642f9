"""``bpe`` and ``bpe-untied``: a learned table with a row for every token, as in nanoGPT."""

from __future__ import annotations

from typing import Any

from torch import nn

from kronviz.tokenizer import TokenBytes

STD = 0.02


def make(vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None) -> nn.Embedding:
    """Make a table drawn from N(0, 0.02)."""
    table = nn.Embedding(len(vocabulary), d_model)
    nn.init.normal_(table.weight, std=STD)
    return table
