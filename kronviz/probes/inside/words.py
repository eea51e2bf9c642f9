"""Words of a clean text aligned with their spelling in a misspelled one, token by token.

Notable:

- Boundaries are the places of `probes.alignment`: both texts have read the same up to there. Around
  a change they are moved outwards to the ends of words, so that one word stands against its pieces.
- Two texts of which one is no misspelling of the other are refused by the word that differs most.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kronviz.predictor import InputError
from kronviz.probes.alignment import aligned

MOST_CHANGED = 0.6
"""Share of the letters of the longer spelling that may differ; two letters always may."""


@dataclass(frozen=True)
class AlignedWord:
    """A stretch of tokens of the clean text and the tokens of the misspelled one that stand for it.

    Attributes:
        clean, typo: first token and the one behind the last, in each text; never empty.
        changed: the tokens differ.
    """

    clean: tuple[int, int]
    typo: tuple[int, int]
    changed: bool

    @property
    def matched(self) -> tuple[tuple[int, int], ...]:
        """Tokens that stand for each other, clean and misspelled, matched from the word's end.

        The last token of each side has read the whole word. Where one side has more tokens, its
        first ones stand for nothing.
        """
        shared = min(self.clean[1] - self.clean[0], self.typo[1] - self.typo[0])
        return tuple((self.clean[1] - i, self.typo[1] - i) for i in range(shared, 0, -1))


def align_words(clean: Sequence[bytes], typo: Sequence[bytes]) -> tuple[AlignedWord, ...]:
    """Align the tokens of two texts word by word.

    Args:
        clean: the bytes of each token of the clean text; ``typo`` likewise.

    Raises:
        InputError: the texts are the same, or no misspelling of each other.
    """
    if b"".join(clean) == b"".join(typo):
        raise InputError("Both texts are the same; misspell one to see what happens inside.")
    bounds = [(0, 0)]
    for place in aligned(clean, typo):
        bound = place.clean + 1, place.typo + 1
        if bound[0] > bounds[-1][0] and bound[1] > bounds[-1][1]:
            bounds.append(bound)
        elif len(bounds) > 1:
            # One side has nothing to itself here: it joins the word before.
            bounds[-1] = max(bounds[-1][0], bound[0]), max(bounds[-1][1], bound[1])
    bounds[-1 if len(bounds) > 1 else len(bounds) :] = [(len(clean), len(typo))]
    words: list[AlignedWord] = []
    for start, end in pairwise(bounds):
        word = _word(clean, typo, start, end)
        if words and (words[-1].changed or word.changed) and _inside_word(clean, typo, start):
            before = words.pop()
            word = _word(clean, typo, (before.clean[0], before.typo[0]), end)
        words.append(word)
    _check(clean, typo, words)
    return tuple(words)


def _word(
    clean: Sequence[bytes], typo: Sequence[bytes], start: tuple[int, int], end: tuple[int, int]
) -> AlignedWord:
    sides = (start[0], end[0]), (start[1], end[1])
    changed = list(clean[slice(*sides[0])]) != list(typo[slice(*sides[1])])
    return AlignedWord(*sides, changed)


def _inside_word(clean: Sequence[bytes], typo: Sequence[bytes], bound: tuple[int, int]) -> bool:
    """Whether a boundary has letters on both sides in either text."""
    return any(
        0 < place < len(tokens)
        and _is_letter(tokens[place - 1][-1:])
        and _is_letter(tokens[place][:1])
        for tokens, place in zip((clean, typo), bound, strict=True)
    )


def _is_letter(byte: bytes) -> bool:
    return byte.isalpha() or byte >= b"\x80"


def _check(clean: Sequence[bytes], typo: Sequence[bytes], words: Sequence[AlignedWord]) -> None:
    """`InputError` if a changed word is no misspelling of the word it stands for."""
    for word in words:
        if not word.changed:
            continue
        texts = [
            b"".join(tokens[slice(*span)]).decode("utf-8", "replace")
            for tokens, span in ((clean, word.clean), (typo, word.typo))
        ]
        one, other = map(_plain, texts)
        codes = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
        edits = sum(max(b - a, d - c) for tag, a, b, c, d in codes if tag != "equal")
        if edits > max(2, MOST_CHANGED * max(len(one), len(other))):
            shown = [text.strip()[:40] or "nothing" for text in texts]
            raise InputError(
                f"These are different texts, not a text and its misspelling: “{shown[0]}” became "
                f"“{shown[1]}”. Copy the clean text and change a few letters of it."
            )


def _plain(text: str) -> str:
    """A text without case, accents and blanks: differences of these alone are misspellings."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c) and not c.isspace())
