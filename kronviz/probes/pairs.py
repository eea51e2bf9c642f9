"""Read clean/typo prompt pairs for the robustness probe (section 6.11): ours or a user's file.

Notable:

- Our set is `assets/pairs.jsonl`: one content word of each pair is misspelled, and its edits are
  listed.
- A file may be JSON, JSON Lines, CSV or TSV, or the `robustness_results.json` that the paper's
  reference repository publishes, whose pairs are under `prompt_pairs`.
- Files are not trusted: sizes are limited, archives refused, and each row that cannot be used is
  reported in a sentence while the others still count. No file makes this module raise.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from kronviz.errors import InputError, count
from kronviz.lines import MAX_BYTES, read_bytes
from kronviz.lines import short_name as _short
from kronviz.paths import ASSETS
from kronviz.typos import Edit, Misspelling, apply_edits, misspell

OUR_PAIRS = ASSETS / "pairs.jsonl"
MAX_ROWS = 5_000
MAX_CHARS = 2_000
MAX_PROBLEMS = 20

_NEEDED = ("clean", "typo")
_CELL_LINES = 8
"""Lines that a quoted cell may span: a stray quote must not swallow the rows after it."""
_FORMATS = (".json", ".jsonl", ".csv", ".tsv")
_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"Rar!": "rar",
}
_NEEDS = "needs “clean”, “typo” (and may have “category”, “expected” and “id”)"
_EDITS = TypeAdapter(tuple[Edit, ...])


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and its misspelled version.

    Attributes:
        expected: the next word that the pair's author had in mind.
        edits: what turns `clean` into `typo`, if the file says so; empty otherwise.
    """

    id: str
    category: str
    clean: str
    typo: str
    expected: str | None = None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class PairSet:
    """The usable pairs, and a sentence for everything that cannot be used."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...] = ()


class _Refusal(Exception):
    """One sentence on why a file, or a row, cannot be used."""


class _Row(NamedTuple):
    """One row of a file: its value, or a refusal if it could not be read.

    Attributes:
        number: counted from 1; 0 stands for the file as a whole.
        line: line number in the file, if its format has lines.
    """

    number: int
    line: int | None
    value: Any

    def says(self, refusal: _Refusal) -> str:
        """Return the refusal with the place it refers to."""
        place = f"Row {self.number}" + (f" (line {self.line})" if self.line else "")
        return f"{place}: {refusal}" if self.number else str(refusal)


def misspelled(text: str, kinds: Sequence[str], **options: Any) -> Misspelling:
    """Misspell a text as `kronviz.typos.misspell` does; an invalid argument is an `InputError`."""
    try:
        return misspell(text, kinds=tuple(kinds), **options)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def load_pairs(path: str | Path | None = None) -> PairSet:
    """Return the pairs of a file; without a path, the set that comes with kronviz."""
    path = OUR_PAIRS if path is None else Path(path)
    try:
        data = read_bytes(path, cut=True)
    except InputError as error:
        return PairSet((), (str(error),))
    return parse_pairs(data, path.name)


def parse_pairs(data: bytes, filename: str) -> PairSet:
    """Return the pairs in the bytes of a file; the ending of its name gives the format.

    Limits: `MAX_BYTES` per file, `MAX_ROWS` rows, `MAX_CHARS` characters per text. If a file of
    lines is longer, the rows within the limits are used.
    """
    pairs: list[Pair] = []
    problems: list[str] = []
    try:
        for row in _rows(data, filename):
            if row.number > MAX_ROWS:
                raise _Refusal(f"Only the first {MAX_ROWS:,} rows are used; the file has more.")
            try:
                pairs.append(_pair(row))
            except _Refusal as refusal:
                problems.append(row.says(refusal))
                continue
            if pairs[-1].clean == pairs[-1].typo:
                problems.append(row.says(_Refusal("clean and typo are the same; it still counts.")))
    except _Refusal as refusal:
        problems.append(str(refusal))
    if not pairs and not problems:
        problems.append(f"{_short(filename)} has no rows.")
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"There are {len(problems) - MAX_PROBLEMS:,} more problems."]
    return PairSet(tuple(pairs), tuple(problems))


def _rows(data: bytes, filename: str) -> Iterator[_Row]:
    """Yield the rows of a file in order; raise `_Refusal` if the rest cannot be read."""
    name = _short(filename)
    for magic, kind in _ARCHIVES.items():
        if data.startswith(magic):
            raise _Refusal(
                f"{name} is an archive or office document ({kind}); give a plain "
                f"{_either(_FORMATS)} file instead."
            )
    ending = Path(filename).suffix.lower()
    if ending not in _FORMATS:
        raise _Refusal(f"{name} has no known format; its name must end in {_either(_FORMATS)}.")
    if len(data) > MAX_BYTES:
        too_large = f"{name} is larger than the limit of {MAX_BYTES / 1e6:g} MB"
        if ending == ".json":
            raise _Refusal(f"{too_large}; split it into smaller files.")
        yield _Row(0, None, _Refusal(f"{too_large}; only the rows up to there are read."))
        data = data[: data.rfind(b"\n", 0, MAX_BYTES) + 1]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Refusal(f"{name} is UTF-16 text; save it as UTF-8.")
    # Bytes that are not UTF-8 become lone surrogates, so that only their own rows are refused.
    text = data.decode("utf-8-sig", "surrogateescape")
    read = {".json": _json_rows, ".jsonl": _json_lines}.get(ending, _table_rows)
    yield from read(text, name)


def _json_rows(text: str, name: str) -> Iterator[_Row]:
    rows = _parsed(text)
    if isinstance(rows, _Refusal):
        raise _Refusal(f"{name} is {rows}")
    if isinstance(rows, dict):
        rows = rows.get("prompt_pairs", rows.get("pairs"))
    if not isinstance(rows, list):
        raise _Refusal(f"{name} must hold a list of pairs, alone or under “prompt_pairs”.")
    for number, row in enumerate(rows, 1):
        yield _Row(number, None, row)


def _json_lines(text: str, name: str) -> Iterator[_Row]:
    filled = ((i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip())
    for number, (line_number, line) in enumerate(filled, 1):
        yield _Row(number, line_number, _parsed(line))


def _parsed(text: str) -> Any:
    """Return the value of a JSON text, or a refusal."""
    try:
        return json.loads(text)
    except RecursionError:
        return _Refusal("not valid JSON: it is nested too deeply.")
    except ValueError as error:
        return _Refusal(f"not valid JSON: {str(error).partition(';')[0]}.")


def _table_rows(text: str, name: str) -> Iterator[_Row]:
    header = text.lstrip().partition("\n")[0]
    separator = max("\t;,", key=header.count)
    lines = text.split("\n")
    columns: list[str] = []
    number = start = 0
    while start < len(lines):
        read, cells = _table_row(lines[start : start + _CELL_LINES], separator)
        start += read
        if isinstance(cells, list) and not any(cell.strip() for cell in cells):
            continue
        if isinstance(cells, list) and not columns:
            columns = [cell.strip().lower() for cell in cells]
            if not set(_NEEDED) <= set(columns):
                raise _Refusal(f"{name} has the columns {_listed(columns)}, but {_NEEDS}.")
            continue
        number += 1
        value: Any = cells
        if isinstance(cells, list):
            value = dict(zip(columns, cells, strict=False))
            if len(cells) != len(columns):
                has = count(len(cells), "cell")
                value = _Refusal(f"it has {has} where the header has {len(columns)}.")
        yield _Row(number, start, value)


def _table_row(lines: Sequence[str], separator: str) -> tuple[int, list[str] | _Refusal]:
    """Return how many lines the first row spans, and its cells.

    A cell in quotes may span several lines; if its quote is never closed, only the first line is
    refused.
    """
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, strict=True)
    try:
        cells = next(reader, [])
    except csv.Error as error:
        inside = "\r" in lines[0].removesuffix("\r")
        what = "it contains a carriage return" if inside else error
        return 1, _Refusal(f"not a row of a table: {what}.")
    return reader.line_num, cells


def _pair(row: _Row) -> Pair:
    """Return a row as a pair; raise `_Refusal` if it is not one."""
    value = row.value
    if isinstance(value, _Refusal):
        raise value
    if not isinstance(value, dict):
        raise _Refusal(f"it is {_what(value)}, not an object with {_listed(_NEEDED)}.")
    if not set(_NEEDED) <= set(value):
        raise _Refusal(f"it has {_listed(value) or 'nothing'}, but {_NEEDS}.")
    clean, typo = (_text(value, key) for key in _NEEDED)
    for key, text in zip(_NEEDED, (clean, typo), strict=True):
        if not text.strip():
            raise _Refusal(f"“{key}” is empty.")
    return Pair(
        id=_text(value, "id").strip() or str(row.number),
        category=_text(value, "category").strip() or "uncategorised",
        clean=clean,
        typo=typo,
        expected=_text(value, "expected").strip() or None,
        edits=_edits(value.get("edits") or (), clean, typo),
    )


def _text(cells: dict[str, Any], key: str) -> str:
    """Return a cell as text, empty if it is absent; raise `_Refusal` if it is not valid text."""
    value = cells.get(key)
    if value is None and key not in _NEEDED:
        return ""
    if isinstance(value, int) and key == "id":
        return str(value)
    if not isinstance(value, str):
        raise _Refusal(f"“{key}” is {_what(value)}, but must be text.")
    if len(value) > MAX_CHARS:
        raise _Refusal(f"“{key}” has {len(value):,} characters; the limit is {MAX_CHARS:,}.")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise _Refusal(f"“{key}” holds a broken character; save the text as UTF-8.")
    return value


def _edits(value: Any, clean: str, typo: str) -> tuple[Edit, ...]:
    """Return the listed edits; text, which is all that a table can hold, is ignored."""
    if isinstance(value, str):
        return ()
    try:
        edits = _EDITS.validate_python(value)
    except ValidationError:
        raise _Refusal("“edits” must list kind, start, end, before and after.") from None
    if edits and apply_edits(clean, edits) != typo:
        raise _Refusal("“edits” do not turn clean into typo.")
    return edits


def _what(value: object) -> str:
    """Return the kind of a JSON value, not the value itself, which may be deeply nested or long."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def _listed(names: Iterable[object]) -> str:
    return ", ".join(f"“{_short(str(name))}”" for name in list(names)[:12])


def _either(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1]
