"""Finds the words among a vocabulary's tokens, and pairs of tokens that are related by spelling.

Notable:

- Three kinds of pairs, as in the paper: typographic (two spellings of one canonical form),
  morphological (a word and the same word with an ending) and unrelated (two random words). The
  words of the last two kinds are all written in the same way.
- The paper used its own lists. Here every pair of the vocabulary is a candidate, and a seed draws
  the pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kronviz.maps.neighbors import canonical, relation
from kronviz.probes.cross_model.tokens import TokenList

Item = TypeVar("Item")
BUCKETS = ("typographic", "morphological", "unrelated")
MIN_LETTERS = 3
ENDINGS = ("s", "es", "ed", "ing", "er", "ers", "ly", "ness", "ment", "ful", "able", "ion", "ions")


@dataclass(frozen=True)
class Lexicon:
    """The spellings of the tokens that are compared.

    Attributes:
        forms: canonical form of each token; empty if it has none.
        words: indices of the tokens that are whole words in lower case, at the beginning of a word
            as this vocabulary writes it.
    """

    forms: tuple[str, ...]
    words: tuple[int, ...]

    def relation(self, first: int, second: int) -> str:
        """Return how two tokens are related by spelling, see `neighbors.relation`."""
        return relation(self.forms[first], self.forms[second])


def lexicon(tokens: TokenList, ids: Sequence[int]) -> Lexicon:
    """Return the lexicon of the tokens ``ids``; its indices are those in ``ids``."""
    forms, words = [], []
    for place, token in enumerate(ids):
        data = tokens.tokens[token]
        form = canonical(data) or ""
        forms.append(form)
        bare = data.removeprefix(b" ")
        if (
            tokens.starts[token]
            and len(bare) >= MIN_LETTERS
            and bare.isalpha()
            and bare.islower()
            and bare.decode() == form
        ):
            words.append(place)
    return Lexicon(tuple(forms), tuple(words))


def pairs_of(
    bucket: str, lexicon: Lexicon, count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw at most ``count`` of all pairs of a bucket."""
    make = {
        "typographic": _typographic,
        "morphological": _morphological,
        "unrelated": _unrelated,
    }[bucket]
    return make(lexicon, count, rng)


def _typographic(lexicon: Lexicon, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, form in enumerate(lexicon.forms):
        if len(form) >= MIN_LETTERS and form.isalpha():
            groups[form].append(place)
    several = [members for members in groups.values() if len(members) > 1]
    drawn = _drawn(several, count, rng)
    pairs = []
    for members in drawn:
        first, second = sorted(rng.choice(len(members), 2, replace=False).tolist())
        pairs.append((members[first], members[second]))
    return pairs


def _morphological(lexicon: Lexicon, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    # Of two spellings of a word, take the one with the lower id, which is the more frequent.
    places: dict[str, int] = {}
    for place in lexicon.words:
        places.setdefault(lexicon.forms[place], place)
    pairs = [
        (place, places[form + ending])
        for form, place in places.items()
        for ending in ENDINGS
        if form + ending in places
    ]
    return _drawn(pairs, count, rng)


def _unrelated(lexicon: Lexicon, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    words = np.array(lexicon.words, np.int64)
    pairs: list[tuple[int, int]] = []
    if len(words) < 2:
        return pairs
    for first, second in rng.choice(words, (count, 2)).tolist():
        if lexicon.relation(first, second) == "other":
            pairs.append((first, second))
    return pairs


def _drawn(items: list[Item], count: int, rng: np.random.Generator) -> list[Item]:
    if len(items) <= count:
        return items
    return [items[place] for place in sorted(rng.choice(len(items), count, replace=False).tolist())]
