"""Tells whether two English words have the same root: by a stemmer, prefixes, and lists.

Notable:

- Porter's English stemmer (Snowball) removes endings; `PREFIXES` are removed here if at least
  `MIN_ROOT` letters remain. A word that merely contains the letters of another is not related to
  it: "hundred" and "red" do not share a root.
- Members of one of the paper's families (`kronviz.families`) are always related, which covers
  irregular forms such as "ran" and "built".

>>> kin("running", "run"), kin("rerun", "runs"), kin("hundred", "red"), kin("trunk", "run")
(True, True, False, False)
"""

from __future__ import annotations

import functools

import snowballstemmer

from kronviz.families import FAMILIES

MIN_ROOT = 3
PREFIXES = tuple("anti dis inter mis multi non out over pre re sub super trans un under".split())
_stemmer = snowballstemmer.stemmer("english")


@functools.lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """Return a lower-case word without its endings."""
    return _stemmer.stemWord(word)


WHOLE = frozenset(
    map(
        stem,
        "discuss distance district interest interview misery mister missing outer overt predict "
        "prefer prepare present preserve pressure pretend prevent reason recent record recover "
        "reduce refer regard region relate release relax remain remark rent repair replace reply "
        "report request require research reserve reside resign resist resort respect respond rest "
        "restaurant result return reward subject submit subtle suburb support transport unit "
        "united unless until".split(),
    )
)
"""Stems that only seem to begin with a prefix."""


def kin(first: str, second: str) -> bool:
    """Return whether two lower-case words are different forms of one root."""
    if first == second or min(len(first), len(second)) < MIN_ROOT:
        return False
    if any(first in family.members and second in family.members for family in FAMILIES):
        return True
    if not (first.isalpha() and second.isalpha()):
        return False
    return bool(_roots(first) & _roots(second))


@functools.lru_cache(maxsize=200_000)
def _roots(word: str) -> frozenset[str]:
    """Return a word's stem, and the stems of what remains without a prefix."""
    whole = stem(word)
    if whole in WHOLE:
        return frozenset((whole,))
    rests = (word[len(prefix) :] for prefix in PREFIXES if word.startswith(prefix))
    return frozenset((whole, *(stem(rest) for rest in rests if len(rest) >= MIN_ROOT)))
