"""Where the bytes of two token streams differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import accumulate, takewhile

Opcode = tuple[str, int, int, int, int]
"""As in `difflib`: a tag, and the start and end in the first and in the second sequence."""


def byte_opcodes(first: Sequence[bytes], second: Sequence[bytes], most: int) -> list[Opcode]:
    """Return `difflib` opcodes in bytes; only the part between common ends is searched.

    Args:
        first, second: the bytes of each token.
        most: most pairs of bytes to compare. The search takes at least quadratic time, so longer
            differences are searched token by token.
    """
    one, other = b"".join(first), b"".join(second)
    start = _common(one, other)
    end = _common(one[start:][::-1], other[start:][::-1])
    sizes = len(one) - start - end, len(other) - start - end
    if sizes[0] * sizes[1] > most:
        i, j = ([0, *accumulate(map(len, stream))] for stream in (first, second))
        return [(tag, i[a], i[b], j[c], j[d]) for tag, a, b, c, d in _opcodes(first, second)]
    opcodes: list[Opcode] = [("equal", 0, start, 0, start)] if start else []
    middle = _opcodes(one[start : start + sizes[0]], other[start : start + sizes[1]])
    opcodes += [(tag, start + a, start + b, start + c, start + d) for tag, a, b, c, d in middle]
    if end:
        opcodes.append(("equal", len(one) - end, len(one), len(other) - end, len(other)))
    return opcodes


def _opcodes(first: Sequence, second: Sequence) -> Sequence[Opcode]:
    # autojunk would ignore bytes that are frequent in a long text.
    return difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes()


def _common(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
