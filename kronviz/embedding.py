"""`KroneckerEmbedding`: a token's bytes and one learned projection, in place of a learned table.

Notable:

- Drop-in for `torch.nn.Embedding`; the projection is its one trainable tensor and the one entry of
  its state dict. The vocabulary is no buffer: nothing can fail to load it or average it.
- The D-vector of the paper's section 3 never exists. A z-normalised code times the projection is
  a sum of at most ``pos_dim`` of its rows, minus as many times their mean, scaled by a factor that
  follows from the token's length (`encoders.plain` has the formula).
- Interchangeable ways to compute that, the same to rounding: a compiled loop on a CPU, Triton
  kernels on a GPU, a cached table, plain PyTorch.
- Token bytes are stored ragged, as bytes and offsets.
- Any position of a batch can be forced to stand for any byte string (paper, section 6.12).
- Reads state dicts of the reference implementation, whose key is ``projection.weight`` with shape
  ``(d_model, D)``, and writes them on request.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils.weak import WeakTensorKeyDictionary

from kronviz import codec, encoders
from kronviz.encoders import operator, plain, traceable, watched
from kronviz.tokenizer import TokenBytes

REFERENCE_KEY = "projection.weight"
Kept = TypeVar("Kept")
Slot = tuple[int, ...]
"""An index into a batch of ids: ``(position,)`` or ``(row, position)``."""
INTEGERS = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8})


class KroneckerEmbedding(nn.Module):
    """Embeds token ids by the Kronecker code of their bytes (paper, section 3).

    Args:
        vocabulary: the bytes of every id; an id without bytes embeds to zero. `from_tokenizer`
            reads them from a tokenizer.
        d_model: width of the embedding.
        pos_dim: positions of the code, P; longer tokens are cut by `codec.truncate`.
        encoder: how to compute: ``fused`` (numba on a CPU, Triton on a GPU), ``cached`` (all tokens
            embedded once, then looked up; for inference, while gradients are wanted it computes
            like ``auto``), ``reference`` (plain PyTorch), or ``auto``: fused where its package is
            there, else the reference, which is logged once.
        init_std: standard deviation that the projection is drawn with; the paper's 1/√D by default.
            Vectors then have unit variance, 50 times the size of position vectors of std 0.02, and
            outweigh them at first; ``init_std=0.02 / √D`` makes both the same size.
        padding_idx: id that embeds to zero and has no gradient, as for `nn.Embedding`.
        device, dtype: of the projection.

    Attributes:
        weight: the projection W, the only parameter: shape ``(D, d_model)`` with ``D = 256 * P``.
            Row ``byte * P + position`` is what one cell contributes. It is no table of tokens: no
            output head can be tied to it.
        data, offsets: the cut bytes of all tokens, uint8, and where each begins, int32, on the
            device of the weight.

    Raises:
        TypeError: the vocabulary is no sequence of bytes.
        ValueError: pos_dim, encoder or padding_idx is none that there is.

    In evaluation mode, without gradients, what follows from the projection alone (the mean of its
    rows, the table of ``cached``) is kept until the projection changes. Changes are seen whether
    they go through the parameter, its ``data`` or an optimizer. Where nothing can see them (a few
    numbers on a GPU written through DLPack, say), switch to training mode and back. A CUDA graph
    that is recorded in evaluation mode holds what was kept then: record it anew when the projection
    has changed.
    """

    # What code written for `nn.Embedding` asks for.
    max_norm, norm_type, scale_grad_by_freq, sparse = None, 2.0, False, False

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
        super().__init__()
        encoders.check_name(encoder)
        tokens = _checked(vocabulary, "vocabulary")
        self.embedding_dim = d_model
        self.pos_dim = pos_dim
        self.padding_idx = _index(padding_idx, len(tokens))
        if self.padding_idx is not None:
            tokens[self.padding_idx] = b""
        self.encoder = encoder
        size = codec.dimension(pos_dim)
        self.init_std = 1 / math.sqrt(size) if init_std is None else init_std
        self._shape = torch.Size((size, d_model))
        self._forget_all()
        self._vocabulary = self._tables = _tensors(_cut(tokens, pos_dim))
        self.weight = nn.Parameter(torch.empty(size, d_model, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projection anew."""
        nn.init.normal_(self.weight, std=self.init_std)

    @property
    def num_embeddings(self) -> int:
        """Return the number of ids."""
        return len(self._vocabulary[1]) - 1

    @num_embeddings.setter
    def num_embeddings(self, count: int) -> None:
        raise ValueError(
            f"this embedding has the {self.num_embeddings:,} tokens of its vocabulary; for another "
            "number make a KroneckerEmbedding of the new vocabulary and load this one's state dict"
        )

    @property
    def data(self) -> Tensor:
        """Return the bytes of all tokens end to end: uint8."""
        return self._tables_on(self.weight.device)[0]

    @property
    def offsets(self) -> Tensor:
        """Return where each token's bytes begin, and the last one's end: int32."""
        return self._tables_on(self.weight.device)[1]

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
            TypeError: ids are no integers, or what is forced is no bytes.
            RuntimeError: ids are on another device than the weight.
            ValueError: the weight has another shape than the projection: it was tied to a head.
        """
        weight = self._parameters.get("weight")
        if weight is None:
            # Pruned or parametrized.
            weight = self.weight
        # A trace would record the comparison.
        tied = not torch._C._get_tracing_state() and weight.shape != self._shape
        if tied or getattr(ids, "dtype", None) not in INTEGERS:
            self._refuse(weight, ids)
        if encoders.is_traced() or weight.is_meta:
            return self._traceable(weight, ids, forced)
        if ids.device != weight.device:
            self._refuse(weight, ids)
        if forced:
            embedded = self._embed_forced(weight, ids, forced)
        elif self._is_frozen(weight):
            if self.encoder == "cached":
                flat = ids.reshape(-1).long()
                self._check(flat, self.num_embeddings)
                table = self._keep(weight, "table", self._embed_all)
                embedded = F.embedding(flat, table)
            else:
                embedded = self._keep(weight, "encode", self._prepare_all)(ids.reshape(-1))
        else:
            embedded = self._prepare(weight, *self._tables_on(weight.device))(ids.reshape(-1))
        return embedded.view(*ids.shape, self.embedding_dim)

    def embed_bytes(self, strings: Sequence[bytes]) -> Tensor:
        """Embed byte strings, in the vocabulary or not: shape ``(len(strings), d_model)``."""
        weight = self.weight
        data, offsets = self._pack(strings, weight.device)
        ids = torch.arange(len(strings), device=weight.device)
        return self._encode(weight, ids, data, offsets)

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

    def to_reference_state_dict(self) -> dict[str, Tensor]:
        """Return what the reference loads: ``projection.weight``, shape ``(d_model, D)``."""
        return {REFERENCE_KEY: self.weight.detach().t().contiguous()}

    def _encode(self, weight: Tensor, ids: Tensor, data: Tensor, offsets: Tensor) -> Tensor:
        if encoders.is_traced() or weight.is_meta:
            return traceable.encode(weight, ids, data, offsets, self.pos_dim)
        return self._prepare(weight, data, offsets)(ids)

    def _prepare(self, weight: Tensor, data: Tensor, offsets: Tensor) -> Callable[[Tensor], Tensor]:
        """Return how to embed ids of these tokens with the projection as it is."""
        pos_dim, known = self.pos_dim, len(offsets) - 1
        if operator.is_ordinary(weight) and weight.numel() and not weight.data_ptr():
            raise RuntimeError("the projection's memory has been freed; gather or load it first")
        mean = self._keep(weight, "mean", self._mean) if self._is_frozen(weight) else None
        if encoders.is_fused(self.encoder, weight.device, weight.dtype):
            return operator.prepare(weight, mean, data, offsets, pos_dim)
        if torch.compiler.is_compiling():
            return lambda ids: traceable.encode(weight, ids, data, offsets, pos_dim)

        def plainly(ids: Tensor) -> Tensor:
            ids = ids.long()
            self._check(ids, known)
            return plain.encode(weight, mean, ids, data, offsets, pos_dim)

        return plainly

    def _prepare_all(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        return self._prepare(weight, *self._tables_on(weight.device))

    def _embed_all(self, weight: Tensor) -> Tensor:
        ids = torch.arange(self.num_embeddings, device=weight.device)
        return self._prepare_all(weight)(ids)

    def _mean(self, weight: Tensor) -> Tensor:
        precise = torch.promote_types(weight.dtype, torch.float32)
        return weight.mean(0, dtype=precise)

    def _embed_forced(self, weight: Tensor, ids: Tensor, forced: Mapping[Slot, bytes]) -> Tensor:
        """Embed forced strings as further tokens behind the vocabulary, all in one pass."""
        self._check(ids, self.num_embeddings)
        ids, data, offsets = self._with_forced(weight, ids, forced)
        return self._prepare(weight, data, offsets)(ids.reshape(-1))

    def _with_forced(
        self, weight: Tensor, ids: Tensor, forced: Mapping[Slot, bytes]
    ) -> tuple[Tensor, Tensor, Tensor]:
        if not all(isinstance(slot, tuple) for slot in forced):
            raise TypeError("forced has a key that is no tuple; say (position,) or (row, position)")
        data, offsets = self._tables_on(weight.device)
        extra, extra_offsets = self._pack(list(forced.values()), weight.device)
        index = tuple(torch.tensor(axis, device=ids.device) for axis in zip(*forced, strict=True))
        further = torch.arange(len(forced), device=ids.device) + self.num_embeddings
        offsets = torch.cat([offsets, offsets[-1] + extra_offsets[1:]])
        return ids.long().index_put(index, further), torch.cat([data, extra]), offsets

    def _traceable(
        self, weight: Tensor, ids: Tensor, forced: Mapping[Slot, bytes] | None
    ) -> Tensor:
        data, offsets = self._tables_on(weight.device)
        ids = ids.to(weight.device)
        if forced:
            ids, data, offsets = self._with_forced(weight, ids, forced)
        return traceable.encode(weight, ids, data, offsets, self.pos_dim)

    def _pack(self, strings: Sequence[bytes], device: torch.device) -> tuple[Tensor, Tensor]:
        data, offsets = _tensors(_cut(_checked(strings, "strings"), self.pos_dim))
        return data.to(device), offsets.to(device)

    def _tables_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        tables = self._tables
        if tables[0].device == device:
            return tables
        data, offsets = self._vocabulary
        if torch.compiler.is_compiling() or device.type == "meta":
            return data.to(device), offsets.to(device)
        # Made in inference mode they could not be saved for a backward pass.
        with torch.inference_mode(False):
            tables = data.to(device), offsets.to(device)
        if type(tables[0]) is Tensor:
            self._tables = tables
        return tables

    def _check(self, ids: Tensor, known: int) -> None:
        if not ids.numel() or ids.device.type != "cpu" or not operator.is_ordinary(ids):
            return
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= known:
            raise encoders.unknown_id(low if low < 0 else high, known)

    def _refuse(self, weight: Tensor, ids: Any) -> None:
        """Say what is wrong with arguments that cannot be embedded."""
        if weight.shape != self._shape:
            raise ValueError(
                f"weight has shape {tuple(weight.shape)}; the projection of pos_dim {self.pos_dim} "
                f"and d_model {self.embedding_dim} has {tuple(self._shape)}. It is no table of "
                "tokens: do not tie it to an output head, which needs a weight of its own"
            )
        if not isinstance(ids, Tensor) or ids.dtype not in INTEGERS:
            given = ids.dtype if isinstance(ids, Tensor) else type(ids).__name__
            raise TypeError(f"ids are {given}; they must be a tensor of integers")
        raise RuntimeError(
            f"ids are on {ids.device} and the weight on {weight.device}; move one of them"
        )

    def _is_frozen(self, weight: Tensor) -> bool:
        """Return whether what follows from the projection may be kept."""
        if self.training or torch.compiler.is_compiling():
            return False
        return not (weight.requires_grad and torch.is_grad_enabled())

    def _keep(self, weight: Tensor, name: str, make: Callable[[Tensor], Kept]) -> Kept:
        """Return what was made of the projection as it is, now or before."""
        kept = self._kept.get(name)
        if kept is not None and watched.unchanged(weight, kept[0], kept[1]):
            if encoders.is_recording(weight.device):
                self._recorded[id(kept[2])] = kept[2]
            return kept[2]
        # Only a parameter that was given to this module in the ordinary way is known to change in
        # ordinary ways. FSDP, for one, puts its own in their place and fills them unseen.
        given = self._given() if self._given else None
        if weight is not given or not watched.can_watch(weight):
            with torch.no_grad():
                return make(weight)
        watched.watch(weight)
        state, changed = watched.state(weight), encoders.sampled(weight)
        with torch.no_grad():
            made = make(weight)
        if not encoders.is_recording(weight.device):
            self._kept[name] = state, changed, made
        return made

    def _forget_all(self) -> None:
        self._kept: dict[str, tuple[watched.State, Callable[[], bool], Any]] = {}
        # What graphs read: it must stay where it is as long as the projection does.
        self._recorded: dict[int, Any] = {}
        self._given: weakref.ref[Tensor] | None = None

    def _own(self, weight: Tensor | None) -> None:
        """Take a parameter as this module's projection."""
        self._kept.clear()
        self._given = None if weight is None else weakref.ref(weight)
        if weight is not None:
            _projections[weight] = self.num_embeddings

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Take a parameter, as `nn.Module` does."""
        super().register_parameter(name, param)
        if name == "weight":
            self._own(self._parameters["weight"])

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation mode, and forget what was kept."""
        self._kept.clear()
        if mode:
            watched.release(self._parameters.get("weight"))
        return super().train(mode)

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        watched.release(self._parameters.get("weight"))
        self._recorded.clear()
        super()._apply(*arguments, **options)
        weight = self._parameters.get("weight")
        self._own(weight)
        if weight is not None and not weight.is_meta:
            self._tables_on(weight.device)
        return self

    def __getstate__(self) -> dict[str, Any]:
        fresh: dict[str, Any] = {"_kept": {}, "_recorded": {}, "_given": None}
        return {**self.__dict__, **fresh, "_tables": self._vocabulary}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._own(self._parameters.get("weight"))

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
            theirs = state_dict.pop(key)
            if theirs.shape != self._shape[::-1]:
                arguments[-1].append(
                    f"{key} has shape {tuple(theirs.shape)}; pos_dim {self.pos_dim} and d_model "
                    f"{self.embedding_dim} need {tuple(self._shape[::-1])}"
                )
                return
            state_dict[prefix + "weight"] = theirs.t().contiguous()
        super()._load_from_state_dict(state_dict, prefix, *arguments)


_projections = WeakTensorKeyDictionary()
"""The projections of all Kronecker embeddings, with the size of the vocabulary."""


def _refuse_tied_head(module: nn.Module, name: str, parameter: Tensor | None) -> None:
    """Refuse to make a projection the weight of an output head."""
    if parameter is None or isinstance(module, KroneckerEmbedding):
        return
    before = module._parameters.get(name)
    if before is None or before is parameter or parameter not in _projections:
        return
    if before.shape != parameter.shape or len(before) == _projections[parameter]:
        raise ValueError(
            f"the projection of a KroneckerEmbedding, {tuple(parameter.shape)}, cannot take the "
            f"place of {type(module).__name__}.{name}, {tuple(before.shape)}: it is no table of "
            "tokens; do not tie it (Hugging Face: tie_word_embeddings=False)"
        )


register_module_parameter_registration_hook(_refuse_tied_head)


def _checked(strings: Any, name: str) -> list[bytes]:
    """Return a list of byte strings; `TypeError` if it is anything else."""
    if isinstance(strings, TokenBytes):
        return [strings[i] for i in range(len(strings))]
    if not isinstance(strings, Sequence) or isinstance(strings, str | bytes | bytearray):
        raise TypeError(
            f"{name} is {type(strings).__name__}; it must be a sequence of bytes, one for each id "
            "(KroneckerEmbedding.from_tokenizer makes it from a tokenizer)"
        )
    for place, string in enumerate(strings):
        if not isinstance(string, bytes | bytearray | memoryview):
            raise TypeError(
                f"{name} has {type(string).__name__} at index {place}; it must be bytes, such as "
                "text.encode() (KroneckerEmbedding.from_tokenizer makes them from a tokenizer)"
            )
    return [bytes(string) for string in strings]


def _index(place: int | None, count: int) -> int | None:
    if place is None:
        return None
    if not -count <= place < count:
        raise ValueError(f"padding_idx is {place}; this vocabulary has ids 0 … {count - 1}")
    return place % count


def _cut(strings: Iterable[bytes], pos_dim: int) -> TokenBytes:
    return TokenBytes.of([codec.truncate(string, pos_dim) for string in strings])


def _tensors(tokens: TokenBytes) -> tuple[Tensor, Tensor]:
    """Return bytes, uint8, and offsets, int32, on the CPU, whatever the default device is."""
    with torch.inference_mode(False):
        data = torch.tensor(tokens.data, device="cpu")
        return data, torch.tensor(tokens.offsets, dtype=torch.int32, device="cpu")
