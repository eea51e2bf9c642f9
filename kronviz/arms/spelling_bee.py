"""``spelling-bee``: half a learned table, half the mean of rotated byte vectors.

Source: "Spelling Bee Embeddings for Language Modeling", arXiv 2601.18030: byte vectors are rotated
by their position as rotary position embeddings rotate queries, and their normalised mean is
averaged with the token's row of a table.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kronviz import codec
from kronviz.arms.table import STD
from kronviz.tokenizer import TokenBytes

BASE = 10_000.0


class SpellingBeeEmbedding(nn.Module):
    """Embeds ids by a table and by the bytes of the token.

    Args:
        vocabulary: the bytes of every id; bytes after the first ``pos_dim`` are ignored.
        d_model: width of the embedding; must be even.
        pos_dim: number of positions, each with its own rotation.

    Attributes:
        weight: the table, ``(n_vocab, d_model)``.
        letters: the byte vectors, ``(256, d_model)``.
    """

    data: Tensor
    offsets: Tensor

    def __init__(self, vocabulary: TokenBytes, d_model: int, pos_dim: int):
        super().__init__()
        if d_model % 2:
            raise ValueError(f"d_model is {d_model}; it must be even")
        self.embedding_dim, self.pos_dim = d_model, pos_dim
        self.weight = nn.Parameter(torch.randn(len(vocabulary), d_model) * STD)
        self.letters = nn.Parameter(torch.randn(256, d_model) * STD)
        cut = TokenBytes.of(
            [codec.truncate(vocabulary[i], pos_dim) for i in range(len(vocabulary))]
        )
        self.register_buffer("data", torch.tensor(cut.data).long(), persistent=False)
        self.register_buffer("offsets", torch.tensor(cut.offsets), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids: ``(*ids.shape, d_model)``. No string can be forced: it has no row."""
        flat = ids.reshape(-1)
        starts = self.offsets[flat]
        lengths = self.offsets[flat + 1] - starts
        firsts = lengths.cumsum(0) - lengths
        bags = torch.repeat_interleave(lengths)
        positions = torch.arange(bags.numel(), device=bags.device) - firsts[bags]
        cells = self.data[starts[bags] + positions] * self.pos_dim + positions
        sums = F.embedding_bag(cells, self._rotated(), firsts, mode="sum")
        spelled = sums / lengths.clamp(min=1).to(sums.dtype).sqrt()[:, None]
        embedded = (F.embedding(flat, self.weight) + spelled) / 2
        return embedded.view(*ids.shape, self.embedding_dim)

    def _rotated(self) -> Tensor:
        """Return every byte at every position: ``(256 * pos_dim, d_model)``."""
        width, device = self.embedding_dim, self.letters.device
        speeds = BASE ** (-torch.arange(0, width, 2, device=device) / width)
        angles = torch.arange(self.pos_dim, device=device)[:, None] * speeds
        pairs = torch.view_as_complex(self.letters.float().view(256, 1, -1, 2))
        turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles))
        return turned.reshape(256 * self.pos_dim, -1).to(self.letters.dtype)


def make(
    vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
) -> SpellingBeeEmbedding:
    """Make the embedding."""
    return SpellingBeeEmbedding(vocabulary, d_model, pos_dim)
