"""`KroneckerEmbedding`: a token's bytes and one learned projection, in place of a learned table.

Notable:

- Drop-in for `torch.nn.Embedding`; the projection is its one trainable tensor.
- The D-vector of the paper's section 3 never exists. A z-normalised code times the projection is
  a sum of at most ``pos_dim`` rows of it and one rank-1 correction:

      z(b) · W = (1/σ) · ( (1/√L) · Σ_p W[cell_p] − μ · Σ_rows W ),   μ, σ = codec.moments(L)

- Token bytes are stored ragged, as bytes and offsets.
- Any position of a batch can be forced to stand for any byte string (paper, section 6.12).
- `state_dict` speaks the reference implementation's language, in both directions: one key
  ``projection.weight`` of shape ``(d_model, D)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kronviz import codec
from kronviz.tokenizer import TokenBytes

REFERENCE_KEY = "projection.weight"
Slot = tuple[int, ...]
"""An index into a batch of ids: ``(position,)`` or ``(row, position)``."""


class KroneckerEmbedding(nn.Module):
    """Embeds token ids by the Kronecker code of their bytes (paper, section 3).

    Args:
        vocabulary: the bytes of every id; an id without bytes embeds to zero.
        d_model: width of the embedding.
        pos_dim: positions of the code, P; longer tokens are cut by `codec.truncate`.

    Attributes:
        weight: the projection W, the only parameter: shape ``(D, d_model)`` with ``D = 256 * P``,
            drawn from N(0, 1/√D). Row ``byte * P + position`` is what one cell contributes.
    """

    data: Tensor
    offsets: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, vocabulary: TokenBytes, d_model: int, pos_dim: int = 16):
        super().__init__()
        self.num_embeddings = len(vocabulary)
        self.embedding_dim = d_model
        self.pos_dim = pos_dim
        cut = _cut((vocabulary[i] for i in range(len(vocabulary))), pos_dim)
        moments = [codec.moments(length, pos_dim) for length in range(pos_dim + 1)]
        for name, buffer in {
            "data": torch.tensor(cut.data),
            "offsets": torch.tensor(cut.offsets, dtype=torch.int32),
            "mean": torch.tensor([mean for mean, _ in moments]),
            "scale": torch.tensor([1 / deviation for _, deviation in moments]),
        }.items():
            self.register_buffer(name, buffer, persistent=False)
        size = codec.dimension(pos_dim)
        self.weight = nn.Parameter(torch.empty(size, d_model))
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))

    def forward(self, ids: Tensor, forced: Mapping[Slot, bytes] | None = None) -> Tensor:
        """Embed ids.

        Args:
            ids: integer tensor of any shape, values in ``[0, num_embeddings)``.
            forced: bytes to embed in place of the id at an index of ``ids``.

        Returns:
            Shape ``(*ids.shape, d_model)``, dtype of the weight.

        Raises:
            IndexError: an id or a forced index is out of range.
        """
        flat = ids.reshape(-1)
        if flat.numel() and not torch.compiler.is_compiling() and flat.device.type == "cpu":
            low, high = int(flat.min()), int(flat.max())
            if low < 0 or high >= self.num_embeddings:
                raise IndexError(
                    f"ids hold {low if low < 0 else high}; this vocabulary has ids "
                    f"0 … {self.num_embeddings - 1}"
                )
        starts = self.offsets[flat]
        embedded = self._encode(self.data, starts, self.offsets[flat + 1] - starts)
        embedded = embedded.view(*ids.shape, self.embedding_dim)
        if forced:
            index = tuple(
                torch.tensor(axis, device=ids.device) for axis in zip(*forced, strict=True)
            )
            embedded = embedded.index_put(index, self.embed_bytes(list(forced.values())))
        return embedded

    def embed_bytes(self, strings: Sequence[bytes]) -> Tensor:
        """Embed byte strings, in the vocabulary or not: shape ``(len(strings), d_model)``."""
        device = self.weight.device
        cut = _cut(strings, self.pos_dim)
        offsets = torch.tensor(cut.offsets, dtype=torch.int32, device=device)
        data = torch.tensor(cut.data, device=device)
        return self._encode(data, offsets[:-1], offsets.diff())

    def _encode(self, data: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
        ends = lengths.cumsum(0)
        bag_starts = ends - lengths
        bags = torch.repeat_interleave(lengths)
        positions = torch.arange(bags.numel(), device=bags.device) - bag_starts[bags]
        values = data[starts[bags] + positions].long()
        # embedding_bag wants one integer type for both; int64 is what gives every backend.
        sums = F.embedding_bag(
            values * self.pos_dim + positions, self.weight, bag_starts.long(), mode="sum"
        )
        lengths = lengths.long()
        roots = lengths.clamp(min=1).to(sums.dtype).rsqrt()
        centred = sums * roots[:, None] - self.mean[lengths, None] * self.weight.sum(0)
        return centred * self.scale[lengths, None]

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, pos_dim={self.pos_dim}"

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        weight = self.weight if keep_vars else self.weight.detach()
        destination[prefix + REFERENCE_KEY] = weight.t()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + REFERENCE_KEY
        if key not in state_dict:
            missing_keys.append(key)
            return
        transposed = state_dict[key].t()
        if transposed.shape != self.weight.shape:
            error_msgs.append(
                f"{key} has shape {tuple(state_dict[key].shape)}; "
                f"pos_dim {self.pos_dim} and d_model {self.embedding_dim} need "
                f"{tuple(self.weight.t().shape)}"
            )
            return
        with torch.no_grad():
            self.weight.copy_(transposed)


def _cut(strings: Iterable[bytes], pos_dim: int) -> TokenBytes:
    return TokenBytes.of([codec.truncate(string, pos_dim) for string in strings])


def input_embedding(
    arm: str, vocabulary: TokenBytes, d_model: int, pos_dim: int
) -> tuple[nn.Module, bool]:
    """The one place where the arms part: the input embedding, and whether the head is tied to it.

    Args:
        arm: ``bpe`` for a learned table drawn from N(0, 0.02), tied to the head as in nanoGPT;
            ``kron`` for `KroneckerEmbedding` with a head of its own.
    """
    if arm == "bpe":
        table = nn.Embedding(len(vocabulary), d_model)
        nn.init.normal_(table.weight, std=0.02)
        return table, True
    if arm == "kron":
        return KroneckerEmbedding(vocabulary, d_model, pos_dim), False
    raise ValueError(f"arm is {arm!r}; it must be 'bpe' or 'kron'")
