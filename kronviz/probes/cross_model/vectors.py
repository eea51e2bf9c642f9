"""A table of token vectors out of a file: safetensors or .npy, nothing that could run code.

Notable:

- Of a safetensors file the header is read and then the bytes of one tensor, through a function
  from a range of bytes to these bytes. The same lines so read a local file and one on the web.
- A name that embedding tables go by is looked for; where there is none, the largest matrix is.
- Of a table with more than `MAX_VALUES` numbers the first rows are read: ids come in order of
  frequency in most vocabularies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kronviz.predictor import InputError

MAX_VALUES = 100_000_000
MAX_DIMS = 16_384
MAX_HEADER_BYTES = 25_000_000
MAX_UPLOAD_BYTES = 400 * 2**20
"""Of a file that is sent to the app: the largest table that is read, in float32, and its header."""
MIN_ROWS = 16

Read = Callable[[int, int], bytes]
"""From the first byte and the one after the last to the bytes between."""

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_NAMES = (
    r"(^|\.)embed_tokens\.weight$",
    r"(^|\.)wte\.weight$",
    r"(^|\.)word_embeddings\.weight$",
    r"(^|\.)embed_in\.weight$",
    r"(^|\.)tok_embeddings\.weight$",
    r"(^|\.)token_embedding\.weight$",
    r"(^|\.)shared\.weight$",
    r"(^|\.)word_embedding\.weight$",
    r"(^|\.)embeddings?(\.weight)?$",
)
_NOT_SAFE = {
    b"PK": "an archive (zip, as .npz and PyTorch’s .bin and .pt are)",
    b"\x80": "a pickle, which can run code",
    b"\x1f\x8b": "a gzip archive",
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
}
_WANTED = "give the vectors as .safetensors or .npy"


@dataclass(frozen=True)
class VectorTable:
    """A table of vectors.

    Attributes:
        vectors: float32, shape ``(rows, dims)``; at most `MAX_VALUES` numbers.
        name: of the tensor, or of the file where tensors have no names.
        dtype: as it was stored.
        rows: of the whole table, of which the first may be all that was read.
    """

    vectors: NDArray[np.float32]
    name: str
    dtype: str
    rows: int


def read_vectors(path: str | Path, tensor: str = "") -> VectorTable:
    """The table in a file.

    Args:
        tensor: name of the tensor in a safetensors file; found by itself where it is left empty.

    Raises:
        InputError: the file is of another kind, damaged, or holds no table of vectors.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = path.stat().st_size
            for magic, kind in _NOT_SAFE.items():
                if start.startswith(magic) and not _is_length(start, size):
                    raise InputError(f"{_short(path.name)} is {kind}; {_WANTED}.")
            if start.startswith(b"\x93NUMPY"):
                return _read_npy(path)

            def read(first: int, end: int) -> bytes:
                file.seek(first)
                return file.read(end - first)

            return read_safetensors(read, size, tensor, label=_short(path.name))
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{_short(path.name)} cannot be read: {reason}.") from None


def read_safetensors(
    read: Read, size: int | None, tensor: str = "", *, label: str = "The file"
) -> VectorTable:
    """The table in a safetensors file that is read by ranges of bytes.

    Args:
        size: of the file in bytes, where it is known.
        label: how a refusal calls the file.

    Raises:
        InputError: it is no safetensors file, or holds no such table.
    """
    entries, origin = read_header(read, size, label)
    name = choose_tensor({key: _shape(entry) for key, entry in entries.items()}, tensor)
    entry = entries[name]
    dtype, (total, dims) = str(entry.get("dtype")), _shape(entry)
    if dtype not in _DTYPES:
        raise InputError(
            f"{_short(name)} is stored as {dtype[:20]}; give it as float32, float16, bfloat16 or "
            "float64."
        )
    kind = np.dtype(_DTYPES[dtype])
    offsets = entry.get("data_offsets")
    row = dims * kind.itemsize
    whole = isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_count, offsets))
    if not whole or offsets[1] - offsets[0] != total * row:
        raise InputError(f"{label} is damaged: the place of {_short(name)} does not fit its shape.")
    rows = check_shape(total, dims, name)
    first = origin + offsets[0]
    data = read(first, first + rows * row)
    if len(data) != rows * row:
        raise InputError(f"{label} ends before {_short(name)} does; it was not copied in full.")
    found = np.frombuffer(data, kind).reshape(rows, dims)
    if dtype == "BF16":
        # bfloat16 is the upper half of float32.
        vectors = (found.astype(np.uint32) << 16).view(np.float32)
    else:
        with np.errstate(over="ignore"):
            vectors = found.astype(np.float32)
    return VectorTable(vectors, name, dtype, total)


def read_header(read: Read, size: int | None, label: str) -> tuple[dict[str, Any], int]:
    """The tensors that a safetensors file names, and where their bytes begin."""
    start = read(0, 8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length < 2 or (size is not None and length > size - 8):
        raise InputError(f"{label} is no safetensors file; {_WANTED}.")
    if length > MAX_HEADER_BYTES:
        raise InputError(f"{label} is no safetensors file, or one with too long a header.")
    try:
        entries = json.loads(read(8, 8 + length))
    except (ValueError, RecursionError):
        raise InputError(f"{label} is no safetensors file; {_WANTED}.") from None
    if not isinstance(entries, dict):
        raise InputError(f"{label} is no safetensors file; {_WANTED}.")
    entries.pop("__metadata__", None)
    return {k: v for k, v in entries.items() if isinstance(v, dict)}, 8 + length


def choose_tensor(shapes: Mapping[str, tuple[int, ...]], wanted: str = "") -> str:
    """The tensor to read: the one asked for, else the one that looks like a token table.

    Args:
        shapes: by name; an empty shape where it is not known yet.

    Raises:
        InputError: there is none such.
    """
    tables = [n for n, shape in shapes.items() if len(shape) == 2 or not shape]
    if wanted:
        if wanted in tables:
            return wanted
        raise InputError(f"There is no matrix called {_short(wanted)!r}; there are {_few(tables)}.")
    for pattern in _NAMES:
        matching = [name for name in tables if re.search(pattern, name)]
        if matching:
            return min(matching, key=lambda name: (name.count("."), name))
    known = [name for name in tables if shapes[name] and shapes[name][0] >= MIN_ROWS]
    if not known:
        raise InputError(
            f"No tensor looks like a table of token vectors; name one of {_few(tables)}."
            if tables
            else "The file holds no matrix, so no table of token vectors."
        )
    return max(known, key=lambda name: (shapes[name][0], name))


def check_shape(rows: int, dims: int, name: str) -> int:
    """How many rows of a table are read; `InputError` where it cannot be a table of tokens."""
    if rows < MIN_ROWS or not 2 <= dims <= MAX_DIMS:
        raise InputError(
            f"{_short(name)} has {rows:,} rows of {dims:,} numbers; a table of tokens has at least "
            f"{MIN_ROWS} rows and 2 to {MAX_DIMS:,} numbers in each."
        )
    return min(rows, MAX_VALUES // dims)


def _read_npy(path: Path) -> VectorTable:
    name = _short(path.name)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception:
        # The header is Python text, which NumPy's and Python's parsers refuse in many ways.
        raise InputError(
            f"{name} is damaged, or an array of objects; save a matrix of numbers by np.save."
        ) from None
    if found.ndim != 2 or found.dtype.kind != "f" or found.dtype.itemsize > 8:
        raise InputError(
            f"{name} holds an array of shape {found.shape} and type {str(found.dtype)[:20]}; it "
            "must be a matrix (tokens, numbers) of float16, float32 or float64."
        )
    rows = check_shape(found.shape[0], found.shape[1], name)
    with np.errstate(over="ignore"):
        vectors = np.array(found[:rows], np.float32)
    return VectorTable(vectors, name, str(found.dtype), found.shape[0])


def _is_length(start: bytes, size: int) -> bool:
    """Whether eight bytes that look like another format are a safetensors header's length."""
    return len(start) == 8 and 2 <= int.from_bytes(start, "little") <= min(size, MAX_HEADER_BYTES)


def _shape(entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(map(_is_count, shape)):
        return (0,)
    return tuple(shape)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(_short, names[:6]))
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown or "none"


def _short(text: str) -> str:
    text = "".join(char if char.isprintable() else "\ufffd" for char in text[:61])
    return text if len(text) <= 60 else text[:57] + "..."
