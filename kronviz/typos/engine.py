"""Draws the edits: which words, which kinds, which spots.

Notable:
- content words come first, and a longer word is likelier (by the square root of its length, as in
  multypo); no word gets a second edit before every other word has had its turn;
- two edits never touch: at least one unchanged character lies between them, so that none can undo,
  extend or hide another.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from kronviz.typos import human
from kronviz.typos.kinds import DEFAULT_KINDS, FINDERS, KINDS, Edit, Site, Spot
from kronviz.typos.tables import KEYBOARDS
from kronviz.typos.words import find_words

Rank = tuple[bool, float]
Turn = list[tuple[int, Rank, int]]  # a heap of: edits that a word has so far, its rank, its index


@dataclass(frozen=True, slots=True)
class Misspelling:
    """A misspelled text and the edits that made it, in the order of the text."""

    text: str
    original: str
    edits: tuple[Edit, ...]
    seed: int


def misspell(
    text: str,
    *,
    kinds: Sequence[str] = DEFAULT_KINDS,
    edits: int = 1,
    seed: int = 0,
    share: float | None = None,
    protect_first: bool = True,
    keyboard: str = "qwerty",
) -> Misspelling:
    """Misspell `text` in ways named in `kinds` (see `KINDS`), each equally likely.

    edits: how many edits to make in the whole text; with `share`, how many in each chosen word.
    share: which share of the words to choose, 0 to 1, rounded to whole words, but at least one
    word if above 0.
    seed: the same arguments and seed give the same result everywhere.
    protect_first: keep the first letter of every word (its case may change).
    keyboard: the layout whose neighbouring keys are hit, a name in `KEYBOARDS`.

    If fewer edits are possible than asked for, only those are made; see `len(result.edits)`.
    Raises ValueError with one sentence when an argument is invalid.
    """
    kinds = _checked(text, kinds, edits, seed, share, keyboard)
    sites = [Site(text, word, int(protect_first), keyboard) for word in find_words(text)]
    if share is None:
        total, reach = edits, len(sites)
    else:
        reach = min(len(sites), max(math.ceil(share), math.floor(share * len(sites) + 0.5)))
        total = edits * reach
    draft = _Draft(sites, random.Random(seed), reach=reach, most_per_word=edits)
    made = draft.draw(kinds, total)
    return Misspelling(apply_edits(text, made), text, made, seed)


def apply_edits(original: str, edits: Iterable[Edit]) -> str:
    """Apply edits to `original`; they must be in the order of the text and not overlap."""
    text, end = "", 0
    for edit in edits:
        text += original[end : edit.start] + edit.after
        end = edit.end
    return text + original[end:]


class _Draft:
    """The edits made so far, and which words may take more.

    reach: how many different words may be edited. most_per_word: how many edits each may take.
    """

    def __init__(
        self, sites: list[Site], rng: random.Random, *, reach: int, most_per_word: int
    ) -> None:
        self.sites, self.rng = sites, rng
        self.unopened, self.most_per_word = reach, most_per_word
        self.uses = [0] * len(sites)
        self.edits: list[Edit] = []

    def draw(self, kinds: Sequence[str], total: int) -> tuple[Edit, ...]:
        """Return up to `total` edits, in the order of the text."""
        order = sorted((0, self._rank(site), i) for i, site in enumerate(self.sites))
        turns = {kind: list(order) for kind in kinds}
        while turns and len(self.edits) < total:
            kind = self.rng.choice(tuple(turns))
            if (edit := self._next(kind, turns[kind])) is None:
                del turns[kind]
            else:
                insort(self.edits, edit, key=_start)
        return tuple(self.edits)

    def _rank(self, site: Site) -> Rank:
        """Return a sort key: content words first, then at random, longer words likelier first."""
        # The smallest of exponential variables divided by weights is a draw by these weights.
        pace = -math.log(1 - self.rng.random())
        return not site.word.is_content, pace / math.sqrt(len(site.word.letters))

    def _next(self, kind: str, turn: Turn) -> Edit | None:
        """Return an edit of this kind in the word whose turn it is, or None if none is possible.

        A word that cannot take one now never will, because spots are only used up: it leaves
        `turn`.
        """
        while turn:
            seen, rank, i = heappop(turn)
            uses = self.uses[i]
            if seen < uses < self.most_per_word:
                heappush(turn, (uses, rank, i))
            elif uses < self.most_per_word and (uses or self.unopened):
                site = self.sites[i]
                if spots := [spot for spot in FINDERS[kind](site) if self._is_free(spot)]:
                    spot = self.rng.choice(spots)
                    before = site.text[spot.start : spot.end]
                    self.unopened -= uses == 0
                    self.uses[i] += 1
                    heappush(turn, (uses + 1, rank, i))
                    return Edit(kind, spot.start, spot.end, before, self.rng.choice(spot.options))
        return None

    def _is_free(self, spot: Spot) -> bool:
        after = bisect_left(self.edits, spot.start, key=_start)
        return (after == 0 or self.edits[after - 1].end < spot.start) and (
            after == len(self.edits) or spot.end < self.edits[after].start
        )


def _start(edit: Edit) -> int:
    return edit.start


def _checked(
    text: str, kinds: Sequence[str], edits: int, seed: int, share: float | None, keyboard: str
) -> tuple[str, ...]:
    """Check every argument; return the kinds without repetitions."""
    if not isinstance(text, str):
        raise ValueError(f"text is {_shown(text)}, but must be a string.")
    if isinstance(kinds, str) or not isinstance(kinds, Iterable):
        raise ValueError(
            f'kinds is {_shown(kinds)}, but must be a sequence of names, such as ("swap", "drop").'
        )
    named = tuple(kinds)
    unknown = [kind for kind in named if not isinstance(kind, str) or kind not in KINDS]
    if unknown or not named:
        what = f"kinds names {_shown(unknown[0])}" if unknown else "kinds is empty"
        raise ValueError(f"{what}; choose from {', '.join(KINDS)}.")
    if "human" in named and human.dictionary_path() is None:
        raise ValueError(
            'kinds names "human", which needs the package codespell; run "pip install codespell".'
        )
    if not isinstance(edits, int) or isinstance(edits, bool) or edits < 0:
        raise ValueError(f"edits is {_shown(edits)}, but must be a whole number, 0 or more.")
    if not isinstance(seed, int):
        raise ValueError(f"seed is {_shown(seed)}, but must be a whole number.")
    if share is not None and not (isinstance(share, int | float) and 0 <= share <= 1):
        raise ValueError(
            f"share is {_shown(share)}, but must be a number from 0 to 1, or None to count edits."
        )
    if not isinstance(keyboard, str) or keyboard not in KEYBOARDS:
        raise ValueError(
            f"keyboard is {_shown(keyboard)}, but must be one of {', '.join(KEYBOARDS)}."
        )
    return tuple(dict.fromkeys(named))


def _shown(value: object) -> str:
    """Return a value's repr, shortened to fit a sentence."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
