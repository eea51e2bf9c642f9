"""Which tokens belong to a word, the probe families, and variants of a word made by rule.

Notable:

- Relations are those of the byte view (`kronviz.maps.neighbors.relation`): typographic where two
  strings are the same word but for case, leading space and punctuation, morphological where they
  are forms of one root.
- Byte neighbours are what the raw code has nearest, among tokens that are neither.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kronviz.families import FAMILIES, Family
from kronviz.maps.neighbors import canonical, code_table, top
from kronviz.morphology import MIN_ROOT, kin, stem
from kronviz.predictor import InputError
from kronviz.settings import setting
from kronviz.strings import one_of, shown, string_bytes, whole_number
from kronviz.tokenizer import token_set
from kronviz.typos import KINDS, misspell

MAX_WORDS = 200
MAX_CHARACTERS = 40
"""Of a word that variants are made of."""
MAX_MEMBERS = 40
"""Most relatives of one kind that are lit; the closest spellings come first."""
BYTE_NEIGHBORS = 10
RELATIONS = ("typographic", "morphological", "byte")

PROBES: tuple[Family, ...] = tuple(
    {family.name: family for family in FAMILIES}.get(name) or Family(name, name, ())
    for name in ("run", "compute", "magnet", "nation", "code", "import", "act", "build")
)
"""The eight probe families. Two have no list of members: all that holds the root is theirs."""


@dataclass(frozen=True)
class Member:
    """A token that belongs to a word.

    Attributes:
        relation: ``typographic``, ``morphological`` or ``byte``.
    """

    id: int
    text: str
    hex: str
    relation: str


@dataclass(frozen=True)
class Spelling:
    """What the spellings of a vocabulary say, worked out once.

    Attributes:
        forms: the canonical form of every token; empty for bytes that are not text.
        by_form: tokens of every canonical form.
        probe: for every token the place of its probe family from 1, 0 for none: uint8.
    """

    forms: tuple[str, ...]
    by_form: dict[str, tuple[int, ...]]
    probe: NDArray[np.uint8]


@functools.lru_cache(maxsize=8)
def spelling(vocabulary: str) -> Spelling:
    """Return the `Spelling` of a vocabulary."""
    tokenizer = token_set(vocabulary)
    packed = tokenizer.vocabulary
    forms = tuple(canonical(packed[token]) or "" for token in range(len(packed)))
    groups: dict[str, list[int]] = {}
    for token, form in enumerate(forms):
        if form:
            groups.setdefault(form, []).append(token)
    probe = np.zeros(len(forms), np.uint8)
    for place, family in enumerate(PROBES, start=1):
        own = [token for form in groups if in_family(family, form) for token in groups[form]]
        probe[own] = place
    return Spelling(forms, {form: tuple(own) for form, own in groups.items()}, probe)


def in_family(family: Family, form: str) -> bool:
    """Return whether a canonical form belongs to a probe family."""
    return form in family.members if family.members else family.root in form


@functools.lru_cache(maxsize=64)
def members(data: bytes, vocabulary: str, pos_dim: int) -> tuple[tuple[Member, ...], int]:
    """Return the tokens that belong to a word, and how many relatives there are.

    Of the relatives, words that begin with this one come first, then the closest in length.

    Args:
        data: the word; a token with the very same bytes is not among its members.
    """
    tokenizer = token_set(vocabulary)
    table = spelling(vocabulary)
    form = canonical(data) or ""
    alike = [t for t in table.by_form.get(form, ()) if tokenizer.token_bytes(t) != data]
    roots = (form[:MIN_ROOT], stem(form)[:MIN_ROOT])
    forms = sorted(
        (not other.startswith(form), abs(len(other) - len(form)), other)
        for other in table.by_form
        # What a stemmer could join begins alike, or holds the other's beginning behind a prefix.
        if (len(form) >= MIN_ROOT and any(root in other for root in roots) and kin(form, other))
        or (len(form) > len(other) >= MIN_ROOT and other in form and kin(form, other))
    )
    related = [token for _, _, other in forms for token in table.by_form[other]]
    found = [(token, "typographic") for token in alike[:MAX_MEMBERS]]
    found += [(token, "morphological") for token in related[:MAX_MEMBERS]]
    taken = {token for token, _ in found} | set(alike) | set(related)
    similar = code_table(vocabulary, pos_dim).similarities(data)
    # As many as are taken already may come first among the nearest, and the word itself.
    near = top(similar, min(len(taken) + BYTE_NEIGHBORS + 1, len(similar)))
    others = [
        int(token)
        for token in near
        if int(token) not in taken
        and similar[token] > 0
        and tokenizer.token_bytes(int(token)) != data
    ]
    found += [(token, "byte") for token in others[:BYTE_NEIGHBORS]]
    views = tuple(
        Member(token, tokenizer.token_text(token), tokenizer.token_bytes(token).hex(), relation)
        for token, relation in found
    )
    return views, len(alike) + len(related)


def checked_words(words: Sequence[str]) -> tuple[bytes, ...]:
    """Return typed words as bytes, each once, in order.

    Raises:
        InputError: there are none, too many, or one is too long.
    """
    if isinstance(words, str) or not isinstance(words, Sequence):
        raise InputError(f"words is {shown(words)}; give a list of texts.")
    found = dict.fromkeys(string_bytes(word, "word") for word in words if word != "")
    if not found:
        raise InputError("There are no words yet; type some, one a line.")
    if len(found) > MAX_WORDS:
        raise InputError(
            f"There are {len(found):,} words; this view takes {MAX_WORDS}. Take some away."
        )
    return tuple(found)


@dataclass(frozen=True)
class Rule:
    """A way to vary a word: its label for people, and what it makes of ``run``."""

    label: str
    example: str


RULES = {
    "case": Rule("case", "Run RUN"),
    "space": Rule("leading space", "␣run"),
    "punctuation": Rule("punctuation", ".run run,"),
    "plural": Rule("plural", "runs"),
    "past": Rule("-ed", "runned"),
    "ing": Rule("-ing", "running"),
    "typos": Rule("typos of every kind", "rnu ruun"),
}


@dataclass(frozen=True)
class VariantSettings:
    """Which variants of a word are made."""

    word: str = setting(..., f"A text of at most {MAX_CHARACTERS} characters")
    rules: tuple[str, ...] = setting(tuple(RULES), "Kinds of variants", choices=RULES)
    seed: int = setting(0, "Seed of the typos")


def variants(word: str, rules: Sequence[str] = tuple(RULES), seed: int = 0) -> tuple[str, ...]:
    """Return a word and its variants by rule, each once; the word comes first.

    The endings follow spelling alone (“run” gives “runned”): what a model makes of a form that
    nobody writes is worth seeing too.

    Args:
        word: a text of at most `MAX_CHARACTERS` characters.
        rules: names in `RULES`.
        seed: of the typos.

    Raises:
        InputError: the word is empty or too long, or a rule is unknown.
    """
    string_bytes(word, "word")
    seed = whole_number(seed, "seed", 0, 2**31)
    if len(word) > MAX_CHARACTERS:
        raise InputError(
            f"The word has {len(word)} characters; variants are made of up to {MAX_CHARACTERS}."
        )
    bare = word.strip() or word
    found = [word]
    for rule in rules:
        found += _varied(bare, one_of(rule, "rule", RULES), seed)
    return tuple(dict.fromkeys(found))


def _varied(word: str, rule: str, seed: int) -> list[str]:
    if rule == "case":
        return [word.lower(), word.capitalize(), word.upper()]
    if rule == "space":
        return [f" {word}"]
    if rule == "punctuation":
        return [f".{word}", f"{word},", f"({word}", f'"{word}']
    if rule == "typos":
        return [
            made.text
            for kind in KINDS
            if (made := misspell(word, kinds=(kind,), seed=seed)).text != word
        ]
    return [_ending(word, {"plural": "s", "past": "ed", "ing": "ing"}[rule])]


def _ending(word: str, ending: str) -> str:
    vowels = "aeiou"
    if ending == "s":
        if word.endswith(("s", "x", "z", "ch", "sh")):
            return f"{word}es"
        if word.endswith("y") and word[-2:-1] not in vowels:
            return f"{word[:-1]}ies"
        return f"{word}s"
    if word.endswith("e"):
        return word[:-1] + ending
    if ending == "ed" and word.endswith("y") and word[-2:-1] not in vowels:
        return f"{word[:-1]}ied"
    # A lone vowel before a last consonant doubles it: run, running; but read, reading.
    doubled = len(word) > 2 and word[-1] not in "aeiouwxy" and word[-2] in vowels
    doubled = doubled and sum(letter in vowels for letter in word) == 1
    return f"{word}{word[-1]}{ending}" if doubled else word + ending
