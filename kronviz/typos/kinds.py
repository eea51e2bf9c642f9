"""Every kind of misspelling, as the spots in a word where it can be made.

Notable:
- a kind is one small deterministic function that lists spots, each a span of the text and its
  possible replacements; the engine draws one of them;
- `KINDS` describes them for people, in the order of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from kronviz.typos import tables
from kronviz.typos.human import misspellings
from kronviz.typos.words import APOSTROPHES, Word


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of misspelling that people can choose; `example` reads “word → result”."""

    name: str
    label: str
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: characters `start` to `end` (exclusive) of the original, `before`, became `after`.

    An insertion has `start == end` and an empty `before`.
    """

    kind: str
    start: int
    end: int
    before: str
    after: str


class Spot(NamedTuple):
    """Where an edit can be made, and its replacements (a likelier one is listed more often)."""

    start: int
    end: int
    options: Sequence[str]


@dataclass(frozen=True, slots=True)
class Site:
    """A word in its text.

    first: index of the first letter that may be changed: 0, or 1 when the first is protected.
    """

    text: str
    word: Word
    first: int
    keyboard: str

    def letters(self) -> Iterator[tuple[int, str]]:
        """Yield the start and text of each letter that may be changed; none in one-letter words."""
        if len(self.word.letters) > 1:
            yield from zip(
                self.word.starts[self.first :], self.word.letters[self.first :], strict=True
            )

    def pairs(self) -> Iterator[tuple[int, str, str]]:
        """Yield the start and texts of each two adjacent letters that may be changed."""
        previous, end = "", -1
        for start, letter in self.letters():
            if start == end:
                yield start - len(previous), previous, letter
            previous, end = letter, start + len(letter)


Finder = Callable[[Site], list[Spot]]
KINDS: dict[str, Kind] = {}
DEFAULT_KINDS = ("swap", "drop", "double", "insert", "neighbour")
"""The kinds that are used unless others are asked for: slips of the hand on a keyboard."""
FINDERS: dict[str, Finder] = {}


def _kind(name: str, label: str, description: str, example: str) -> Callable[[Finder], Finder]:
    def register(find: Finder) -> Finder:
        KINDS[name] = Kind(name, label, description, example)
        FINDERS[name] = find
        return find

    return register


def _each_letter(site: Site, options: Callable[[str], Sequence[str]]) -> list[Spot]:
    """Return a spot for every letter that has options."""
    return [
        Spot(start, start + len(letter), choice)
        for start, letter in site.letters()
        if (choice := options(letter))
    ]


def _same(a: str, b: str) -> bool:
    return a.casefold() == b.casefold()


@_kind("swap", "swap", "two neighbouring letters change places", "capital → captial")
def _swap(site: Site) -> list[Spot]:
    return [
        Spot(start, start + len(a) + len(b), (b + a,))
        for start, a, b in site.pairs()
        if not _same(a, b)
    ]


@_kind("drop", "drop", "a letter is left out", "capital → capitl")
def _drop(site: Site) -> list[Spot]:
    return _each_letter(site, lambda letter: ("",))


@_kind("insert", "insert", "a key beside the right one is hit as well", "capital → capoital")
def _insert(site: Site) -> list[Spot]:
    letters, starts = site.word.letters, (*site.word.starts, site.word.end)
    if len(letters) < 2:
        return []
    return [
        Spot(starts[i], starts[i], options)
        for i in range(site.first, len(letters) + 1)
        if (options := _keys_between(letters[max(0, i - 1) : i + 1], site.keyboard))
    ]


@lru_cache(maxsize=4096)
def _keys_between(around: tuple[str, ...], keyboard: str) -> tuple[str, ...]:
    """Return the keys next to the one or two letters at an insertion, in the case of the last.

    The letters themselves are left out: a doubled letter is another kind.
    """
    keys = (key for letter in around for key in tables.key_neighbours(letter.lower(), keyboard))
    typed = (key.upper() if around[-1].isupper() else key for key in keys)
    return tuple(key for key in typed if not any(_same(key, letter) for letter in around))


@_kind("double", "double", "a letter is typed twice", "capital → cappital")
def _double(site: Site) -> list[Spot]:
    runs = {start for pair, a, b in site.pairs() if _same(a, b) for start in (pair, pair + len(a))}
    return [
        Spot(start, start + len(letter), (letter * 2,))
        for start, letter in site.letters()
        if start not in runs
    ]


@_kind("undouble", "un-double", "a doubled letter is typed once", "letter → leter")
def _undouble(site: Site) -> list[Spot]:
    return [
        Spot(start, start + len(a) + len(b), (a,)) for start, a, b in site.pairs() if _same(a, b)
    ]


@_kind("substitute", "substitute", "any other letter of the alphabet", "capital → capbtal")
def _substitute(site: Site) -> list[Spot]:
    return _each_letter(site, tables.other_letters)


@_kind("neighbour", "neighbour key", "a key beside the right one", "capital → capiral")
def _neighbour(site: Site) -> list[Spot]:
    return _each_letter(site, lambda letter: tables.key_neighbours(letter, site.keyboard))


@_kind("phonetic", "phonetic", "written as it sounds (English)", "physics → fysics")
def _phonetic(site: Site) -> list[Spot]:
    word = site.word
    if not word.text.isascii() or len(word.letters) < 2:
        return []
    spots = []
    plain = word.text.lower()
    for where, instead in tables.PHONETIC:
        for match in where.finditer(plain, site.first):
            before = word.text[match.start() : match.end()]
            options = [_like(before, after) for after in instead]
            spots.append(Spot(word.start + match.start(), word.start + match.end(), options))
    return spots


@_kind("case", "case", "a capital too many or too few", "Paris → PAris")
def _case(site: Site) -> list[Spot]:
    # A protected first letter is included: a change of case keeps the letter.
    letters = zip(site.word.starts[:2], site.word.letters[:2], strict=True)
    spots = [
        Spot(start, start + len(letter), (letter.swapcase(),))
        for start, letter in letters
        if _has_case(letter)
    ]
    shouted = site.word.text.upper()
    if shouted != site.word.text and len(spots) > 1 and _has_case(site.word.text):
        spots.append(Spot(site.word.start, site.word.end, (shouted,)))
    return spots


@_kind("leading_space", "leading space", "a space too many before a word", "capital → ␣capital")
def _leading_space(site: Site) -> list[Spot]:
    start = site.word.start
    if start and not site.text[start - 1].isspace():
        return []
    return [Spot(start, start, (" ",))]


@_kind("split", "split", "a space inside a word", "together → to gether")
def _split(site: Site) -> list[Spot]:
    return [
        Spot(start, start, (" ",))
        for start in site.word.starts[1:]
        if site.text[start - 1] not in APOSTROPHES
    ]


@_kind("join", "join", "the space after a word is lost", "a lot → alot")
def _join(site: Site) -> list[Spot]:
    end = site.word.end
    if site.text[end : end + 1] == " " and site.text[end + 1 : end + 2].isalpha():
        return [Spot(end, end + 1, ("",))]
    return []


@_kind("homoglyph", "homoglyph", "a look-alike from another script", "capital → c\u0430pital")
def _homoglyph(site: Site) -> list[Spot]:
    return _each_letter(site, tables.lookalikes)


@_kind("leet", "leet", "a digit or sign for a letter", "capital → c4pital")
def _leet(site: Site) -> list[Spot]:
    return _each_letter(site, tables.leet)


@_kind("diacritic", "diacritic", "an accent put on, or taken off", "capital → cápital")
def _diacritic(site: Site) -> list[Spot]:
    return _each_letter(site, tables.accented)


@_kind("repeat", "repeated letter", "a key is held down", "so → soooo")
def _repeat(site: Site) -> list[Spot]:
    return _each_letter(site, lambda letter: (letter * 3, letter * 4, letter * 5))


@_kind("human", "human", "as people really misspell it (English, codespell)", "receive → recieve")
def _human(site: Site) -> list[Spot]:
    word = site.word
    options = [
        _like(word.text, wrong)
        for wrong in misspellings(word.text)
        if not site.first or wrong[0] == word.text[0].lower()
    ]
    return [Spot(word.start, word.end, options)] if options else []


def _like(model: str, text: str) -> str:
    """Return `text` in the case of `model`: all capitals, a first capital, or unchanged."""
    if len(model) > 1 and model.isupper():
        return text.upper()
    return text[:1].upper() + text[1:] if model[:1].isupper() else text


def _has_case(letter: str) -> bool:
    """Return whether changing the case changes the letter and can be undone exactly."""
    return letter.swapcase() != letter and letter.swapcase().swapcase() == letter
