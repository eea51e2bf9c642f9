"""Places at which a clean run and a misspelled one have read the same text.

Notable:

- Alignment is by bytes, never by token: a typo changes how a word is cut, and a later token of one
  run is compared with the token of the other run that ends at the same character.
- A token that ends inside a changed stretch is not a place; the end of the stretch is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from kronviz.differences import Opcode, byte_opcodes

_BLANKS = (b" ", b"\n", b"\t")
MOST_COMPARED = 250_000
"""Pairs of bytes that are looked through for what is equal: texts of 500 letters."""


@dataclass(frozen=True)
class Place:
    """Where a token ends in both texts: its index in each, and tokens since the misspelled word."""

    clean: int
    typo: int
    later: int | None


def aligned(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[Place]:
    """Return the places at which both runs have read the same, up to the misspelling itself.

    Args:
        clean: bytes of each token of the clean text; ``typo`` likewise.
    """
    ends = [
        {end: i for i, end in enumerate(accumulate(len(data) for data in stream))}
        for stream in (clean, typo)
    ]
    places: dict[int, Place] = {}
    changed = False
    since = 0
    for tag, i, i_end, j, _ in equal_stretches(clean, typo):
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


def equal_stretches(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[Opcode]:
    """Return `differences.byte_opcodes` over two token streams' bytes, ``equal`` or ``changed``.

    Letters that two spellings of one word happen to share are part of the changed stretch: what is
    equal between two changes has a blank in it. The last stretch is an equal one; it is empty where
    the texts end differently.
    """
    first, ends = b"".join(clean), (sum(map(len, clean)), sum(map(len, typo)))
    found: list[Opcode] = []
    for tag, a, b, c, d in byte_opcodes(clean, typo, MOST_COMPARED):
        outermost = a == c == 0 or (b, d) == ends
        apart = tag == "equal" and (outermost or any(blank in first[a:b] for blank in _BLANKS))
        part = ("equal" if apart else "changed", a, b, c, d)
        if not apart and found and found[-1][0] == "changed":
            _, a, _, c, _ = found.pop()
            part = ("changed", a, b, c, d)
        found.append(part)
    if found and found[-1][0] != "equal":
        found.append(("equal", ends[0], ends[0], ends[1], ends[1]))
    return found


def changed_bytes(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[tuple[int, ...]]:
    """Return, for each token of the misspelled text, the indices of bytes that the clean one
    lacks.
    """
    marks: set[int] = set()
    for tag, _, _, j, j_end in equal_stretches(clean, typo):
        if tag != "equal":
            marks.update(range(j, j_end))
    found, start = [], 0
    for data in typo:
        found.append(tuple(i for i in range(len(data)) if start + i in marks))
        start += len(data)
    return found
