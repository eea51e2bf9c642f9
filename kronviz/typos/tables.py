"""Tables of characters: keyboards, alphabets, look-alikes, sound-alikes.

Notable:
- neighbouring keys are computed from the rows of a keyboard and their stagger; a slip sideways is
  likelier than one up or down, as in multypo's model of typing;
- look-alikes are written as code points, because they cannot be told apart on screen.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

KEYBOARDS: dict[str, tuple[str, str, str]] = {
    "qwerty": ("qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("qwertzuiopü", "asdfghjklöä", "yxcvbnm"),
    "azerty": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
_STAGGER = (0.0, 0.25, 0.75)  # how far each row is shifted to the right, in keys
_SIDEWAYS = 3  # a slip sideways counts this many times

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
)

LEET = {
    "a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7",
    "z": "2",
}  # fmt: skip

_LATIN_LOOKALIKES = {
    "a": "\u0430", "c": "\u0441", "d": "\u0501", "e": "\u0435", "g": "\u0261", "h": "\u04bb",
    "i": "\u0456", "j": "\u0458", "l": "\u04cf", "o": "\u043e\u03bf", "p": "\u0440",
    "q": "\u051b", "s": "\u0455", "v": "\u03bd", "w": "\u051d", "x": "\u0445", "y": "\u0443",
    "A": "\u0410\u0391", "B": "\u0412\u0392", "C": "\u0421", "E": "\u0415\u0395",
    "H": "\u041d\u0397", "I": "\u0406\u0399", "J": "\u0408", "K": "\u041a\u039a",
    "M": "\u041c\u039c", "N": "\u039d", "O": "\u041e\u039f", "P": "\u0420\u03a1", "S": "\u0405",
    "T": "\u0422\u03a4", "X": "\u0425\u03a7", "Y": "\u03a5", "Z": "\u0396",
}  # fmt: skip
HOMOGLYPHS = _LATIN_LOOKALIKES | {
    alike: latin for latin, alikes in _LATIN_LOOKALIKES.items() for alike in alikes
}

# English spellings that sound the same or nearly so: a pattern, and what replaces it.
PHONETIC: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(where), tuple(instead.split(" ")))
    for where, instead in (
        ("ph", "f"),
        ("(?<!f)f(?!f)", "ph"),
        ("ck", "k"),
        ("qu", "kw"),
        ("x", "ks"),
        ("sc(?=[eiy])", "s"),
        ("(?<!s)c(?=[eiy])", "s"),
        ("(?<!s)s(?=[eiy])", "c"),
        ("c(?=[aour])", "k"),
        ("k(?=[aou])", "c"),
        ("ch(?=[or])", "k"),
        ("tch", "ch"),
        ("dge", "ge"),
        ("dg(?=e)", "j"),
        ("tion", "sion shun"),
        ("sion", "tion"),
        ("igh", "ie y"),
        ("ough", "uff o"),
        ("gh(?=t)", ""),
        ("^kn", "n"),
        ("^wr", "r"),
        ("wh", "w"),
        ("mb$", "m"),
        ("mn$", "m"),
        ("ie", "ei"),
        ("ei", "ie"),
        ("ai", "ay ei"),
        ("ay$", "ey"),
        ("ea", "ee e"),
        ("ee", "ea"),
        ("oa", "o"),
        ("ou", "ow"),
        ("ow", "ou"),
        ("oo", "u"),
        ("au", "aw o"),
        ("aw", "au"),
        ("ue$", "oo"),
        ("y(?=[^aeiou])", "i"),
        ("(?<=[^aeiou])i(?=[^aeiou])", "y"),
        ("a(?=r[aeiou])", "e"),
        ("e(?=r[aeiou])", "a"),
        ("ance$", "ence"),
        ("ence$", "ance"),
        ("able$", "ible"),
        ("ible$", "able"),
        ("ant$", "ent"),
        ("ent$", "ant"),
        ("or$", "er"),
        ("ar$", "er"),
        ("er$", "or ur"),
        ("ory$", "ary"),
        ("al$", "el le"),
        ("le$", "el"),
        ("z", "s"),
        ("ful$", "full"),
    )
)

_ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u030c\u0327"


@lru_cache(maxsize=4096)
def base(letter: str) -> str:
    """Return the lower-case letter without its marks: `É` gives `e`."""
    return unicodedata.normalize("NFD", letter)[0].lower()


@lru_cache(maxsize=4096)
def key_neighbours(letter: str, keyboard: str) -> tuple[str, ...]:
    """Return the keys around a letter, in its case; likelier ones are repeated.

    A letter that the keyboard lacks is looked up without its marks; () if it has no key at all.
    """
    places = {
        key: (row, column + _STAGGER[row])
        for row, keys in enumerate(KEYBOARDS[keyboard])
        for column, key in enumerate(keys)
    }
    here = places.get(letter.lower()) or places.get(base(letter))
    if here is None:
        return ()
    around: list[str] = []
    for key, (row, column) in places.items():
        distance = abs(column - here[1])
        if row == here[0] and distance == 1:
            around += [key] * _SIDEWAYS
        elif abs(row - here[0]) == 1 and distance < 1:
            around.append(key)
    return tuple(key.upper() if letter.isupper() else key for key in around)


@lru_cache(maxsize=4096)
def other_letters(letter: str) -> tuple[str, ...]:
    """Return every other letter of the same alphabet, in the same case; () for other scripts."""
    plain = base(letter)
    alphabet = next((letters for letters in ALPHABETS if plain in letters), "")
    others = [other for other in alphabet if other not in (plain, letter.lower())]
    return tuple(other.upper() if letter.isupper() else other for other in others)


@lru_cache(maxsize=4096)
def accented(letter: str) -> tuple[str, ...]:
    """Return the letter with each accent added, or with its own removed, as single characters.

    Only for `ALPHABETS`: in some other scripts marks are vowels, not accents.
    """
    plain = unicodedata.normalize("NFD", letter)[0]
    if not any(plain.lower() in alphabet for alphabet in ALPHABETS):
        return ()
    if plain != letter:
        return (plain,)
    marked = (unicodedata.normalize("NFC", letter + accent) for accent in _ACCENTS)
    return tuple(char for char in marked if len(char) == 1)


@lru_cache(maxsize=4096)
def lookalikes(letter: str) -> tuple[str, ...]:
    """Return the letters of another script that look the same."""
    return tuple(HOMOGLYPHS.get(letter, ""))


@lru_cache(maxsize=4096)
def leet(letter: str) -> tuple[str, ...]:
    """Return the digits and signs written for a letter."""
    return tuple(LEET.get(letter.lower(), ""))
