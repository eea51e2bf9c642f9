"""Finds the places at which a clean run and a misspelled one have read the same text.

Notable:

- Texts are aligned by bytes, never by token, because a typo changes how a word is tokenized. A
  token of one run is compared with the token of the other run that ends at the same character.
- A token that ends inside a changed stretch is not a place; the end of the stretch is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from kronviz.differences import Opcode, byte_opcodes

_BLANKS = (b" ", b"\n", b"\t")
MOST_COMPARED = 250_000
"""Most pairs of bytes to compare, enough for texts of 500 letters."""


@dataclass(frozen=True)
class Place:
    """Where a token ends in both texts: its index in each, and tokens since the misspelling."""

    clean: int
    typo: int
    later: int | None


def aligned(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[Place]:
    """Return the places at which both runs have read the same text, apart from the misspelling.

    Args:
        clean, typo: the bytes of each token of the clean and the misspelled text.
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
            first, second = ends[0].get(i + step), ends[1].get(j + step)
            if first is None or second is None:
                continue
            places[second] = Place(first, second, since if changed else None)
            since += changed
    return list(places.values())


def equal_stretches(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[Opcode]:
    """Return `differences.byte_opcodes` of two token streams, tagged ``equal`` or ``changed``.

    Letters that two spellings of a word share are part of the changed stretch: an equal stretch
    between two changes contains white space. The last stretch is always equal; it is empty if the
    texts end differently.
    """
    first, ends = b"".join(clean), (sum(map(len, clean)), sum(map(len, typo)))
    stretches: list[Opcode] = []
    for tag, a, b, c, d in byte_opcodes(clean, typo, MOST_COMPARED):
        outermost = a == c == 0 or (b, d) == ends
        equal = tag == "equal" and (outermost or any(blank in first[a:b] for blank in _BLANKS))
        part = ("equal" if equal else "changed", a, b, c, d)
        if not equal and stretches and stretches[-1][0] == "changed":
            _, a, _, c, _ = stretches.pop()
            part = ("changed", a, b, c, d)
        stretches.append(part)
    if stretches and stretches[-1][0] != "equal":
        stretches.append(("equal", ends[0], ends[0], ends[1], ends[1]))
    return stretches


def changed_bytes(clean: Sequence[bytes], typo: Sequence[bytes]) -> list[tuple[int, ...]]:
    """Return the indices of the changed bytes of each token of the misspelled text."""
    marks: set[int] = set()
    for tag, _, _, j, j_end in equal_stretches(clean, typo):
        if tag != "equal":
            marks.update(range(j, j_end))
    changed, start = [], 0
    for data in typo:
        changed.append(tuple(i for i in range(len(data)) if start + i in marks))
        start += len(data)
    return changed
