"""`BagEmbedding`: a token's vector is the scaled, centred sum of some rows of one learned matrix.

Notable:

- The token's bytes alone decide which rows (`ngrams.Rule`), so any string can be embedded, and
  any position of a batch can be forced to a string. Tokens, unlike other strings, can also have a
  row of their own.
- With L of R rows the vector is ``√(R/L) · (Σ rows − L · mean row)``: rows drawn from N(0, 1/√R)
  give vectors of unit variance, like those of the Kronecker embedding.
- Both are computed by `RowSumEmbedding`: a compiled loop on a CPU, Triton kernels on a GPU, or
  plain PyTorch. The rows of a token are computed from its bytes on the fly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kronviz.encoders.codes import NGrams
from kronviz.ngrams import Rule
from kronviz.row_sums import RowSumEmbedding, Tokens, checked
from kronviz.tokenizer import TokenBytes


class BagEmbedding(RowSumEmbedding):
    """Embeds token ids by bags of rows.

    Args:
        vocabulary: the bytes of every id.
        d_model: width of the embedding.
        rule: which shared rows the bytes of a token select.
        own: ids below this also have a row of their own.
        encoder, init_std, device, dtype: as for `RowSumEmbedding`.

    Attributes:
        weight: the rows, ``(rule.rows + own, d_model)``; own rows come last.
    """

    def __init__(
        self,
        vocabulary: TokenBytes | Sequence[bytes],
        d_model: int,
        rule: Rule,
        own: int = 0,
        encoder: str = "auto",
        *,
        init_std: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        tokens = checked(vocabulary, "vocabulary")
        own = min(own, len(tokens))
        code = NGrams(rule.rows, rule.shortest, rule.longest, own)
        super().__init__(
            tokens, d_model, code, encoder, init_std=init_std, device=device, dtype=dtype
        )
        self.rule, self.own = rule, own
        # The first of several equal tokens owns the row.
        self._owners = {tokens[i]: i for i in reversed(range(own))}

    def _encodable(self, strings: Sequence[bytes]) -> tuple[Tensor, Tokens]:
        # Own rows are chosen by id, so a string that is such a token needs the token's id.
        return self._appended(strings) if self.own else super()._encodable(strings)

    def _appended(self, strings: Sequence[bytes]) -> tuple[Tensor, Tokens]:
        ids, tokens = super()._appended(strings)
        for place, string in enumerate(strings):
            if string in self._owners:
                ids[place] = self._owners[string]
        return ids, tokens

    @torch.no_grad()
    def byte_parts(self, data: bytes) -> Tensor:
        """Return what each byte of a string adds to its embedding: ``(len(data), d_model)``.

        The result sums to ``embed_bytes([data])[0]``. The row of an n-gram is split evenly among
        the bytes that it covers, a token's own row among all of its bytes.
        """
        parts = self.weight.new_zeros(len(data), self.embedding_dim)
        if not data:
            return parts
        cells = self.rule.cells(data)
        spans = list(self.rule.spans(len(data)))
        if (own := self._owners.get(data)) is not None:
            cells, spans = np.append(cells, self.rule.rows + own), [*spans, (0, len(data))]
        weight = self._rows()
        rows = weight[torch.from_numpy(cells).to(weight.device)] - weight.mean(0)
        for row, (start, end) in zip(rows, spans, strict=True):
            parts[start:end] += row / (end - start)
        return parts * math.sqrt(len(weight) / len(spans))

    def extra_repr(self) -> str:
        return (
            f"{self.num_embeddings}, {self.embedding_dim}, {self.rule}, own={self.own}, "
            f"encoder={self.encoder!r}"
        )
