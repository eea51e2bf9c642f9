"""Reads a table of token vectors from safetensors or .npy, formats that cannot run code.

Notable:

- Of a safetensors file only the header and the bytes of one tensor are read, through a function
  that reads a range of bytes. So the same code reads local files and files on the web.
- `choice` decides which tensor is the table, first of all by the number of tokens.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import Matrix, choose, fits, short
from kronviz.probes.cross_model.json_file import parse
from kronviz.probes.cross_model.table import VectorTable, check_shape, filled, part_of
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.progress import Progress

MAX_HEADER_BYTES, MAX_TENSORS = 25_000_000, 100_000
MAX_UPLOAD_BYTES = 400 * 2**20
"""Largest file that can be uploaded to the app."""
INDEX = ".safetensors.index.json"

Read = Callable[[int, int], bytes]
"""Reads the bytes from a first up to, but excluding, a last one."""

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_PACKED = re.compile(r"\.(qweight|weight_packed|weight_blocks|weight\.\w+)$")
_NOT_SAFE = {
    b"PK": "an archive (zip, as .npz and PyTorch’s .bin and .pt are)",
    b"\x80": "a pickle, which can run code",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"\x89HDF": "an HDF5 file",
    b"ARROW": "an Arrow file",
    b"PAR1": "a Parquet file",
    b"\x08": "an ONNX model",
}
_WANTED = "give the vectors as .safetensors, .npy or .gguf"
_EXPORT = "load the model in full precision and save its get_input_embeddings().weight as float16"


def read_vectors(
    path: str | Path,
    tensor: str = "",
    tokens: TokenList | None = None,
    progress: Progress | None = None,
) -> VectorTable:
    """Read the table in a file.

    Args:
        tensor: name of the tensor in a safetensors file; empty to find it automatically.
        tokens: the model's tokens, which decide which tensor it is.
        progress: called with the rows read.

    Raises:
        InputError: the file is of another kind, damaged, or has no table of vectors.
        Stopped: ``progress`` returned ``False``.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = path.stat().st_size
            for magic, kind in _NOT_SAFE.items():
                if start.startswith(magic) and not _is_length(start, size):
                    raise InputError(f"{short(path.name)} is {kind}; {_WANTED}.")
            if start.startswith(b"\x93NUMPY"):
                return _read_npy(path, tokens, progress)
            if re.match(rb"\d+ \d+\s?", start) and b"\0" in file.read(4096):
                raise InputError(
                    f"{short(path.name)} is in word2vec’s binary format; save it as text "
                    "(save_word2vec_format(binary=False) in gensim)."
                )
            if path.name.endswith(".json") or start[:1] in (b"{", b"["):
                _refuse_json(path, size)

            def read(first: int, end: int) -> bytes:
                return part_of(file, first, end)

            return read_safetensors(
                read,
                size,
                tensor,
                tokens,
                label=short(path.name),
                places=_index_beside(path),
                progress=progress,
            )
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{short(path.name)} cannot be read: {reason}.") from None


def read_safetensors(
    read: Read,
    size: int | None,
    tensor: str = "",
    tokens: TokenList | None = None,
    *,
    label: str = "The file",
    places: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> VectorTable:
    """Read the table in a safetensors file by ranges of bytes.

    Args:
        size: size of the file in bytes, if known.
        tokens: the model's tokens, which decide which tensor it is.
        label: the file's name in error messages.
        places: the file of each tensor of the whole model, if there is an index.
        progress: called with the rows read.

    Raises:
        InputError: it is not a safetensors file, or has no such table.
        Stopped: ``progress`` returned ``False``.
    """
    entries, origin = read_header(read, size, label)
    matrices = [Matrix(key, shape_of(entry)) for key, entry in entries.items()]
    if packed := _packed(entries):
        raise InputError(f"{short(packed)} is quantised in packed form; {_EXPORT}.")
    name, notes = choose(matrices, label, tensor, tokens, places)
    entry = entries[name]
    dtype, shape = str(entry.get("dtype")), shape_of(entry)
    if dtype not in _DTYPES:
        raise InputError(f"{short(name)} is stored as {dtype[:20]}, {_what(dtype)}; {_EXPORT}.")
    total, dims = shape if shape and len(shape) == 2 else (0, 0)
    kind = np.dtype(_DTYPES[dtype])
    offsets = entry.get("data_offsets")
    row = dims * kind.itemsize
    whole = isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_count, offsets))
    if not whole or offsets[1] - offsets[0] != total * row:
        raise InputError(
            f"{label} is damaged: the size of {short(name)} does not fit its shape; save it again."
        )
    rows = check_shape(total, dims, name)
    first = origin + offsets[0]
    if first + rows * row > (size if size is not None else 1 << 53):
        raise InputError(f"{label} ends before {short(name)} does; it was not copied in full.")
    # On the web one request is better than hundreds; a local file is read block by block.
    whole_data = read(first, first + rows * row) if size is None else None

    def part(start: int, end: int) -> NDArray[np.floating]:
        if whole_data is None:
            data = read(first + start * row, first + end * row)
        else:
            data = whole_data[start * row : end * row]
        if len(data) != (end - start) * row:
            raise InputError(f"{label} ends before {short(name)} does; it was not copied in full.")
        values = np.frombuffer(data, kind).reshape(end - start, dims)
        # bfloat16 is the upper half of float32.
        return (values.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else values

    return VectorTable(filled(rows, dims, part, progress), name, dtype, total, notes)


def read_header(read: Read, size: int | None, label: str) -> tuple[dict[str, Any], int]:
    """Read a safetensors header: its tensors' entries, and where their bytes begin."""
    start = read(0, 8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length < 2 or (size is not None and length > size - 8):
        raise InputError(f"{label} is not a safetensors file; {_WANTED}.")
    if length > MAX_HEADER_BYTES:
        raise InputError(
            f"{label} is not a safetensors file, or its header is too long; {_WANTED}."
        )
    try:
        entries = parse(read(8, 8 + length))
    except (ValueError, RecursionError):
        raise InputError(f"{label} is not a safetensors file; {_WANTED}.") from None
    if not isinstance(entries, dict):
        raise InputError(f"{label} is not a safetensors file; {_WANTED}.")
    entries.pop("__metadata__", None)
    if len(entries) > MAX_TENSORS:
        raise InputError(
            f"{label} has {len(entries):,} tensors; the limit is {MAX_TENSORS:,}. Save only the "
            "table."
        )
    return {k: v for k, v in entries.items() if isinstance(v, dict)}, 8 + length


def read_index(data: bytes, name: str = "model" + INDEX) -> dict[str, str]:
    """Read which file of a model has which tensor.

    Raises:
        InputError: the index is damaged or names no safetensors file.
    """
    try:
        weights = parse(data)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        weights = None
    if not isinstance(weights, dict):
        raise InputError(f"The model’s {name} is damaged; download it again.")
    places = {
        tensor: file
        for tensor, file in weights.items()
        if isinstance(file, str) and re.fullmatch(r"[\w.-]+\.safetensors", file, re.ASCII)
    }
    if not places:
        raise InputError(f"The model’s {name} names no safetensors file; {_WANTED}.")
    return places


def _index_beside(path: Path) -> dict[str, str] | None:
    """Read the index in the folder of a shard, if there is one."""
    stem = re.sub(r"-\d{5}-of-\d{5}\.safetensors$", "", path.name)
    index = path.with_name(stem + INDEX)
    if stem == path.name or not index.is_file() or index.stat().st_size > MAX_HEADER_BYTES:
        return None
    try:
        return read_index(index.read_bytes(), index.name)
    except (InputError, OSError):
        return None


def _refuse_json(path: Path, size: int) -> None:
    """Refuse a JSON file given as the vectors; for an index, name the file with the table."""
    data = path.read_bytes() if size <= MAX_HEADER_BYTES else b""
    if b'"weight_map"' in data:
        choose([], short(path.name), places=read_index(data, short(path.name)))
    raise InputError(f"{short(path.name)} is JSON without vectors; {_WANTED}.")


def _packed(entries: Mapping[str, Any]) -> str:
    """Return the name of a part of a packed, quantised token table, if the file has one."""
    for name in entries:
        stem = _PACKED.sub("", name)
        if stem != name and re.search(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in)$", stem):
            return name
    return ""


def _what(dtype: str) -> str:
    if dtype.startswith("F8"):
        return "8-bit numbers with a separate scale"
    if dtype.startswith(("F4", "F6")):
        return "numbers of a few bits with a separate scale"
    if re.fullmatch(r"[IU]\d+|BOOL", dtype):
        return "whole numbers, as in a quantised model"
    return "an unknown type"


def _read_npy(path: Path, tokens: TokenList | None, progress: Progress | None) -> VectorTable:
    name = short(path.name)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception:
        # The header is Python text, which NumPy's and Python's parsers refuse in many ways.
        raise InputError(
            f"{name} is damaged, or an array of objects; save a matrix of numbers with np.save."
        ) from None
    if array.ndim != 2 or array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise InputError(
            f"{name} is an array of shape {array.shape} and type {str(array.dtype)[:20]}; it must "
            "be a matrix (tokens, numbers) of float16, float32 or float64."
        )
    total, dims = array.shape
    if tokens and total != len(tokens) == dims and fits(total, tokens) > 1:
        raise InputError(
            f"{name} is {total:,} × {dims:,}, a column for each token; save its transpose, a row "
            "for each token."
        )
    rows = check_shape(total, dims, name)

    def part(start: int, end: int) -> NDArray[np.floating]:
        values = np.array(array[start:end])
        if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            array.base.madvise(mmap.MADV_DONTNEED)  # What was read of the file leaves memory.
        return values

    return VectorTable(filled(rows, dims, part, progress), name, str(array.dtype), total)


def _is_length(start: bytes, size: int) -> bool:
    """Return whether the first bytes, which match another format, can be a safetensors length."""
    return len(start) == 8 and 2 <= int.from_bytes(start, "little") <= min(size, MAX_HEADER_BYTES)


def shape_of(entry: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape in a header's entry; ``(0,)`` if it is invalid."""
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(map(_is_count, shape)):
        return (0,)
    return tuple(shape)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53
