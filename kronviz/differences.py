"""Where the bytes of two token streams differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import accumulate, takewhile

Opcode = tuple[str, int, int, int, int]
"""As `difflib` has them: a tag, and from where to where in the first and in the second."""


def byte_opcodes(first: Sequence[bytes], second: Sequence[bytes], most: int) -> list[Opcode]:
    """Return `difflib` opcodes in bytes, for what lies between the common beginning and end.

    Args:
        first, second: the bytes of each token.
        most: pairs of bytes to look through. The search is quadratic and more, so that beyond it,
            two long texts with little in common are compared token by token.
    """
    one, other = b"".join(first), b"".join(second)
    start = _common(one, other)
    end = _common(one[start:][::-1], other[start:][::-1])
    sizes = len(one) - start - end, len(other) - start - end
    if sizes[0] * sizes[1] > most:
        at, there = ([0, *accumulate(map(len, stream))] for stream in (first, second))
        return [
            (tag, at[a], at[b], there[c], there[d]) for tag, a, b, c, d in _opcodes(first, second)
        ]
    found: list[Opcode] = [("equal", 0, start, 0, start)] if start else []
    codes = _opcodes(one[start : start + sizes[0]], other[start : start + sizes[1]])
    found += [(tag, start + a, start + b, start + c, start + d) for tag, a, b, c, d in codes]
    if end:
        found.append(("equal", len(one) - end, len(one), len(other) - end, len(other)))
    return found


def _opcodes(first: Sequence, second: Sequence) -> Sequence[Opcode]:
    # autojunk would give up on bytes that are frequent in a long text.
    return difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes()


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two strings begin with alike."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
