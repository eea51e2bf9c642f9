"""Reads the pieces of a SentencePiece ``tokenizer.model`` from its protocol buffer.

Notable:

- Only field 1 of the message ``ModelProto`` is read, which repeats for each piece: its string and
  its type. A library for protocol buffers would need a compiled schema for these three fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kronviz.predictor import InputError
from kronviz.probes.cross_model.schemes import SENTENCEPIECE
from kronviz.probes.cross_model.tokens import TokenList, built, check_count

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Types of a piece, as in ``sentencepiece_model.proto``; GGUF uses the same."""
_MOST_FIELDS = 500_000, 100
"""Most fields of a model, and of a piece: millions would take minutes to read."""


class Piece(NamedTuple):
    """A piece and its type."""

    string: str
    kind: int


def is_model(data: bytes) -> bool:
    """Return whether a file begins like a SentencePiece model, with a short first piece."""
    return (
        len(data) > 8
        and data[0] == 0x0A
        and data[2] == 0x0A
        and 2 < data[1] < 0x80
        and (data[3] <= data[1])
        and b"\0" in data[:4096]
    )


def read_model(data: bytes) -> TokenList:
    """Read the pieces of a model.

    Raises:
        InputError: the file is damaged or has too many pieces.
    """
    pieces: list[Piece] = []
    try:
        for field, value in _fields(data, _MOST_FIELDS[0]):
            if field == 1 and isinstance(value, bytes):
                pieces.append(_piece(value))
                check_count(len(pieces))
    except (IndexError, ValueError):
        raise InputError(
            "The tokenizer.model is damaged or of another kind; give tokenizer.json."
        ) from None
    return from_pieces(pieces)


def from_pieces(pieces: list[Piece]) -> TokenList:
    """Convert pieces and their types to tokens."""
    special = {i for i, piece in enumerate(pieces) if piece.kind in (UNKNOWN, CONTROL, UNUSED)}
    return built([piece.string for piece in pieces], SENTENCEPIECE, {}, special)


def _piece(data: bytes) -> Piece:
    string, kind = "", NORMAL
    for field, value in _fields(data, _MOST_FIELDS[1]):
        if field == 1 and isinstance(value, bytes):
            string = value.decode("utf-8", "replace")
        elif field == 3 and isinstance(value, int):
            kind = value
    return Piece(string, kind)


def _fields(data: bytes, most: int) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbers and values of a message's fields; fixed-size values as bytes."""
    at = count = 0
    while at < len(data):
        count += 1
        if count > most:
            raise ValueError
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError
