"""Finds the tokens that belong to a word, and makes variants of a word by rule.

Notable:

- Relations are those of the byte view (`kronviz.maps.neighbors.relation`): typographic for the same
  word with another case, leading space or punctuation, morphological for the same root.
- Byte neighbours are the nearest in the raw code among all other tokens.
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
from kronviz.settings import check, setting
from kronviz.strings import shown, string_bytes
from kronviz.tokenizer import token_set
from kronviz.typos import KINDS, misspell

MAX_WORDS = 200
MAX_CHARACTERS = 40
"""Longest word that variants are made of."""
MAX_MEMBERS = 40
"""Most relatives of one kind in a family; the closest spellings come first."""
BYTE_NEIGHBORS = 10
RELATIONS = ("typographic", "morphological", "byte")

PROBES: tuple[Family, ...] = tuple(
    {family.name: family for family in FAMILIES}.get(name) or Family(name, name, ())
    for name in ("run", "compute", "magnet", "nation", "code", "import", "act", "build")
)
"""The eight probe families. Two have no list of members: every word with the root is a member."""


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
    """Facts about the spellings of a vocabulary's tokens, computed once.

    Attributes:
        forms: the canonical form of every token; empty for bytes that are not text.
        by_form: tokens of every canonical form.
        probe: for every token the index of its probe family from 1, or 0: uint8.
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
    """Return the tokens that belong to a word, and the number of all its relatives.

    Among morphological relatives, words that begin with this one come first, then the closest in
    length.

    Args:
        data: the word; a token with exactly these bytes is not among its members.
    """
    tokenizer = token_set(vocabulary)
    table = spelling(vocabulary)
    form = canonical(data) or ""
    same = [t for t in table.by_form.get(form, ()) if tokenizer.token_bytes(t) != data]
    roots = (form[:MIN_ROOT], stem(form)[:MIN_ROOT])
    forms = sorted(
        (not other.startswith(form), abs(len(other) - len(form)), other)
        for other in table.by_form
        # A cheap filter: words of one root have the same beginning, perhaps after a prefix.
        if (len(form) >= MIN_ROOT and any(root in other for root in roots) and kin(form, other))
        or (len(form) > len(other) >= MIN_ROOT and other in form and kin(form, other))
    )
    related = [token for _, _, other in forms for token in table.by_form[other]]
    family = [(token, "typographic") for token in same[:MAX_MEMBERS]]
    family += [(token, "morphological") for token in related[:MAX_MEMBERS]]
    taken = {*same, *related}
    similar = code_table(vocabulary, pos_dim).similarities(data)
    # The relatives and the word itself may be the very nearest.
    near = top(similar, min(len(taken) + BYTE_NEIGHBORS + 1, len(similar)))
    others = [
        int(token)
        for token in near
        if int(token) not in taken
        and similar[token] > 0
        and tokenizer.token_bytes(int(token)) != data
    ]
    family += [(token, "byte") for token in others[:BYTE_NEIGHBORS]]
    views = tuple(
        Member(token, tokenizer.token_text(token), tokenizer.token_bytes(token).hex(), relation)
        for token, relation in family
    )
    return views, len(same) + len(related)


def checked_words(words: Sequence[str]) -> tuple[bytes, ...]:
    """Return typed words as bytes, each once, in order.

    Raises:
        InputError: there are none, too many, or one is too long.
    """
    if isinstance(words, str) or not isinstance(words, Sequence):
        raise InputError(f"words is {shown(words)}; give a list of texts.")
    data = dict.fromkeys(string_bytes(word, "word") for word in words if word != "")
    if not data:
        raise InputError("There are no words yet; type some, one per line.")
    if len(data) > MAX_WORDS:
        raise InputError(
            f"There are {len(data):,} words; this view takes {MAX_WORDS}. Remove some."
        )
    return tuple(data)


@dataclass(frozen=True)
class Rule:
    """A way to vary a word: its label, and what it makes of ``run``."""

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
    """The settings of a word's variants."""

    word: str = setting(..., f"A text of at most {MAX_CHARACTERS} characters")
    rules: tuple[str, ...] = setting(tuple(RULES), "Kinds of variants", choices=RULES)
    seed: int = setting(0, "Seed of the typos")


def variants(
    word: str, rules: Sequence[str] = VariantSettings.rules, seed: int = VariantSettings.seed
) -> tuple[str, ...]:
    """Return a word and its variants by rule, each once; the word comes first.

    Endings follow rules of spelling only (“run” gives “runned”), because it is worth seeing what a
    model makes of a form that nobody writes.

    Args:
        word, rules, seed: see `VariantSettings`.

    Raises:
        InputError: the word is empty or too long, or a rule is unknown.
    """
    string_bytes(word, "word")
    asked = VariantSettings(word, tuple(rules), seed)
    check(asked)
    if len(word) > MAX_CHARACTERS:
        raise InputError(
            f"The word has {len(word)} characters; the limit for variants is {MAX_CHARACTERS}. "
            "Shorten it."
        )
    bare = word.strip() or word
    varied = [word]
    for rule in asked.rules:
        varied += _varied(bare, rule, asked.seed)
    return tuple(dict.fromkeys(varied))


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
    # A last consonant after a single vowel is doubled: run, running; but read, reading.
    doubled = len(word) > 2 and word[-1] not in "aeiouwxy" and word[-2] in vowels
    doubled = doubled and sum(letter in vowels for letter in word) == 1
    return f"{word}{word[-1]}{ending}" if doubled else word + ending
