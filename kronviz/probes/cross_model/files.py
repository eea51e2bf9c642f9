"""Reads a table and its tokens from a user's files: two of them, or one with both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import short
from kronviz.probes.cross_model.gguf_file import MAGIC, read_gguf
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.text_vectors import is_text_vectors, read_text_vectors
from kronviz.probes.cross_model.token_files import MAX_FILE_BYTES, read_tokens
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.cross_model.vectors import read_vectors
from kronviz.progress import Progress

NEEDED = (
    "Two files are needed: the vectors (.safetensors or .npy) and the tokens (tokenizer.json); "
    "choose both. A GGUF file, or a text file of words with their vectors, is both in one."
)


def read_files(
    vectors: str | Path | None,
    tokens: str | Path | None = None,
    tensor: str = "",
    progress: Progress | None = None,
) -> tuple[VectorTable, TokenList]:
    """Read a table and its tokens; the tokens first, because they decide which tensor is the table.

    Args:
        vectors: safetensors, .npy, GGUF, or text of words with their vectors.
        tokens: see `read_tokens`; not needed if the first file has them.
        tensor: name of the table, if it is not found automatically.
        progress: called with the rows, or the bytes of a text file, that are read.

    Raises:
        InputError: a file cannot be used, or is missing.
        Stopped: ``progress`` returned ``False``.
    """
    first = Path(vectors) if vectors else None
    second = Path(tokens) if tokens else None
    for path in filter(None, (first, second)):
        # Reading a pipe could block forever.
        if path.exists() and not path.is_file():
            raise InputError(f"{short(path.name or str(path))} is not a regular file; give a file.")
    if first is None and second is not None and _is_both(second):
        first, second = second, None
    if first is None:
        raise InputError(NEEDED)
    if second is not None and _starts(second, MAGIC) and not _is_both(first):
        raise InputError(
            f"{short(second.name)} is a GGUF file, which has tokens and vectors; give it alone."
        )
    if _starts(first, MAGIC):
        given = _tokens_of(second) if second else None
        table, known = read_gguf(first, tensor, given, progress)
        if second and known is not given:
            ignored = (
                f"The tokens are those of {short(first.name)}; {short(second.name)} was not used."
            )
            table = replace(table, notes=(*table.notes, ignored))
        return table, known
    if _is_both(first):
        table, words = read_text_vectors(first, progress)
        if words is not None:
            ignored = f"The words are those of {short(first.name)}; no file of tokens was read."
            return replace(table, notes=(ignored,) if second else ()), words
        if second is None:
            raise InputError(
                f"{short(first.name)} has vectors without words; give the file of its tokens, too."
            )
        return table, _tokens_of(second)
    if second is None:
        raise InputError(NEEDED)
    known = _tokens_of(second)
    return read_vectors(first, tensor, known, progress), known


def _is_both(path: Path) -> bool:
    """Return whether a file may have both vectors and tokens."""
    try:
        return _starts(path, MAGIC) or is_text_vectors(path)
    except OSError:
        return False


def _starts(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _tokens_of(path: Path) -> TokenList:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{short(path.name)} cannot be read: {reason}.") from None
    return read_tokens(data, path.name)
