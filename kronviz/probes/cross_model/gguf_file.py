"""Reads GGUF files, which have both the tokens and the table of a model.

Notable:

- Values are dequantised by the library `gguf`, a few thousand rows at a time. Its reader of whole
  files is not used: it makes two arrays for each token (a minute and 0.9 GB for 262,144) and trusts
  every length in the file. The header is parsed here, with limits.
- Tokens come with their types: control tokens have no bytes, user-defined ones are text.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import Matrix, choose, short
from kronviz.probes.cross_model.schemes import BYTE_LEVEL, SENTENCEPIECE, Scheme
from kronviz.probes.cross_model.sentencepiece_model import (
    CONTROL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    from_pieces,
)
from kronviz.probes.cross_model.table import VectorTable, check_shape, filled, part_of
from kronviz.probes.cross_model.tokens import TokenList, built, check_count, from_strings
from kronviz.progress import Progress

MAGIC = b"GGUF"
TABLE = "token_embd.weight"
MAX_KEYS, MAX_TENSORS = 20_000, 100_000
MAX_STRING = 8_000_000
MAX_STRINGS = 2_000_000
"""Strings in the arrays of a header; a vocabulary and its merges have a few hundred thousand."""
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
            11: "<q", 12: "<d"}  # fmt: skip
_STRING, _ARRAY = 8, 9
_NEEDED = ("general.", "tokenizer.ggml.model", "split.")
_TOKENS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_BERT = Scheme("WordPiece", blank="▁")


def read_gguf(
    path: Path,
    tensor: str = "",
    tokens: TokenList | None = None,
    progress: Progress | None = None,
) -> tuple[VectorTable, TokenList]:
    """Read the tokens and the table of a file.

    Args:
        tensor: name of the table, if it is not the usual one.
        tokens: the model's tokens, for a file without them.
        progress: called with the rows read.

    Raises:
        InputError: the file is damaged, or has no tokens or no table.
        Stopped: ``progress`` returned ``False``.
    """
    label = short(path.name)
    with path.open("rb") as file:
        size = path.stat().st_size
        try:
            header = _Header(file, size)
            own = _tokens(header)
        except (struct.error, UnicodeDecodeError):
            raise InputError(
                f"{label} ends within its header; it was not copied in full."
            ) from None
        except _Damaged:
            raise InputError(f"{label} is a damaged GGUF file; download it again.") from None
        known = own or tokens
        if known is None:
            raise InputError(
                f"{label} is a GGUF file without tokens; give its model's tokenizer.json, too."
            )
        if not header.tensors:
            raise InputError(
                f"{label} is a GGUF file of a vocabulary only; give the file of the whole model."
            )
        return _table(header, label, size, tensor, known, progress), known


class _Damaged(Exception):
    """The header contradicts itself or the size of the file."""


class _Header:
    """The header of a file.

    Attributes:
        values: values of the needed keys, including the tokens and their types.
        tensors: shape (rows, values in each), type and offset in the file of every tensor.
    """

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._size = file, size
        self._strings = 0
        self.values: dict[str, Any] = {}
        self.tensors: dict[str, tuple[tuple[int, ...], int, int]] = {}
        file.seek(4)
        version = self._number("<I")
        if version & 0xFFFF == 0:
            raise InputError("The GGUF file is big-endian; convert it to little-endian.")
        if version not in (2, 3):
            raise InputError(f"The GGUF file is of version {version}; versions 2 and 3 are read.")
        tensors, keys = self._number("<Q"), self._number("<Q")
        if tensors > MAX_TENSORS or keys > MAX_KEYS:
            raise _Damaged
        for _ in range(keys):
            key = self._string()
            needed = key.startswith(_NEEDED) or key in (_TOKENS, _TYPES)
            value = self._value(self._number("<I"), needed)
            if needed:
                self.values[key] = value
        places = []
        for _ in range(tensors):
            name, dims = self._string(), self._number("<I")
            if dims > 8:
                raise _Damaged
            shape = tuple(self._number("<Q") for _ in range(dims))[::-1]
            places.append((name, shape, self._number("<I"), self._number("<Q")))
        step = self.values.get("general.alignment", 32)
        if not isinstance(step, int) or not 0 < step <= 1 << 20:
            raise _Damaged
        data = -(-file.tell() // step) * step
        for name, shape, kind, offset in places:
            self.tensors[name] = (shape, kind, data + offset)

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._file.read(struct.calcsize(form)))[0]

    def _bytes(self) -> bytes:
        length = self._number("<Q")
        if length > min(MAX_STRING, self._size):
            raise _Damaged
        data = self._file.read(length)
        if len(data) < length:
            raise struct.error
        return data

    def _string(self) -> str:
        return self._bytes().decode("utf-8", "replace")

    def _value(self, kind: int, needed: bool) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            if kind not in _SCALARS:
                raise _Damaged
            return self._number(_SCALARS[kind])
        inner, count = self._number("<I"), self._number("<Q")
        if inner == _STRING:
            self._strings += count
            if count * 8 > self._size or self._strings > MAX_STRINGS:
                raise _Damaged
            if needed:
                check_count(count)
                return [self._string() for _ in range(count)]
            for _ in range(count):
                self._bytes()
            return None
        if inner not in _SCALARS:
            raise _Damaged
        width = struct.calcsize(_SCALARS[inner])
        if count * width > self._size:
            raise _Damaged
        if needed:
            check_count(count)
            data = self._file.read(count * width)
            if len(data) < count * width:
                raise struct.error
            return np.frombuffer(data, _SCALARS[inner]).tolist()
        self._file.seek(count * width, 1)
        return None


def _tokens(header: _Header) -> TokenList | None:
    strings = header.values.get(_TOKENS)
    if not isinstance(strings, list) or not strings:
        return None
    if not isinstance(strings[0], str):
        raise _Damaged
    model = str(header.values.get("tokenizer.ggml.model"))
    kinds = header.values.get(_TYPES)
    if not isinstance(kinds, list) or len(kinds) != len(strings):
        kinds = None
    if model == "rwkv":
        raise InputError(
            "The GGUF file has a vocabulary in RWKV's format, which cannot be read; give the "
            "vectors and a JSON list of the tokens."
        )
    if model in ("llama", "t5", "gemma4") and kinds:
        return from_pieces([Piece(*pair) for pair in zip(strings, kinds, strict=True)])
    if kinds is None or model not in ("gpt2", "llama", "t5", "bert", "gemma4"):
        return from_strings(strings)
    scheme = {"gpt2": BYTE_LEVEL, "bert": _BERT}.get(model, SENTENCEPIECE)
    literal = {i: strings[i] for i, kind in enumerate(kinds) if kind == USER_DEFINED}
    special = {i for i, kind in enumerate(kinds) if kind in (UNKNOWN, CONTROL, UNUSED)}
    vocabulary = [None if i in literal else string for i, string in enumerate(strings)]
    if model == "bert":
        return _wordpieces(vocabulary, literal, special)
    return built(vocabulary, scheme, literal, special)


def _wordpieces(strings: list[str | None], literal: dict[int, str], special: set[int]) -> TokenList:
    """Read BERT's pieces, which GGUF writes like SentencePiece's: ``▁`` where a word begins."""
    if any(string and string.startswith("##") for string in strings):
        return from_strings(strings)
    tokens = built(strings, _BERT, literal, special)
    return replace(tokens, tokens=tuple(token.removeprefix(b" ") for token in tokens.tokens))


def _table(
    header: _Header,
    label: str,
    size: int,
    tensor: str,
    tokens: TokenList,
    progress: Progress | None,
) -> VectorTable:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    name, notes = choose(
        [Matrix(name, shape) for name, (shape, *_) in header.tensors.items()],
        label,
        tensor,
        tokens,
    )
    (total, dims), kind, start = header.tensors[name]
    try:
        quantised = GGMLQuantizationType(kind)
        block, width = GGML_QUANT_SIZES[quantised]
    except (ValueError, KeyError):
        raise InputError(
            f"{short(name)} has an unknown type (number {kind}); give a file in F16 or Q8_0."
        ) from None
    if dims % block:
        raise InputError(f"{label} is a damaged GGUF file; download it again.")
    rows = check_shape(total, dims, name)
    row = dims // block * width
    if start + rows * row > size:
        raise InputError(f"{label} ends before {short(name)} does; it was not copied in full.")

    def read(first: int, last: int) -> NDArray[np.float32]:
        data = part_of(file, start + first * row, start + last * row)
        return _numbers(np.frombuffer(data, np.uint8).reshape(last - first, row), quantised)

    file = header._file
    return VectorTable(filled(rows, dims, read, progress), name, quantised.name, total, notes)


def _numbers(data: NDArray[np.uint8], kind: Any) -> NDArray[np.float32]:
    from gguf.quants import dequantize

    if kind.name == "F64":
        return data.view("<f8").astype(np.float32)
    try:
        return np.asarray(dequantize(data, kind), np.float32)
    except NotImplementedError:
        raise InputError(
            f"The table is stored as {kind.name}, which cannot be dequantised here; give a file in "
            "F16 or Q8_0."
        ) from None
