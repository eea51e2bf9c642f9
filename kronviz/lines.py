"""Reads text files that a user gives: whole, or one entry per line.

Notable:

- UTF-8, with or without a byte-order mark. A line ends at a line feed, with or without a carriage
  return before it. Form feeds, U+0085 and U+2028 do not end a line.
- Blank lines are skipped; a file without any other line is refused.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Iterator
from pathlib import Path

from kronviz.errors import InputError

MAX_BYTES = 2_000_000
MAX_LINES = 5_000


def split_lines(text: str) -> list[str]:
    """Return the lines of a text without line ends; blank lines are skipped."""
    lines = (line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n"))
    return [line for line in lines if line.strip()]


def decode_text(data: bytes, name: str) -> str:
    """Return the bytes of a file as text, without a byte-order mark.

    Args:
        name: the file's name, for the error message.

    Raises:
        InputError: the bytes are not UTF-8 text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{short_name(name)} is UTF-16 text; save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{short_name(name)} is not UTF-8 text; save it as UTF-8.") from None
    if "\0" in text:
        raise InputError(f"{short_name(name)} is a binary file; give a plain text file.")
    return text


def read_bytes(path: Path, limit: int = MAX_BYTES, *, cut: bool = False) -> bytes:
    """Return the bytes of a file that a user named.

    Args:
        cut: return the first ``limit + 1`` bytes of a larger file instead of refusing it.

    Raises:
        InputError: there is no such regular file, it cannot be read, or it is larger than ``limit``
            bytes.
    """
    name = file_name(path)
    try:
        check_file(path)
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = (getattr(error, "strerror", None) or "its name is not a path").lower()
        raise InputError(f"{name} cannot be read: {reason}.") from None
    if len(data) > limit and not cut:
        raise InputError(f"{name} is larger than the limit of {limit / 1e6:g} MB; shorten it.")
    return data


def finite(written: str) -> float:
    """Return a number in JSON; `ValueError` for NaN, Infinity and numbers beyond the range."""
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written} is not a finite number")
    return number


def read_lines(path: Path, *, most: int = MAX_LINES) -> list[str]:
    """Return the lines of a file, at least one.

    Args:
        most: the most lines allowed.

    Raises:
        InputError: as `read_bytes` and `decode_text`; the file has no line, or too many.
    """
    lines = split_lines(decode_text(read_bytes(path), path.name))
    name = file_name(path)
    if not lines:
        raise InputError(f"{name} is empty; write one entry per line.")
    if len(lines) > most:
        raise InputError(f"{name} has {len(lines):,} lines; the limit is {most:,}. Shorten it.")
    return lines


def documents(path: Path) -> Iterator[str]:
    """Read the documents of a file of any size: plain text (one document) or JSON Lines, either
    of them also as ``.xz``.

    Yields:
        The whole text, or the ``text`` of each record of JSON Lines.

    Raises:
        InputError: there is no such regular file, it is not UTF-8, or a record has no ``text``.
    """
    name = file_name(path)
    check_file(path)
    lines = path.name.removesuffix(".xz").endswith(".jsonl")
    opened = lzma.open if path.name.endswith(".xz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="\n" if lines else None) as file:
            if not lines:
                text = file.read()
                if "\0" in text:
                    raise InputError(f"{name} is a binary file; give a plain text file.")
                yield text
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _record_text(line, f"{name}, line {number}")
    except UnicodeDecodeError:
        raise InputError(f"{name} is not UTF-8 text; save it as UTF-8.") from None
    except (lzma.LZMAError, EOFError):
        raise InputError(f"{name} is not a complete .xz file; compress it again.") from None
    except OSError as error:
        reason = (error.strerror or "it is damaged").lower()
        raise InputError(f"{name} cannot be read: {reason}.") from None


def _record_text(line: str, place: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise InputError(f'{place}: a record needs a string "text".')
    return record["text"]


def check_file(path: Path) -> None:
    """Raise an `InputError` unless there is a regular file of that name."""
    name = file_name(path)
    try:
        if not path.exists():
            raise InputError(f"There is no file {name}; check its path.")
        if path.is_dir():
            raise InputError(f"{name} is a folder; give a file in it.")
        if not path.is_file():
            raise InputError(f"{name} is not a regular file; give a plain text file.")
    except OSError as error:
        reason = (error.strerror or "its name is not a path").lower()
        raise InputError(f"{name} cannot be read: {reason}.") from None


def file_name(path: Path) -> str:
    """Return what a message calls a file: its name, or the path that has none, such as “.”."""
    return short_name(path.name or str(path))


def short_name(text: str, most: int = 60) -> str:
    """Return an untrusted name in a form fit for a message: short, one line, only printable."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in text[: most + 1])
    return text if len(text) <= most else text[: most - 3] + "..."
