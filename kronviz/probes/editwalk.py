"""Tries an edit at every place of a word, to show where the byte code changes little or much.

Notable:

- There are six kinds of edit. Each point has the similarity of the edited string to the original in
  the code, in the kron arm and, if both are single tokens, in the bpe arm.
- The inserted letter does not occur in the word, so that no cell is shared by chance.
- Places are the characters that begin before the cut: edits after it change nothing.

>>> walk = edit_walk("compute", pos_dim=16)
>>> [round(point.code_cosine, 2) for point in walk.points if point.kind == "insert"]
[0.0, 0.13, 0.27, 0.4, 0.53, 0.67, 0.8, 0.94]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kronviz import codec
from kronviz.predictor import Predictor, clean_text
from kronviz.settings import StringSettings, setting
from kronviz.strings import (
    bpe_cosines,
    kron_cosines,
    one_of,
    positions,
    string_bytes,
    token_ids,
)

LETTERS = "xzqjkvwybpgfmcudlrhsnioate"


@dataclass(frozen=True)
class EditKind:
    """A kind of edit: its label on the page, and what it does in a few words."""

    label: str
    description: str


EDIT_KINDS = {
    "substitute": EditKind("Substitute", "one letter becomes another"),
    "insert": EditKind("Insert", "a letter is put in before this one"),
    "delete": EditKind("Delete", "this letter is left out"),
    "swap": EditKind("Swap", "this letter and the next change places"),
    "case": EditKind("Change case", "small letter ↔ capital"),
    "space": EditKind("Add a space", "a space is put in before this letter"),
}


@dataclass(frozen=True, kw_only=True)
class WalkSettings(StringSettings):
    """The settings of an edit walk."""

    kind: str = setting("", f"{', '.join(EDIT_KINDS)}; empty for all of them")


@dataclass(frozen=True)
class EditPoint:
    """One edited string.

    Attributes:
        kind: key of `EDIT_KINDS`.
        position: that of the edited character, from 1; an insertion at the end is one further.
        n_tokens: number of tokens of the edited string; ``None`` without a pair.
        code_cosine, kron_cosine, bpe_cosine, kron_centred, bpe_centred: cosines with the original
            string, as in `kronviz.probes.stringpair.Similarity`.
    """

    kind: str
    position: int
    text: str
    n_tokens: int | None
    code_cosine: float
    kron_cosine: float | None
    bpe_cosine: float | None
    kron_centred: float | None
    bpe_centred: float | None


@dataclass(frozen=True)
class EditWalk:
    """Every edit of a string at every place.

    Attributes:
        letter: the letter that substitutions and insertions use.
        characters: the characters of the string that can be edited, in order.
        n_tokens: number of tokens of the original string; ``None`` without a pair.
        points: sorted by kind, then position.
    """

    text: str
    pos_dim: int
    letter: str
    characters: tuple[str, ...]
    n_tokens: int | None
    points: tuple[EditPoint, ...]
    pair: str | None


def edit_walk(
    text: str,
    predictor: Predictor | None = None,
    *,
    pos_dim: int | None = None,
    kinds: Iterable[str] | None = None,
) -> EditWalk:
    """Edit a string at every place.

    Args:
        kinds: keys of `EDIT_KINDS`; by default all.

    Raises:
        InputError: the string is empty or too long, or a kind is unknown.
    """
    data = string_bytes(text)
    text = clean_text(text)
    pos_dim = positions(pos_dim, predictor)
    chosen = [one_of(kind, "kind of edit", EDIT_KINDS) for kind in kinds or EDIT_KINDS]
    letter = next((letter for letter in LETTERS if letter not in text.lower()), LETTERS[0])
    places = _places(text, pos_dim)
    edits = [
        (kind, position, edited)
        for kind in chosen
        for position, edited in _edits(text, kind, places, letter, room=len(data) < pos_dim)
    ]
    strings = [edited.encode() for _, _, edited in edits]
    return EditWalk(
        text=text,
        pos_dim=pos_dim,
        letter=letter,
        characters=tuple(text[:places]),
        n_tokens=len(token_ids(predictor, data)) if predictor else None,
        points=tuple(_points(predictor, data, edits, strings, pos_dim)),
        pair=predictor.pair if predictor else None,
    )


def last_place(text: str, pos_dim: int) -> int:
    """Return the last position, from 1, at which a text can be edited: one further than its last
    character where the code has room.

    Raises:
        InputError: the text is empty or too long.
    """
    return _places(text, pos_dim) + (len(string_bytes(text)) < pos_dim)


def _points(
    predictor: Predictor | None,
    data: bytes,
    edits: Sequence[tuple[str, int, str]],
    strings: Sequence[bytes],
    pos_dim: int,
) -> Iterator[EditPoint]:
    columns = zip(
        edits,
        strings,
        kron_cosines(predictor, data, strings, pos_dim),
        bpe_cosines(predictor, data, strings),
        kron_cosines(predictor, data, strings, pos_dim, centred=True),
        bpe_cosines(predictor, data, strings, centred=True),
        strict=True,
    )
    for (kind, position, edited), string, *trained in columns:
        count = len(token_ids(predictor, string)) if predictor else None
        similarity = codec.similarity(data, string, pos_dim)
        yield EditPoint(kind, position, edited, count, similarity, *trained)


def _places(text: str, pos_dim: int) -> int:
    """Return the number of characters of a text that begin before the cut."""
    data = codec.truncate(text.encode(), pos_dim)
    return max(1, len(data.decode("utf-8", "ignore")))


def _edits(
    text: str, kind: str, places: int, letter: str, *, room: bool
) -> Iterator[tuple[int, str]]:
    """Yield each position, from 1, with the text edited there."""
    for i in range(places):
        character = text[i]
        if kind == "substitute":
            yield i + 1, text[:i] + letter + text[i + 1 :]
        elif kind == "insert":
            yield i + 1, text[:i] + letter + text[i:]
        elif kind == "delete" and len(text) > 1:
            yield i + 1, text[:i] + text[i + 1 :]
        elif kind == "swap" and i + 1 < len(text) and text[i + 1] != character:
            yield i + 1, text[:i] + text[i + 1] + character + text[i + 2 :]
        elif kind == "case" and character.swapcase() != character:
            yield i + 1, text[:i] + character.swapcase() + text[i + 1 :]
        elif kind == "space":
            yield i + 1, f"{text[:i]} {text[i:]}"
    if room and kind in ("insert", "space"):
        yield places + 1, text + (letter if kind == "insert" else " ")
