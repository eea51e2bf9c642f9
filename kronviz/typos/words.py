"""Words and letters of a text, as character spans.

Notable:
- a letter is a Unicode letter with everything attached to it (combining marks, joiners, a virama
  and the consonant it binds), so no edit can split what a reader sees as one character;
- digits, punctuation, emoji and lone surrogates belong to no word and are never changed.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

APOSTROPHES = "'\u2019"

# Too short or too common to carry the meaning of a sentence: misspelled only when no other word
# is left.
_COMMON = """a about after all also am an and any are as at be been but by can could did do does for
    from had has have he her him his how i if in into is it its just may me more most much must my
    no nor not of on once one only or other our out over shall she should so some such than that
    the their them then there these they this those to too under until up very was we were what
    when where which while who will with would you your"""
FUNCTION_WORDS = frozenset(_COMMON.split())

# Letters by category that nevertheless extend the character before them: Thai and Lao AM and the
# halfwidth kana sound marks. Conjoining Hangul vowels and finals are the ranges in `_extends`.
_EXTENDING_LETTERS = frozenset("\u0e33\u0eb3\uff9e\uff9f")
_VIRAMA = 9  # the canonical combining class of the sign that binds two Indic consonants


class Word(NamedTuple):
    """A run of letters and the apostrophes inside it.

    start, end: its span in the text. letters: what a reader would call letters, without the
    apostrophes. starts: where each letter starts in the text.
    """

    text: str
    start: int
    end: int
    letters: tuple[str, ...]
    starts: tuple[int, ...]

    @property
    def is_content(self) -> bool:
        """Return whether the word carries meaning, and so is misspelled first."""
        return len(self.letters) >= 3 and self.text.lower() not in FUNCTION_WORDS


def find_words(text: str) -> list[Word]:
    """Return all words of `text` in order; any Python string is allowed."""
    words = []
    i = 0
    while i < len(text):
        if not text[i].isalpha():
            i += 1
            continue
        start, letters, starts = i, [], []
        while i < len(text):
            if text[i].isalpha():
                end = _letter_end(text, i)
                letters.append(text[i:end])
                starts.append(i)
                i = end
            elif text[i] in APOSTROPHES and text[i + 1 : i + 2].isalpha():
                i += 1
            else:
                break
        words.append(Word(text[start:i], start, i, tuple(letters), tuple(starts)))
    return words


def _letter_end(text: str, start: int) -> int:
    """Return where the letter that starts at `start` ends."""
    end, binds = start + 1, False
    # Nothing below U+0300 combines: plain text is not looked up.
    while end < len(text) and text[end] >= "\u0300":
        if not (_extends(text[end]) or (binds and text[end].isalpha())):
            break
        # A virama binds the next consonant across joiners and marks.
        virama = unicodedata.combining(text[end]) == _VIRAMA
        binds = virama or (binds and not text[end].isalpha())
        end += 1
    return end


def _extends(char: str) -> bool:
    return (
        unicodedata.category(char).startswith("M")
        or char in "\u200c\u200d"
        or char in _EXTENDING_LETTERS
        or "\u1160" <= char <= "\u11ff"
        or "\ud7b0" <= char <= "\ud7ff"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )
