"""`KroneckerEmbedding`: a token's bytes and one learned projection instead of a learned table.

Notable:

- The D-vector of the paper's section 3 is never built. A z-normalised code times the projection is
  a sum of at most ``pos_dim`` of its rows, minus as many times their mean, scaled by a factor that
  depends on the token's length (`encoders.plain` has the formula). `RowSumEmbedding` computes it.
- It reads state dicts of the reference implementation, whose key is ``projection.weight`` with
  shape ``(d_model, D)``, and writes them on request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from kronviz import codec
from kronviz.row_sums import RowSumEmbedding, checked, is_whole
from kronviz.tokenizer import TokenBytes
from kronviz.vocabulary import token_bytes

REFERENCE_KEY = "projection.weight"


class KroneckerEmbedding(RowSumEmbedding):
    """Embeds token ids by the Kronecker code of their bytes (paper, section 3).

    Args:
        vocabulary: the bytes of every id; an id without bytes embeds to zero. `from_tokenizer`
            reads them from a tokenizer.
        d_model: width of the embedding.
        pos_dim: positions of the code, P; longer tokens are cut by `codec.truncate`.
        encoder: how to compute, as for `RowSumEmbedding`.
        init_std: standard deviation of the projection's initial values; by default the paper's
            1/√D. Vectors then have unit variance, 50 times the size of position vectors of std
            0.02, and outweigh them at first; ``init_std=0.02 / √D`` makes both the same size.
        padding_idx: id that embeds to zero and gets no gradient, as for `nn.Embedding`.
        device, dtype: of the projection.

    Attributes:
        weight: the projection W, the only parameter: shape ``(D, d_model)`` with ``D = 256 * P``.
            Row ``byte * P + position`` is what one cell contributes.

    Raises:
        TypeError: the vocabulary is not a sequence of bytes.
        ValueError: d_model, pos_dim, encoder, init_std or padding_idx is invalid.
    """

    def __init__(
        self,
        vocabulary: TokenBytes | Sequence[bytes],
        d_model: int,
        pos_dim: int = 16,
        encoder: str = "auto",
        *,
        init_std: float | None = None,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        tokens = checked(vocabulary, "vocabulary")
        padding_idx = _index(padding_idx, len(tokens))
        if padding_idx is not None:
            tokens[padding_idx] = b""
        cut = [codec.truncate(token, pos_dim) for token in tokens]
        super().__init__(
            cut, d_model, (pos_dim,), encoder, init_std=init_std, device=device, dtype=dtype
        )
        self.pos_dim = self.longest_read = pos_dim
        self.padding_idx = padding_idx

    @classmethod
    def from_tokenizer(
        cls,
        tokenizer: Any,
        d_model: int,
        pos_dim: int = 16,
        *,
        bytes: str = "true",
        num_embeddings: int | None = None,
        **options: Any,
    ) -> Self:
        """Make the embedding of a tokenizer's ids.

        Args:
            tokenizer: of tiktoken, tokenizers or transformers, or the path of a ``tokenizer.json``.
            bytes: ``true`` for the bytes that each token stands for, ``reference`` for those that
                the reference implementation reads, which its checkpoints need.
            num_embeddings: number of ids, if the model has more than the tokenizer.
            options: other arguments of the constructor.

        Raises:
            TypeError, ValueError, ImportError: see `vocabulary.token_bytes`.
        """
        tokens = token_bytes(tokenizer, pos_dim, bytes=bytes, num_embeddings=num_embeddings)
        return cls(tokens, d_model, pos_dim, **options)

    @torch.no_grad()
    def byte_parts(self, data: bytes) -> Tensor:
        """Return what each byte of a string adds to its embedding: ``(len(data), d_model)``.

        The rows sum to ``embed_bytes([data])[0]``. The part that all strings of this length have in
        common is split evenly among the bytes; a byte that is cut off adds nothing.
        """
        parts = self.weight.new_zeros(len(data), self.embedding_dim)
        cells = torch.from_numpy(codec.cells(data, self.pos_dim)).to(self.weight.device)
        if length := len(cells):
            _, deviation = codec.moments(length, self.pos_dim)
            rows = self._rows()[cells] / (math.sqrt(length) * deviation)
            parts[:length] = rows + (self.embed_bytes([data])[0] - rows.sum(0)) / length
        return parts

    def to_reference_state_dict(self) -> dict[str, Tensor]:
        """Return a state dict for the reference: ``projection.weight``, shape ``(d_model, D)``."""
        return {REFERENCE_KEY: self._rows().detach().t().contiguous()}

    def _read(self, strings: Sequence[bytes]) -> Sequence[bytes]:
        return [codec.truncate(string, self.pos_dim) for string in strings]

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return (
            f"{self.num_embeddings}, {self.embedding_dim}, pos_dim={self.pos_dim}, "
            f"encoder={self.encoder!r}{padding}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *arguments: Any
    ) -> None:
        key = prefix + REFERENCE_KEY
        if key in state_dict and prefix + "weight" not in state_dict:
            reference = state_dict.pop(key)
            if reference.shape != self._shape[::-1]:
                arguments[-1].append(
                    f"{key} has shape {tuple(reference.shape)}; pos_dim {self.pos_dim} and d_model "
                    f"{self.embedding_dim} need {tuple(self._shape[::-1])}"
                )
                return
            state_dict[prefix + "weight"] = reference.t().contiguous()
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _index(place: int | None, count: int) -> int | None:
    if place is None:
        return None
    if not is_whole(place):
        raise TypeError(f"padding_idx is {place!r}; it must be a whole number")
    place = int(place)
    if not -count <= place < count:
        raise ValueError(f"padding_idx is {place}; this vocabulary has ids 0 … {count - 1}")
    return place % count
