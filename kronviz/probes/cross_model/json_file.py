"""Parses JSON from a visitor's file, after a quick check of its size.

Notable:

- While a parser runs, no other visitor is served, and every list that it makes takes memory. So the
  number of braces, brackets and commas is limited, which can be counted very quickly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

MOST = {b"{": 500_000, b"[": 2_000_000, b",": 2_500_000}
"""Most marks in a file. The largest vocabularies list 600,000 merges as pairs, and few objects."""
SLOW_BYTES = 4_000_000


class TooManyParts(ValueError):
    """A file has more parts than any vocabulary or header."""


def check_marks(blocks: Iterable[bytes]) -> None:
    """Count the marks of a file in blocks.

    Raises:
        TooManyParts: there are more than `MOST`.
    """
    counts = dict.fromkeys(MOST, 0)
    for block in blocks:
        for mark in counts:
            counts[mark] += block.count(mark)
    if any(counts[mark] > most for mark, most in MOST.items()):
        raise TooManyParts


def parse(data: bytes) -> Any:
    """Parse the bytes of a file.

    Raises:
        TooManyParts: it has more marks than `MOST`.
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    check_marks([data])
    try:
        return orjson.loads(data)
    except ValueError:
        # orjson is stricter than most writers of JSON; a small file gets a second, slower try.
        if len(data) > SLOW_BYTES:
            raise
    return json.loads(data)
