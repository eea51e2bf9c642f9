"""Reads vectors in text form, a word and its numbers per line, like GloVe, word2vec and fastText.

Notable:

- Such a file has the tokens, too: its words, in the order of its rows.
- The first line sets the number of columns; a word may contain spaces, as some of GloVe's do.
- A file of numbers only, as for the Embedding Projector, is a table without tokens.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import short
from kronviz.probes.cross_model.schemes import PLAIN
from kronviz.probes.cross_model.table import (
    BLOCK_VALUES,
    MAX_DIMS,
    MIN_DIMS,
    VectorTable,
    check_shape,
)
from kronviz.probes.cross_model.tokens import MAX_TOKENS, TokenList, built
from kronviz.progress import Progress, tell

MIN_NUMBERS = 5
_HEADER = re.compile(rb"(\d{1,10}) (\d{1,6})\s*")
_NUMBER = re.compile(rb"[+-]?(\d++(\.\d*+)?|\.\d++)(e[+-]?\d++)?", re.IGNORECASE)
MAX_LINE = 2_000_000
"""Bytes of a line: far more than `table.MAX_DIMS` numbers need."""


def is_text_vectors(path: Path) -> bool:
    """Return whether the first lines of a file are words with vectors, or only vectors."""
    with path.open("rb") as file:
        lines = [file.readline(MAX_LINE) for _ in range(4)]
    if _HEADER.fullmatch(lines[0]):
        if lines[1] and not lines[1].isascii() and b"\0" in b"".join(lines[1:]):
            return False
        lines = lines[1:]
    lines = [line for line in lines if line.strip()]
    return bool(lines) and all(_numbers(line) >= MIN_NUMBERS for line in lines)


def read_text_vectors(
    path: Path, progress: Progress | None = None
) -> tuple[VectorTable, TokenList | None]:
    """Read the words and the vectors of a file.

    Args:
        progress: called with the bytes read.

    Returns:
        The table, and its tokens; ``None`` if the lines are only numbers.

    Raises:
        InputError: a line differs in length from the first, or has something other than numbers.
        Stopped: ``progress`` returned ``False``.
    """
    label, size = short(path.name), max(path.stat().st_size, 1)
    words: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    block: list[NDArray[np.float32]] = []
    alone = False
    dims = total = done = 0
    with path.open("rb") as file:
        for place, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
            done += len(line)
            if len(line) == MAX_LINE:
                raise InputError(
                    f"Line {place:,} of {label} is longer than {MAX_LINE / 1e6:g} MB; check that "
                    "it is a file of vectors."
                )
            if place == 1 and (header := _HEADER.fullmatch(line)):
                dims = int(header[2])
                continue
            line = line.strip(b" \r\n\t")
            if not line:
                continue
            total += 1
            if total == 1:
                count = _numbers(line)
                alone = count == len(line.split())
                dims = dims or count
                if not MIN_DIMS <= dims <= MAX_DIMS:
                    raise InputError(
                        f"{label} has {dims:,} numbers for each word; a table of tokens has "
                        f"{MIN_DIMS} to {MAX_DIMS:,}."
                    )
            if total > _most(dims):
                continue
            parts = line.rsplit(None, dims) if not alone else [b"", *line.split()]
            if len(parts) != dims + 1:
                raise InputError(
                    f"Line {place:,} of {label} does not have a word and {dims} numbers like the "
                    "first; check that it is a file of vectors."
                )
            try:
                block.append(np.array(parts[1:], np.float32))
            except ValueError:
                raise InputError(
                    f"Line {place:,} of {label} has something other than {dims} numbers; check "
                    "that it is a file of vectors."
                ) from None
            words.append(parts[0].decode("utf-8", "replace"))
            if len(block) * dims >= BLOCK_VALUES:
                blocks.append(np.stack(block))
                block = []
                tell(progress, done, size)
    if block:
        blocks.append(np.stack(block))
    check_shape(total, dims or 1, label)
    table = VectorTable(np.concatenate(blocks), label, "text", total)
    if alone:
        return table, None
    # Rows that were not read get empty tokens, so that the counts agree.
    return table, built([*words, *[None] * (min(total, MAX_TOKENS) - len(words))], PLAIN, {}, ())


def _most(dims: int) -> int:
    return min(MAX_TOKENS, check_shape(1 << 40, dims, "The file"))


def _numbers(line: bytes) -> int:
    """Return the number of numbers at the end of a line."""
    count = 0
    for part in reversed(line.split()):
        if not _NUMBER.fullmatch(part):
            break
        count += 1
    return count
