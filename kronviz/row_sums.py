"""`RowSumEmbedding`: embeddings that add up those rows of one matrix that a token's bytes select.

Notable:

- A drop-in for `torch.nn.Embedding`. The matrix is its only trainable tensor and the only entry of
  its state dict. The vocabulary is not a buffer, so it cannot be missing from a checkpoint or be
  averaged with another.
- The sums can be computed in several ways, equal up to rounding: a compiled loop on a CPU, Triton
  kernels on a GPU, a cached table, plain PyTorch.
- Token bytes are stored ragged, as bytes and offsets.
- Any position of a batch can be forced to any byte string (paper, section 6.12).
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, SupportsIndex, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_parameter_registration_hook

from kronviz import encoders
from kronviz.encoders import operator, plain, traceable, watched
from kronviz.encoders.codes import Code, n_rows
from kronviz.tokenizer import TokenBytes

Cached = TypeVar("Cached")
Slot = tuple[int, ...]
"""An index into a batch of ids: ``(position,)`` or ``(row, position)``."""
BYTES = bytes | bytearray | memoryview
INTEGERS = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8})
FLOATS = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})
FREED = "the weight's memory has been freed; gather or load it first"


class Tokens(NamedTuple):
    """Byte strings in the form that encoders read.

    Attributes:
        data: all bytes, concatenated, uint8.
        offsets: where each string begins and the last one ends, int32.
        longest: number of bytes of the longest string, or more.
    """

    data: Tensor
    offsets: Tensor
    longest: int

    @classmethod
    def of(cls, strings: Sequence[bytes]) -> Tokens:
        """Pack strings on the CPU, whatever the default device is."""
        packed = TokenBytes.of(list(strings))
        with torch.inference_mode(False):
            data = torch.tensor(packed.data, device="cpu")
            offsets = torch.tensor(packed.offsets, dtype=torch.int32, device="cpu")
        return cls(data, offsets, max(map(len, strings), default=0))

    def to(self, device: torch.device) -> Tokens:
        """Return the same strings on a device."""
        return Tokens(self.data.to(device), self.offsets.to(device), self.longest)

    def and_(self, others: Tokens) -> Tokens:
        """Return these strings and then the others."""
        offsets = torch.cat([self.offsets, self.offsets[-1] + others.offsets[1:]])
        data = torch.cat([self.data, others.data])
        return Tokens(data, offsets, max(self.longest, others.longest))


class RowSumEmbedding(nn.Module):
    """Embeds token ids by the scaled, centred sum of the rows that their bytes select.

    Args:
        tokens: the bytes of every id.
        d_model: width of the embedding.
        code: which rows are selected, see `encoders.codes`.
        encoder: how to compute: ``fused`` (numba on a CPU, Triton on a GPU), ``cached`` (embeds all
            tokens once and then looks them up; for inference, since with gradients it computes like
            ``auto``), ``reference`` (plain PyTorch), or ``auto`` (``fused`` if its package is
            installed, else ``reference`` with one log message).
        init_std: standard deviation of the initial rows; by default 1/√R.
        device, dtype: of the rows.

    Attributes:
        weight: the rows, the only parameter: ``(R, d_model)``, R being `codes.n_rows`. It is not a
            table of tokens, so no output head can be tied to it.
        data, offsets: the bytes of all tokens, uint8, and where each begins, int32, on the device
            of the weight.
        longest_read: most bytes of a string that are read; ``None`` if all are.

    Raises:
        ValueError: d_model, init_std or encoder is invalid.

    In evaluation mode without gradients, results that depend on the rows alone (their mean, the
    table of ``cached``) are cached until the rows change. Changes through the parameter, its
    ``data`` or an optimizer are always noticed. Changes that bypass PyTorch (numpy, DLPack, your
    own kernel) are noticed on a CPU, if they change most elements; otherwise switch to training
    mode and back. A CUDA graph captured in evaluation mode uses what was cached then: capture it
    again after the rows have changed.
    """

    # Attributes that code written for `nn.Embedding` reads.
    max_norm, norm_type, scale_grad_by_freq, sparse = None, 2.0, False, False
    longest_read: int | None = None
    padding_idx: int | None = None
    _drawn = False

    def __init__(
        self,
        tokens: Sequence[bytes],
        d_model: int,
        code: Code,
        encoder: str = "auto",
        *,
        init_std: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        encoders.check_name(encoder)
        if not is_whole(d_model) or int(d_model) < 0:
            raise ValueError(f"d_model is {d_model!r}; it must be a whole number, 0 or more")
        if init_std is not None and not 0 <= init_std < math.inf:
            raise ValueError(f"init_std is {init_std}; it must be a number, 0 or more")
        self.embedding_dim = d_model = int(d_model)
        self.code = tuple(map(int, code))
        self.encoder = encoder
        self._shape = torch.Size((n_rows(self.code), d_model))
        self.init_std = 1 / math.sqrt(self._shape[0]) if init_std is None else init_std
        self._reset_cache()
        self._vocabulary = self._tables = Tokens.of(tokens)
        self.weight = nn.Parameter(torch.empty(self._shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial rows."""
        nn.init.normal_(self.weight, std=self.init_std)
        self._drawn = not self.weight.is_meta

    @property
    def _is_hf_initialized(self) -> bool:
        return self.__dict__.get("_is_hf_initialized", False)

    @_is_hf_initialized.setter
    def _is_hf_initialized(self, value: bool) -> None:
        """Draw the rows if transformers left them uninitialized, as it does in unknown modules.

        It sets this flag on a module after initializing what the checkpoint lacks, and on each
        parameter that it loaded.
        """
        self.__dict__["_is_hf_initialized"] = value
        if value and not self._drawn and not getattr(self.weight, "_is_hf_initialized", False):
            self.reset_parameters()

    @property
    def num_embeddings(self) -> int:
        """Return the number of ids."""
        return len(self._vocabulary.offsets) - 1

    @num_embeddings.setter
    def num_embeddings(self, count: int) -> None:
        raise ValueError(
            f"this embedding has the {self.num_embeddings:,} tokens of its vocabulary; to change "
            f"that, make a {type(self).__name__} with the new vocabulary and load this one's state "
            "dict"
        )

    @property
    def data(self) -> Tensor:
        """Return the bytes of all tokens, concatenated: uint8."""
        return self._tables_on(self.weight.device).data

    @property
    def offsets(self) -> Tensor:
        """Return where each token's bytes begin, and where the last token's end: int32."""
        return self._tables_on(self.weight.device).offsets

    def forward(self, ids: Tensor, forced: Mapping[Slot, bytes] | None = None) -> Tensor:
        """Embed ids.

        Args:
            ids: integer tensor of any shape, values in ``[0, num_embeddings)``.
            forced: bytes to embed in place of the id at an index of ``ids``.

        Returns:
            Shape ``(*ids.shape, d_model)``, dtype of the weight.

        Raises:
            IndexError: a forced index is out of range, or an id (for ids on a CPU; on a GPU the
                fused encoder returns a row of NaN, and the others fail as `nn.Embedding` does).
            TypeError: ids are not integers, ``forced`` does not map tuples of them to bytes, or the
                weight is not float32, float64, bfloat16 or float16.
            RuntimeError: ids and weight are on different devices.
            ValueError: a forced index has another number of dimensions than the ids, two are the
                same place, or the weight's shape has changed, because it was tied to a head.
        """
        weight = self._rows()
        if getattr(ids, "dtype", None) not in INTEGERS:
            self._refuse(weight, ids)
        if encoders.is_traced() or weight.is_meta:
            return self._traceable(weight, ids, forced)
        if ids.device != weight.device:
            self._refuse(weight, ids)
        if forced:
            embedded = self._embed_forced(weight, ids, forced)
        elif self._is_frozen(weight):
            if self.encoder == "cached":
                ids = ids.long()
                self._check(ids, self.num_embeddings)
                return F.embedding(ids, self._cached(weight, "table", self._embed_all))
            embedded = self._cached(weight, "encode", self._prepare_all)(ids.reshape(-1))
        else:
            embedded = self._prepare_all(weight)(ids.reshape(-1))
        return embedded.view(*ids.shape, self.embedding_dim)

    def embed_bytes(self, strings: Sequence[bytes]) -> Tensor:
        """Embed byte strings, in the vocabulary or not: shape ``(len(strings), d_model)``.

        Raises:
            TypeError: the strings are not a sequence of bytes.
            ValueError: the weight's shape has changed, because it was tied to a head.
        """
        return self._encode(self._rows(), *self._encodable(checked(strings, "strings")))

    @torch.no_grad()
    def warm_up(self) -> None:
        """Compile and cache what the first call would otherwise have to."""
        self.embed_bytes([b" "])
        if self.num_embeddings:
            self(torch.zeros(1, dtype=torch.long, device=self.weight.device))

    def _rows(self) -> Tensor:
        """Return the rows to add up; `ValueError` if they have another shape than at first."""
        weight = self._parameters.get("weight")
        if weight is None:
            # Pruned or parametrized.
            weight = self.weight
        # Not while tracing, which would record the comparison.
        if not torch._C._get_tracing_state() and weight.shape != self._shape:
            self._refuse(weight, None)
        return weight

    def _read(self, strings: Sequence[bytes]) -> Sequence[bytes]:
        """Return what the code reads of each string."""
        return strings

    def _encodable(self, strings: Sequence[bytes]) -> tuple[Tensor, Tokens]:
        """Return tokens that include the strings, and the strings' ids among them."""
        device = self.weight.device
        return torch.arange(len(strings), device=device), Tokens.of(self._read(strings)).to(device)

    def _appended(self, strings: Sequence[bytes]) -> tuple[Tensor, Tokens]:
        """Return the vocabulary with the strings appended, and the strings' ids in it."""
        ids, others = RowSumEmbedding._encodable(self, strings)
        return ids + self.num_embeddings, self._tables_on(ids.device).and_(others)

    def _encode(self, weight: Tensor, ids: Tensor, tokens: Tokens) -> Tensor:
        if encoders.is_traced() or weight.is_meta:
            return traceable.encode(weight, ids, *tokens[:2], self.code, tokens.longest)
        return self._prepare(weight, tokens)(ids)

    def _prepare(self, weight: Tensor, tokens: Tokens) -> Callable[[Tensor], Tensor]:
        """Return a function that embeds ids of these tokens with the current rows."""
        code, (data, offsets, longest) = self.code, tokens
        if operator.is_ordinary(weight) and weight.numel() and not weight.data_ptr():
            raise RuntimeError(FREED)
        mean = self._cached(weight, "mean", self._mean) if self._is_frozen(weight) else None
        if encoders.is_fused(self.encoder, weight.device, weight.dtype):
            return operator.prepare(weight, mean, data, offsets, code)
        if weight.dtype not in FLOATS:
            raise TypeError(
                f"the weight is {weight.dtype}, whose rows cannot be added up; convert the module "
                "to float32, float64, bfloat16 or float16"
            )
        if torch.compiler.is_compiling():
            return lambda ids: traceable.encode(weight, ids, data, offsets, code, longest)

        def embed(ids: Tensor) -> Tensor:
            ids = ids.long()
            self._check(ids, len(offsets) - 1)
            return plain.encode(weight, mean, ids, data, offsets, code)

        return embed

    def _prepare_all(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        return self._prepare(weight, self._tables_on(weight.device))

    def _embed_all(self, weight: Tensor) -> Tensor:
        ids = torch.arange(self.num_embeddings, device=weight.device)
        return self._prepare_all(weight)(ids)

    def _mean(self, weight: Tensor) -> Tensor:
        precise = torch.promote_types(weight.dtype, torch.float32)
        return weight.mean(0, dtype=precise)

    def _embed_forced(self, weight: Tensor, ids: Tensor, forced: Mapping[Slot, bytes]) -> Tensor:
        """Embed ids and forced strings in one pass, the strings as extra tokens."""
        self._check(ids, self.num_embeddings)
        ids, tokens = self._with_forced(ids, forced)
        return self._prepare(weight, tokens)(ids.reshape(-1))

    def _with_forced(self, ids: Tensor, forced: Mapping[Slot, bytes]) -> tuple[Tensor, Tokens]:
        _check_forced(forced, ids)
        places, tokens = self._appended(checked(list(forced.values()), "forced"))
        index = tuple(torch.tensor(axis, device=ids.device) for axis in zip(*forced, strict=True))
        return ids.long().index_put(index, places), tokens

    def _traceable(
        self, weight: Tensor, ids: Tensor, forced: Mapping[Slot, bytes] | None
    ) -> Tensor:
        ids, tokens = ids.to(weight.device), self._tables_on(weight.device)
        if forced:
            ids, tokens = self._with_forced(ids, forced)
        return traceable.encode(weight, ids, *tokens[:2], self.code, tokens.longest)

    def _tables_on(self, device: torch.device) -> Tokens:
        tables = self._tables
        if tables.data.device == device:
            return tables
        if torch.compiler.is_compiling() or device.type == "meta":
            return self._vocabulary.to(device)
        # Tensors made in inference mode cannot be saved for a backward pass.
        with torch.inference_mode(False):
            tables = self._vocabulary.to(device)
        if type(tables.data) is Tensor:
            self._tables = tables
        return tables

    def _check(self, ids: Tensor, known: int) -> None:
        if not ids.numel() or ids.device.type != "cpu" or not operator.is_ordinary(ids):
            return
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= known:
            raise encoders.unknown_id(low if low < 0 else high, known)

    def _refuse(self, weight: Tensor, ids: Any) -> None:
        """Raise an error that says why these arguments cannot be embedded."""
        if not weight.numel() and self._shape.numel():
            raise RuntimeError(FREED)
        if weight.shape != self._shape:
            raise ValueError(
                f"weight has shape {tuple(weight.shape)}; this embedding needs "
                f"{tuple(self._shape)}. It is not a table of tokens: do not tie it to an output "
                "head, which needs a weight of its own"
            )
        if isinstance(ids, torch.fx.Proxy):
            raise TypeError(
                "torch.fx cannot trace this embedding; make it a leaf of the tracer "
                "(Tracer.is_leaf_module), or use torch.export"
            )
        if not isinstance(ids, Tensor) or ids.dtype not in INTEGERS:
            given = ids.dtype if isinstance(ids, Tensor) else type(ids).__name__
            raise TypeError(
                f"ids are {given}; they must be a tensor of int64, int32, int16, int8 or uint8"
            )
        raise RuntimeError(
            f"ids are on {ids.device} and the weight on {weight.device}; move one of them"
        )

    def _is_frozen(self, weight: Tensor) -> bool:
        """Return whether results that depend on the rows alone may be cached."""
        if self.training or torch.compiler.is_compiling():
            return False
        return not (weight.requires_grad and torch.is_grad_enabled())

    def _cached(self, weight: Tensor, name: str, make: Callable[[Tensor], Cached]) -> Cached:
        """Return ``make(weight)``, cached if the rows have not changed since."""
        entry = self._cache.get(name)
        if entry is not None and watched.unchanged(weight, entry[0], entry[1]):
            if encoders.is_recording(weight.device):
                self._captured[id(entry[2])] = entry[2]
            return entry[2]
        # Changes can be seen only in parameters registered through `nn.Module`. FSDP, for example,
        # puts its own parameters in their place and fills them unseen.
        if not watched.is_given(weight) or not watched.can_watch(weight):
            with torch.no_grad():
                return make(weight)
        watched.watch(weight)
        state, changed = watched.state(weight), encoders.sampled(weight)
        with torch.no_grad():
            made = make(weight)
        if not encoders.is_recording(weight.device):
            self._cache[name] = state, changed, made
        return made

    def _reset_cache(self) -> None:
        self._cache: dict[str, tuple[watched.State, Callable[[], bool], Any]] = {}
        # Tensors that captured graphs read: they must live as long as the projection.
        self._captured: dict[int, Any] = {}

    def _adopt(self, weight: Tensor | None) -> None:
        """Adopt a parameter as this module's rows."""
        self._cache.clear()
        if weight is not None:
            watched.give(weight)
        _embeddings.add(self)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Register a parameter, as `nn.Module` does."""
        super().register_parameter(name, param)
        if name == "weight":
            self._adopt(self._parameters["weight"])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Load the weight, as `nn.Module` does, or a contiguous copy: only that can be sampled."""
        weight = state_dict.get(prefix + "weight")
        if isinstance(weight, Tensor) and not weight.is_contiguous():
            state_dict[prefix + "weight"] = weight.detach().contiguous()
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation mode, and clear the cache."""
        self._cache.clear()
        if mode:
            watched.release(self._parameters.get("weight"))
        return super().train(mode)

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        watched.release(self._parameters.get("weight"))
        self._captured.clear()
        super()._apply(*arguments, **options)
        weight = self._parameters.get("weight")
        self._adopt(weight)
        if weight is not None and not weight.is_meta:
            self._tables_on(weight.device)
        return self

    def __prepare_scriptable__(self) -> Self:
        raise TypeError(
            "torch.jit.script cannot compile this embedding; use torch.jit.trace or torch.export"
        )

    def __getstate__(self) -> dict[str, Any]:
        fresh: dict[str, Any] = {"_cache": {}, "_captured": {}}
        return {**self.__dict__, **fresh, "_tables": self._vocabulary}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._adopt(self._parameters.get("weight"))


_embeddings: weakref.WeakSet[RowSumEmbedding] = weakref.WeakSet()
"""All instances. References to their weights would keep PyTorch from swapping these."""


def _refuse_tied_head(module: nn.Module, name: str, parameter: Tensor | None) -> None:
    """Refuse to tie an output head to the rows of an embedding of bytes."""
    if parameter is None or isinstance(module, RowSumEmbedding):
        return
    before = module._parameters.get(name)
    if before is None or before is parameter:
        return
    owner = next((e for e in _embeddings if e._parameters.get("weight") is parameter), None)
    if owner is None:
        return
    if before.shape != parameter.shape or len(before) == owner.num_embeddings:
        raise ValueError(
            f"the weight of an embedding of bytes, {tuple(parameter.shape)}, cannot take the place "
            f"of {type(module).__name__}.{name}, {tuple(before.shape)}: it is not a table of "
            "tokens; do not tie it (Hugging Face: tie_word_embeddings=False)"
        )


register_module_parameter_registration_hook(_refuse_tied_head)


def _check_forced(forced: Any, ids: Tensor) -> None:
    """Raise an error if ``forced`` does not name places of ``ids``, each at most once."""
    if not isinstance(forced, Mapping):
        raise TypeError(
            f"forced is {type(forced).__name__}; it must be a dict of bytes by (position,) or "
            "(row, position)"
        )
    shape, seen = tuple(ids.shape), set()
    for slot, string in forced.items():
        if not isinstance(slot, tuple) or not all(map(is_whole, slot)):
            raise TypeError(
                f"forced has the key {slot!r}; it must be a tuple of whole numbers, (position,) or "
                "(row, position)"
            )
        if len(slot) != len(shape):
            raise ValueError(
                f"forced has the key {slot}; each must have {len(shape)} numbers, one for each "
                f"dimension of the ids, which have shape {shape}"
            )
        if not isinstance(string, BYTES):
            raise TypeError(
                f"forced has {type(string).__name__} at {slot}; it must be bytes, such as "
                "text.encode()"
            )
        if torch.compiler.is_compiling() or encoders.is_traced():
            continue  # Comparisons with a size would fix it in the graph.
        if not all(-size <= place < size for place, size in zip(slot, shape, strict=True)):
            raise IndexError(f"forced has the key {slot}; the ids have shape {shape}")
        place = tuple(int(place) % size for place, size in zip(slot, shape, strict=True))
        if place in seen:
            raise ValueError(f"forced has two strings for {place}; a place takes one")
        seen.add(place)


def is_whole(number: object) -> bool:
    """Return whether something is a whole number, which True is not."""
    return isinstance(number, SupportsIndex) and not isinstance(number, bool)


def checked(strings: Any, name: str) -> list[bytes]:
    """Return a list of byte strings; `TypeError` if it is anything else."""
    if isinstance(strings, TokenBytes):
        return [strings[i] for i in range(len(strings))]
    if not isinstance(strings, Sequence) or isinstance(strings, str | bytes | bytearray):
        raise TypeError(
            f"{name} is {type(strings).__name__}; it must be a sequence of bytes, one for each id "
            "(KroneckerEmbedding.from_tokenizer makes it from a tokenizer)"
        )
    for place, string in enumerate(strings):
        if not isinstance(string, BYTES):
            raise TypeError(
                f"{name} has {type(string).__name__} at index {place}; it must be bytes, such as "
                "text.encode() (KroneckerEmbedding.from_tokenizer makes them from a tokenizer)"
            )
    return [bytes(string) for string in strings]
