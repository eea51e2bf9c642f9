"""Aligns the words of a clean text with their spellings in a misspelled one, token by token.

Notable:

- Boundaries are the places of `probes.alignment`, up to which both texts read the same. Around a
  change they are moved outwards to the ends of words, so that whole words are compared. Scripts
  without spaces between words (Chinese, Thai) are aligned character by character.
- Texts that are not misspellings of each other are refused: if one word differs too much, or if too
  few letters of all words are shared.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from kronviz.predictor import InputError
from kronviz.probes.alignment import aligned

MOST_CHANGED = 0.6
"""Share of the letters of the longer spelling that may differ; two letters always may."""
_ZWJ, _ZWNJ = "\u200d", "\u200c"
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""Prefixes of the Unicode names of characters in scripts without spaces between words."""


@dataclass(frozen=True)
class AlignedWord:
    """A range of tokens of the clean text and the corresponding tokens of the misspelled one.

    Attributes:
        clean, typo: the range in each text, end exclusive; never empty.
        changed: whether the tokens differ.
    """

    clean: tuple[int, int]
    typo: tuple[int, int]
    changed: bool

    @property
    def matched(self) -> tuple[tuple[int, int], ...]:
        """Return the corresponding tokens, clean and misspelled, matched from the word's end.

        The last token on each side has read the whole word. If one side has more tokens, its first
        ones have no counterpart.
        """
        shared = min(self.clean[1] - self.clean[0], self.typo[1] - self.typo[0])
        return tuple((self.clean[1] - i, self.typo[1] - i) for i in range(shared, 0, -1))


def align_words(clean: Sequence[bytes], typo: Sequence[bytes]) -> tuple[AlignedWord, ...]:
    """Align the tokens of two texts word by word.

    Args:
        clean, typo: the bytes of each token of the clean and the misspelled text.

    Raises:
        InputError: the texts are the same, or one is not a misspelling of the other.
    """
    if b"".join(clean) == b"".join(typo):
        raise InputError("Both texts are the same; misspell one to see what happens inside.")
    bounds = [(0, 0)]
    for place in aligned(clean, typo):
        bound = place.clean + 1, place.typo + 1
        if bound[0] > bounds[-1][0] and bound[1] > bounds[-1][1]:
            bounds.append(bound)
        elif len(bounds) > 1:
            # One side has no token of its own here, so the other's joins the word before.
            bounds[-1] = max(bounds[-1][0], bound[0]), max(bounds[-1][1], bound[1])
    bounds[-1 if len(bounds) > 1 else len(bounds) :] = [(len(clean), len(typo))]
    words: list[AlignedWord] = []
    splits = _inside_words(clean), _inside_words(typo)
    for start, end in pairwise(bounds):
        word = _word(clean, typo, start, end)
        while words and (words[-1].changed or word.changed):
            if word.clean[0] not in splits[0] and word.typo[0] not in splits[1]:
                break
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


def _inside_words(tokens: Sequence[bytes]) -> set[int]:
    """Return the tokens that continue a word."""
    offset, before, starts = 0, "", set()
    for char in b"".join(tokens).decode("utf-8", "surrogateescape"):
        if not _go_together(before, char):
            starts.add(offset)
        offset += len(char.encode("utf-8", "surrogateescape"))
        before = char
    offsets = accumulate((len(token) for token in tokens[:-1]), initial=0)
    return {place for place, at in enumerate(offsets) if at not in starts}


def _go_together(before: str, char: str) -> bool:
    """Return whether two adjacent characters belong to one word or one grapheme."""
    if not before:
        return False
    if char in (_ZWJ, _ZWNJ) or before == _ZWJ or unicodedata.category(char) in ("Mn", "Mc", "Sk"):
        return not before.isspace()
    letters = _is_letter(before) and _is_letter(char)
    return letters and not any(
        unicodedata.name(one, "").startswith(_UNSPACED) for one in (before, char)
    )


def _is_letter(char: str) -> bool:
    return char.isalnum() or char == _ZWNJ or unicodedata.category(char)[0] == "M"


def _check(clean: Sequence[bytes], typo: Sequence[bytes], words: Sequence[AlignedWord]) -> None:
    """Raise `InputError` if a changed word is not a misspelling of its counterpart."""
    changed = [word for word in words if word.changed]
    for word in changed:
        texts = _text(clean, *word.clean), _text(typo, *word.typo)
        one, other = map(_plain, texts)
        codes = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
        edits = sum(max(b - a, d - c) for tag, a, b, c, d in codes if tag != "equal")
        if edits > max(2, MOST_CHANGED * max(len(one), len(other))):
            raise _different(*texts)
    # Each short word may differ in two letters, so all words together are checked, too.
    if len(changed) > 1:
        letters = [
            (_plain(_text(clean, *word.clean)), _plain(_text(typo, *word.typo))) for word in words
        ]
        shared = sum((Counter(one) & Counter(other)).total() for one, other in letters)
        longer = max(sum(map(len, side)) for side in zip(*letters, strict=True))
        if shared < (1 - MOST_CHANGED) * longer:
            raise _different(_text(clean, 0, len(clean)), _text(typo, 0, len(typo)))


def _text(tokens: Sequence[bytes], start: int, end: int) -> str:
    return b"".join(tokens[start:end]).decode("utf-8", "replace")


def _different(one: str, other: str) -> InputError:
    shown = [text.strip()[:40] or "nothing" for text in (one, other)]
    return InputError(
        f"These are different texts, not a text and its misspelling: “{shown[0]}” became "
        f"“{shown[1]}”. Copy the clean text and change a few letters of it."
    )


def _plain(text: str) -> str:
    """Return a text without case, accents and spaces, which a misspelling may all change."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c) and not c.isspace())
