"""Compare two strings byte by byte: the cells they share, and their similarity in each arm.

Notable:

- A byte is shared (same value, same position), moved (same value elsewhere), lost or new. Only
  shared bytes count for the code: their number over √(L₁ L₂) is its similarity.
- The bpe arm can only compare strings that are one token each; it has no vector for any other.

>>> round(compare_strings("compute", "commute", pos_dim=16).code_cosine, 3)
0.857
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from kronviz import codec
from kronviz.predictor import Predictor, TokenView
from kronviz.settings import CodeSettings, StringSettings, narrowed, setting
from kronviz.strings import (
    bpe_cosines,
    kron_cosines,
    owners,
    positions,
    readable,
    string_bytes,
    tokens,
)


@dataclass(frozen=True, kw_only=True)
class PairSettings(CodeSettings):
    """The two strings to compare."""

    first: str = narrowed(StringSettings, "text")
    second: str = setting(..., "Another one")


@dataclass(frozen=True)
class MarkedByte:
    """A byte of one of two strings, and its counterpart in the other.

    Attributes:
        mark: ``shared`` (same byte, same position), ``moved`` (same byte elsewhere), ``lost`` (in
            the first string only) or ``new`` (in the second only).
        other: where a shared or moved byte is in the other string, from 1.
    """

    position: int
    hex: str
    character: str
    part: int
    parts: int
    mark: str
    other: int | None


@dataclass(frozen=True)
class Similarity:
    """The similarity of two strings in the code and in both trained arms.

    Attributes:
        shared, moved, lost, new: how many bytes have each mark; a moved byte counts once.
        code_cosine: of the codes, ``shared / √(L₁ L₂)``.
        z_cosine: of the z-normalised codes.
        kron_cosine: of the kron arm's embeddings; ``None`` without an arm trained at ``pos_dim``.
        bpe_cosine: of the rows of the bpe arm's table; ``None`` unless each string is one token.
        kron_centred, bpe_centred: the same after subtracting the mean vector of all tokens, which
            removes what all vectors of an arm have in common.
        first_tokens, second_tokens: the strings' tokens in the pair's vocabulary.
    """

    first: str
    second: str
    pos_dim: int
    first_length: int
    second_length: int
    shared: int
    moved: int
    lost: int
    new: int
    code_cosine: float
    z_cosine: float
    kron_cosine: float | None
    bpe_cosine: float | None
    kron_centred: float | None
    bpe_centred: float | None
    first_bytes: tuple[MarkedByte, ...]
    second_bytes: tuple[MarkedByte, ...]
    first_tokens: tuple[TokenView, ...]
    second_tokens: tuple[TokenView, ...]
    pair: str | None


def compare_strings(
    first: str | bytes,
    second: str | bytes,
    predictor: Predictor | None = None,
    *,
    pos_dim: int | None = None,
) -> Similarity:
    """Compare two strings byte by byte, in the code and in both trained arms.

    Raises:
        InputError: as `encode`.
    """
    a, b = string_bytes(first, "first string"), string_bytes(second, "second string")
    pos_dim = positions(pos_dim, predictor)
    kept_a, kept_b = codec.truncate(a, pos_dim), codec.truncate(b, pos_dim)
    partners = _partners(kept_a, kept_b)
    first_bytes = _marked(kept_a, partners, "lost")
    second_bytes = _marked(kept_b, {j: i for i, j in partners.items()}, "new")
    shared = sum(i == j for i, j in partners.items())
    return Similarity(
        first=readable(a),
        second=readable(b),
        pos_dim=pos_dim,
        first_length=len(kept_a),
        second_length=len(kept_b),
        shared=shared,
        moved=len(partners) - shared,
        lost=len(kept_a) - len(partners),
        new=len(kept_b) - len(partners),
        code_cosine=codec.similarity(a, b, pos_dim),
        z_cosine=codec.similarity(a, b, pos_dim, centred=True),
        kron_cosine=kron_cosines(predictor, a, [b], pos_dim)[0],
        bpe_cosine=bpe_cosines(predictor, a, [b])[0],
        kron_centred=kron_cosines(predictor, a, [b], pos_dim, centred=True)[0],
        bpe_centred=bpe_cosines(predictor, a, [b], centred=True)[0],
        first_bytes=first_bytes,
        second_bytes=second_bytes,
        first_tokens=tokens(predictor, a),
        second_tokens=tokens(predictor, b),
        pair=predictor.pair if predictor else None,
    )


def _partners(first: bytes, second: bytes) -> dict[int, int]:
    """Return, by index, the byte of the second string that matches each byte of the first."""
    partners = {i: i for i in range(min(len(first), len(second))) if first[i] == second[i]}
    taken = set(partners)
    blocks = difflib.SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    aligned = [(i + k, j + k) for i, j, size in blocks for k in range(size)]
    # Bytes that the alignment leaves over, as in a swap, match the nearest byte of the same value.
    rest = sorted(
        ((i, j) for i, a in enumerate(first) for j, b in enumerate(second) if a == b),
        key=lambda pair: (abs(pair[0] - pair[1]), pair),
    )
    for i, j in [*aligned, *rest]:
        if i not in partners and j not in taken:
            partners[i] = j
            taken.add(j)
    return partners


def _marked(data: bytes, partners: dict[int, int], alone: str) -> tuple[MarkedByte, ...]:
    marked = []
    for index, (byte, owner) in enumerate(zip(data, owners(data), strict=True)):
        other = partners.get(index)
        mark = alone if other is None else "shared" if other == index else "moved"
        marked.append(
            MarkedByte(index + 1, f"{byte:02x}", *owner, mark, None if other is None else other + 1)
        )
    return tuple(marked)
