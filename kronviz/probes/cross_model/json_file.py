"""JSON out of a file that somebody brought: counted first, then read by a fast parser.

Notable:

- Nobody else is answered while a parser is at work, and each list that it makes takes memory. So
  what may stand in a file is limited by marks, which are counted in no time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

MOST = {b"{": 500_000, b"[": 2_000_000, b",": 2_500_000}
"""Marks of a file: the largest vocabularies list 600,000 merges as pairs, and few objects."""
SLOW_BYTES = 4_000_000


class TooManyParts(ValueError):
    """More stands in the file than in any vocabulary or header."""


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
    """Return the value that a file holds.

    Raises:
        TooManyParts: more than `MOST` stands in it.
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    check_marks([data])
    try:
        return orjson.loads(data)
    except ValueError:
        # Stricter than JSON is commonly written: a small file may be read the slow way.
        if len(data) > SLOW_BYTES:
            raise
    return json.loads(data)
