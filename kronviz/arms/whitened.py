"""``kron-whitened``: the Kronecker code, its projection trained through a fixed whitening.

Notable:

- Most of the code's variance lies in a few dozen directions (the leading space, frequent first
  letters), so a step of Adam moves some directions of the projection far and others hardly at all.
  With ``A = (C + εI)^(-1/2)``, C the second moment of the z-normalised code under the unigram
  distribution, the model learns ``W'`` and embeds by ``W = A W'``.
- ``W`` is an ordinary projection: a trained model is exported and loaded as a plain
  `KroneckerEmbedding` with the same number of parameters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kronviz import codec
from kronviz.embedding import REFERENCE_KEY, KroneckerEmbedding
from kronviz.tokenizer import TokenBytes

RIDGE = 1.0
"""ε in units of the code's mean variance per cell, which z-normalisation makes 1. Directions with
less variance than this are hardly changed."""


class Whitening(nn.Module):
    """Multiplies a projection by A, which acts on the cells that the text uses.

    The cells that no token uses all have the same value in every code, so one direction stands for
    all of them.

    Args:
        vocabulary: the bytes of every id.
        counts: how often training reads each, ``(n_vocab,)``.
        pos_dim: positions of the code, P.

    Attributes:
        used: the cells that tokens of the text select, int64.
        root: A on these cells and the direction of the others, ``(used + 1, used + 1)``.
    """

    used: Tensor
    root: Tensor

    def __init__(self, vocabulary: TokenBytes, counts: NDArray[np.integer], pos_dim: int):
        super().__init__()
        size = codec.dimension(pos_dim)
        read = np.flatnonzero(counts)
        selected = [codec.cells(vocabulary[int(i)], pos_dim) for i in read]
        used = np.unique(np.concatenate(selected))
        rest = size - len(used)
        place = {int(cell): i for i, cell in enumerate(used)}
        codes, weights = np.zeros((len(read), len(used) + 1), np.float32), counts[read]
        for row, cells in enumerate(selected):
            if not len(cells):
                continue
            mean, deviation = codec.moments(len(cells), pos_dim)
            codes[row] = -mean / deviation
            codes[row, [place[int(cell)] for cell in cells]] += 1 / (
                math.sqrt(len(cells)) * deviation
            )
            codes[row, -1] *= math.sqrt(rest)
        weighted = codes * (weights / weights.sum())[:, None].astype(np.float32)
        moment = (codes.T @ weighted).astype(np.float64)
        values, vectors = np.linalg.eigh(moment)
        shrunk = 1 / np.sqrt(values.clip(0) + RIDGE)
        # Keeps the mean variance of the plain code.
        scale = math.sqrt(values.clip(0).sum() / (values.clip(0) * shrunk**2).sum())
        root = (vectors * (shrunk * scale)) @ vectors.T
        self.size, self.norm = size, math.sqrt(max(rest, 1))
        self.register_buffer("used", torch.from_numpy(used), persistent=False)
        self.register_buffer("root", torch.from_numpy(root).float(), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``(D, d_model)``, which acts on every code of the text as ``A W'`` does."""
        other = torch.ones(self.size, dtype=torch.bool, device=weight.device)
        other[self.used] = False
        share = weight[other].sum(0, keepdim=True) / self.norm
        mixed = self.root @ torch.cat([weight[self.used], share])
        folded = weight.index_copy(0, self.used, mixed[:-1])
        # Codes depend on the unused cells through their sum only; their differences are kept.
        return folded + other[:, None] * (mixed[-1:] - share) / self.norm


class WhitenedKronecker(KroneckerEmbedding):
    """A `KroneckerEmbedding` in training whose ``weight`` is W', see `Whitening`.

    It embeds by W, and its `to_reference_state_dict` has W, which only a plain `KroneckerEmbedding`
    can load.
    """

    def __init__(
        self, vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: NDArray[np.integer]
    ):
        super().__init__(vocabulary, d_model, pos_dim)
        self.whitening = Whitening(vocabulary, counts, pos_dim)

    def folded(self) -> Tensor:
        """Return the projection W that a plain `KroneckerEmbedding` is exported with."""
        return self._rows()

    def _rows(self) -> Tensor:
        return self.whitening(super()._rows())

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *arguments: Any
    ) -> None:
        if state_dict.pop(prefix + REFERENCE_KEY, None) is not None:
            arguments[-1].append(
                f"{prefix}{REFERENCE_KEY} is a folded projection; load it into a KroneckerEmbedding"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def make(
    vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: NDArray[np.integer] | None = None
) -> KroneckerEmbedding:
    """Make the embedding to train or, without counts, the plain one that it is exported as."""
    if counts is None:
        return KroneckerEmbedding(vocabulary, d_model, pos_dim)
    return WhitenedKronecker(vocabulary, d_model, pos_dim, counts)
