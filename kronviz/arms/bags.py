"""`BagEmbedding`: a token's vector is the scaled, centred sum of some rows of one learned matrix.

Notable:

- Which rows follows from the token's bytes alone (`ngrams.Rule`), so any string can be embedded,
  and any position of a batch can be forced to stand for one. Tokens can have a row of their own on
  top of that, which other strings do not.
- With L rows of R the vector is ``√(R/L) · (Σ rows − L · mean row)``: rows drawn from N(0, 1/√R)
  give vectors of unit variance, as the Kronecker embedding's are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kronviz.arms.ngrams import Rule
from kronviz.embedding import Slot
from kronviz.tokenizer import TokenBytes


class BagEmbedding(nn.Module):
    """Embeds token ids by bags of rows.

    Args:
        vocabulary: the bytes of every id.
        d_model: width of the embedding.
        rule: which rows the bytes of a token share with other tokens.
        own: ids below this have a row of their own besides.

    Attributes:
        weight: the rows, ``(rule.rows + own, d_model)``; own rows come last.
    """

    cells: Tensor
    bounds: Tensor

    def __init__(self, vocabulary: TokenBytes, d_model: int, rule: Rule, own: int = 0):
        super().__init__()
        self.num_embeddings, self.embedding_dim = len(vocabulary), d_model
        self.rule, self.own = rule, min(own, len(vocabulary))
        rows = rule.rows + self.own
        self.weight = nn.Parameter(torch.empty(rows, d_model))
        nn.init.normal_(self.weight, std=1 / math.sqrt(rows))
        self._own = {vocabulary[i]: rule.rows + i for i in range(self.own)}
        cells, bounds = self._bags(
            (vocabulary[i], rule.rows + i if i < self.own else None) for i in range(len(vocabulary))
        )
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("bounds", bounds, persistent=False)

    def forward(self, ids: Tensor, forced: Mapping[Slot, bytes] | None = None) -> Tensor:
        """Embed ids.

        Args:
            ids: integers of any shape, values in ``[0, num_embeddings)``.
            forced: bytes to embed in place of the id at an index of ``ids``.

        Returns:
            Shape ``(*ids.shape, d_model)``, dtype of the weight.
        """
        embedded = self._embed(ids.reshape(-1), self.cells, self.bounds)
        embedded = embedded.view(*ids.shape, self.embedding_dim)
        if forced:
            index = tuple(
                torch.tensor(axis, device=ids.device) for axis in zip(*forced, strict=True)
            )
            embedded = embedded.index_put(index, self.embed_bytes(list(forced.values())))
        return embedded

    def embed_bytes(self, strings: Sequence[bytes]) -> Tensor:
        """Embed byte strings, in the vocabulary or not: shape ``(len(strings), d_model)``."""
        cells, bounds = self._bags((string, self._own.get(string)) for string in strings)
        device = self.weight.device
        return self._embed(
            torch.arange(len(strings), device=device), cells.to(device), bounds.to(device)
        )

    @torch.no_grad()
    def byte_parts(self, data: bytes) -> Tensor:
        """Return what each byte of a string adds to its embedding: ``(len(data), d_model)``.

        The rows add up to ``embed_bytes([data])[0]``. An n-gram is shared evenly by the bytes that
        it covers, a token's own row by all of its bytes.
        """
        parts = self.weight.new_zeros(len(data), self.embedding_dim)
        if not data:
            return parts
        cells = self.rule.cells(data)
        spans = list(self.rule.spans(len(data)))
        if (own := self._own.get(data)) is not None:
            cells, spans = np.append(cells, own), [*spans, (0, len(data))]
        rows = self.weight[torch.from_numpy(cells).to(self.weight.device)] - self.weight.mean(0)
        for row, (start, end) in zip(rows, spans, strict=True):
            parts[start:end] += row / (end - start)
        return parts * math.sqrt(len(self.weight) / len(spans))

    def warm_up(self) -> None:
        """Do nothing: there is nothing to compile."""

    def _bags(self, tokens: Iterable[tuple[bytes, int | None]]) -> tuple[Tensor, Tensor]:
        found = []
        for data, own in tokens:
            cells = self.rule.cells(data)
            found.append(cells if own is None else np.append(cells, own))
        bounds = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(cells) for cells in found], out=bounds[1:])
        joined = np.concatenate(found) if found else np.zeros(0, np.int64)
        return torch.from_numpy(joined.astype(np.int32)), torch.from_numpy(bounds)

    def _embed(self, ids: Tensor, cells: Tensor, bounds: Tensor) -> Tensor:
        starts = bounds[ids]
        lengths = bounds[ids + 1] - starts
        firsts = lengths.cumsum(0) - lengths
        bags = torch.repeat_interleave(lengths)
        within = torch.arange(bags.numel(), device=bags.device) - firsts[bags]
        chosen = cells[starts[bags] + within].long()
        sums = F.embedding_bag(chosen, self.weight, firsts, mode="sum")
        counts = lengths[:, None].to(self.weight.dtype)
        gains = (len(self.weight) / counts.clamp(min=1)).sqrt()
        return gains * (sums - counts * self.weight.mean(0))
