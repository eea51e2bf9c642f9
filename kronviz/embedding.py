"""`KroneckerEmbedding`: a token's bytes and one learned projection, in place of a learned table.

Notable:

- Drop-in for `torch.nn.Embedding`; the projection is its one trainable tensor.
- The D-vector of the paper's section 3 never exists. A z-normalised code times the projection is
  a sum of at most ``pos_dim`` of its rows, minus as many times their mean, scaled by a factor that
  follows from the token's length (`encoders.plain` has the formula).
- Interchangeable ways to compute that, the same to rounding: a compiled loop on a CPU, Triton
  kernels on a GPU, a cached table, plain PyTorch.
- Token bytes are stored ragged, as bytes and offsets.
- Any position of a batch can be forced to stand for any byte string (paper, section 6.12).
- `state_dict` speaks the reference implementation's language, in both directions: one key
  ``projection.weight`` of shape ``(d_model, D)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kronviz import codec, encoders
from kronviz.encoders import operator, plain
from kronviz.tokenizer import TokenBytes

REFERENCE_KEY = "projection.weight"
Kept = TypeVar("Kept")
Slot = tuple[int, ...]
"""An index into a batch of ids: ``(position,)`` or ``(row, position)``."""


class KroneckerEmbedding(nn.Module):
    """Embeds token ids by the Kronecker code of their bytes (paper, section 3).

    Args:
        vocabulary: the bytes of every id; an id without bytes embeds to zero.
        d_model: width of the embedding.
        pos_dim: positions of the code, P; longer tokens are cut by `codec.truncate`.
        encoder: how to compute: ``fused`` (numba on a CPU, Triton on a GPU), ``cached`` (all tokens
            embedded once, then looked up; for inference, while gradients are wanted it computes
            like ``auto``), ``reference`` (plain PyTorch), or ``auto``: fused where its package is
            there, else the reference, which is logged once.

    Attributes:
        weight: the projection W, the only parameter: shape ``(D, d_model)`` with ``D = 256 * P``,
            drawn from N(0, 1/√D). Row ``byte * P + position`` is what one cell contributes.
        data, offsets: the cut bytes of all tokens, uint8, and where each begins, int32.

    In evaluation mode, without gradients, what follows from the projection alone (the mean of its
    rows, the table of ``cached``) is kept until the projection changes. A change is seen by the
    tensor's version counter, which writing through ``weight.data`` or PyTorch's fused optimizers
    does not move: switch to training mode and back, as one does for training anyway, and it is
    forgotten. A CUDA graph that is recorded in evaluation mode holds what was kept then: record it
    anew when the projection has changed.
    """

    data: Tensor
    offsets: Tensor

    def __init__(
        self, vocabulary: TokenBytes, d_model: int, pos_dim: int = 16, encoder: str = "auto"
    ):
        super().__init__()
        encoders.check_name(encoder)
        self.num_embeddings = len(vocabulary)
        self.embedding_dim = d_model
        self.pos_dim = pos_dim
        self.encoder = encoder
        size = codec.dimension(pos_dim)
        cut = _cut((vocabulary[i] for i in range(len(vocabulary))), pos_dim)
        self.register_buffer("data", torch.tensor(cut.data), persistent=False)
        self.register_buffer(
            "offsets", torch.tensor(cut.offsets, dtype=torch.int32), persistent=False
        )
        self.weight = nn.Parameter(torch.empty(size, d_model))
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))
        self._kept: dict[str, tuple[object, Any]] = {}
        # What graphs read: it must stay where it is as long as the projection does.
        self._recorded: dict[int, Any] = {}

    def forward(self, ids: Tensor, forced: Mapping[Slot, bytes] | None = None) -> Tensor:
        """Embed ids.

        Args:
            ids: integer tensor of any shape, values in ``[0, num_embeddings)``.
            forced: bytes to embed in place of the id at an index of ``ids``.

        Returns:
            Shape ``(*ids.shape, d_model)``, dtype of the weight.

        Raises:
            IndexError: an id is out of range (on a CPU; on a GPU the fused encoder gives a row of
                NaN, the others fail as `nn.Embedding` does), or a forced index is.
            TypeError: ids are no integers.
        """
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise TypeError(f"ids are {ids.dtype}; they must be integers")
        ids = ids.long()
        if forced:
            embedded = self._embed_forced(ids, forced)
        elif self.encoder == "cached" and self._frozen():
            self._check(ids)
            embedded = F.embedding(ids.reshape(-1), self._keep("table", self._embed_all))
        elif self._frozen():
            encode = self._keep("encode", lambda: self._prepare(self.data, self.offsets))
            embedded = encode(ids.reshape(-1))
        else:
            embedded = self._encode(ids.reshape(-1), self.data, self.offsets)
        return embedded.view(*ids.shape, self.embedding_dim)

    def embed_bytes(self, strings: Sequence[bytes]) -> Tensor:
        """Embed byte strings, in the vocabulary or not: shape ``(len(strings), d_model)``."""
        data, offsets = self._pack(strings)
        ids = torch.arange(len(strings), device=data.device)
        return self._encode(ids, data, offsets)

    @torch.no_grad()
    def byte_parts(self, data: bytes) -> Tensor:
        """Return what each byte of a string adds to its embedding: ``(len(data), d_model)``.

        The rows add up to ``embed_bytes([data])[0]``. What all strings of a length have in common
        is shared evenly; a byte that is cut off adds nothing.
        """
        parts = self.weight.new_zeros(len(data), self.embedding_dim)
        cells = torch.from_numpy(codec.cells(data, self.pos_dim)).to(self.weight.device)
        if kept := len(cells):
            _, deviation = codec.moments(kept, self.pos_dim)
            rows = self.weight[cells] / (math.sqrt(kept) * deviation)
            parts[:kept] = rows + (self.embed_bytes([data])[0] - rows.sum(0)) / kept
        return parts

    @torch.no_grad()
    def warm_up(self) -> None:
        """Compile and cache whatever the first call would, so that it need not wait for it."""
        self.embed_bytes([b" "])
        if self.num_embeddings:
            self(torch.zeros(1, dtype=torch.long, device=self.weight.device))

    def _encode(self, ids: Tensor, data: Tensor, offsets: Tensor) -> Tensor:
        return self._prepare(data, offsets)(ids)

    def _prepare(self, data: Tensor, offsets: Tensor) -> Callable[[Tensor], Tensor]:
        """How to embed ids of these tokens with the projection as it is."""
        weight = self.weight
        mean = self._keep("mean", self._mean) if self._frozen() else None
        if encoders.is_fused(self.encoder, weight.device, weight.dtype):
            return operator.prepare(weight, mean, data, offsets, self.pos_dim)

        def plainly(ids: Tensor) -> Tensor:
            self._check(ids, len(offsets) - 1)
            return plain.encode(weight, mean, ids, data, offsets, self.pos_dim)

        return plainly

    def _embed_forced(self, ids: Tensor, forced: Mapping[Slot, bytes]) -> Tensor:
        """Forced strings as further tokens behind the vocabulary, so that one pass embeds all."""
        self._check(ids)
        extra, extra_offsets = self._pack(list(forced.values()))
        index = tuple(torch.tensor(axis, device=ids.device) for axis in zip(*forced, strict=True))
        further = torch.arange(len(forced), device=ids.device) + self.num_embeddings
        data = torch.cat([self.data, extra])
        offsets = torch.cat([self.offsets, self.offsets[-1] + extra_offsets[1:]])
        return self._encode(ids.index_put(index, further).reshape(-1), data, offsets)

    def _embed_all(self) -> Tensor:
        ids = torch.arange(self.num_embeddings, device=self.weight.device)
        return self._encode(ids, self.data, self.offsets)

    def _mean(self) -> Tensor:
        precise = torch.promote_types(self.weight.dtype, torch.float32)
        return self.weight.mean(0, dtype=precise)

    def _pack(self, strings: Sequence[bytes]) -> tuple[Tensor, Tensor]:
        cut = _cut(strings, self.pos_dim)
        device = self.weight.device
        offsets = torch.tensor(cut.offsets, dtype=torch.int32, device=device)
        return torch.tensor(cut.data, device=device), offsets

    def _check(self, ids: Tensor, known: int | None = None) -> None:
        if not ids.numel() or ids.device.type != "cpu" or torch.compiler.is_compiling():
            return
        known = self.num_embeddings if known is None else known
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= known:
            raise IndexError(
                f"ids hold {low if low < 0 else high}; this vocabulary has ids 0 … {known - 1}"
            )

    def _frozen(self) -> bool:
        """Whether what follows from the projection may be kept."""
        wants_grad = torch.is_grad_enabled() and self.weight.requires_grad
        return not (self.training or wants_grad or torch.compiler.is_compiling())

    def _keep(self, name: str, make: Callable[[], Kept]) -> Kept:
        weight = self.weight
        if weight.is_inference():
            # It has no version counter.
            return make()
        state = weight.data_ptr(), weight._version
        kept = self._kept.get(name)
        recording = encoders.is_recording(weight.device)
        if kept is not None and kept[0] == state:
            if recording:
                self._recorded[id(kept[1])] = kept[1]
            return kept[1]
        with torch.no_grad():
            made = make()
        if not recording:
            self._kept[name] = state, made
        return made

    def train(self, mode: bool = True) -> KroneckerEmbedding:
        """Switch to training or evaluation mode, and forget what was kept."""
        self._kept.clear()
        return super().train(mode)

    def _apply(self, *arguments: Any, **options: Any) -> KroneckerEmbedding:
        self._kept.clear()
        self._recorded.clear()
        return super()._apply(*arguments, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_recorded": {}}

    def extra_repr(self) -> str:
        return (
            f"{self.num_embeddings}, {self.embedding_dim}, pos_dim={self.pos_dim}, "
            f"encoder={self.encoder!r}"
        )

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
