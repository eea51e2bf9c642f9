"""Places at which a clean run and a misspelled one have read the same text.

Notable:

- Alignment is by bytes, never by token: a typo changes how a word is cut, and a later token of one
  run is compared with the token of the other run that ends at the same character.
- A token that ends inside a changed stretch is no place; the end of the stretch is one.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

_BLANKS = (b" ", b"\n", b"\t")


@dataclass(frozen=True)
class Place:
    """Where a token ends in both texts: its index in each, and tokens since the misspelled word."""

    clean: int
    typo: int
    later: int | None


def aligned(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[Place]:
    """The places at which both runs have read the same, up to the misspelling itself.

    Args:
        clean: bytes of each token of the clean text; ``typo`` likewise.
    """
    first, second = b"".join(clean), b"".join(typo)
    ends = [
        {end: i for i, end in enumerate(accumulate(len(data) for data in stream))}
        for stream in (clean, typo)
    ]
    places: dict[int, Place] = {}
    changed = False
    since = 0
    for tag, i, i_end, j, _ in equal_stretches(first, second):
        if tag != "equal":
            changed, since = True, 0
            continue
        # The end of a changed stretch is the same place in both texts.
        start = 0 if changed else 1
        for step in range(start, i_end - i + 1):
            at, there = ends[0].get(i + step), ends[1].get(j + step)
            if at is None or there is None:
                continue
            places[there] = Place(at, there, since if changed else None)
            since += changed
    return list(places.values())


def equal_stretches(first: bytes, second: bytes) -> list[tuple[str, int, int, int, int]]:
    """`difflib` opcodes, over what is left between the longest common beginning and end.

    Letters that two spellings of one word happen to share are part of the changed stretch: what is
    equal between two changes has a blank in it. The last stretch is an equal one; it is empty where
    the texts end differently.
    """
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    end = 0
    limit = min(len(first), len(second)) - start
    while end < limit and first[-1 - end] == second[-1 - end]:
        end += 1
    middle = first[start : len(first) - end], second[start : len(second) - end]
    # autojunk would give up on bytes that are frequent in a long text.
    codes = difflib.SequenceMatcher(None, *middle, autojunk=False).get_opcodes()
    found: list[tuple[str, int, int, int, int]] = [("equal", 0, start, 0, start)] if start else []
    for tag, a, b, c, d in codes:
        apart = tag == "equal" and any(blank in middle[0][a:b] for blank in _BLANKS)
        part = ("equal" if apart else "changed", start + a, start + b, start + c, start + d)
        if not apart and found and found[-1][0] == "changed":
            _, a, _, c, _ = found.pop()
            part = ("changed", a, part[2], c, part[4])
        found.append(part)
    if end or (found and found[-1][0] != "equal"):
        found.append(("equal", len(first) - end, len(first), len(second) - end, len(second)))
    return found


def changed_bytes(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[tuple[int, ...]]:
    """For each token of the misspelled text, the indices of its bytes that the clean one lacks."""
    marks: set[int] = set()
    for tag, _, _, j, j_end in equal_stretches(b"".join(clean), b"".join(typo)):
        if tag != "equal":
            marks.update(range(j, j_end))
    found, start = [], 0
    for data in typo:
        found.append(tuple(i for i in range(len(data)) if start + i in marks))
        start += len(data)
    return found
