"""The inputs of the layered probe: words of the families, sentences with typos, look-alikes.

All depend on the spellings of a vocabulary and are computed once.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations, takewhile

import numpy as np
from numpy.typing import NDArray

from kronviz.families import FAMILIES
from kronviz.maps.neighbors import canonical
from kronviz.probes.pairs import load_pairs
from kronviz.tokenizer import Tokenizer, load_tokenizer

MIN_LETTERS = 5


@dataclass(frozen=True)
class Spellings:
    """The spellings of a vocabulary, and the words that are probed.

    Attributes:
        forms: a number for each token's canonical form, int64 ``(n_vocab,)``.
        texts: each token, readable.
        words: ids of the probed words, int64 ``(words,)``.
        families: the family of each, int64 ``(words,)``.
        roots, members: bool ``(families, n_vocab)``, the tokens that count for M and for S.
    """

    forms: NDArray[np.int64]
    texts: tuple[str, ...]
    words: NDArray[np.int64]
    families: NDArray[np.int64]
    roots: NDArray[np.bool_]
    members: NDArray[np.bool_]


@functools.lru_cache(maxsize=4)
def spellings(vocabulary: str) -> Spellings:
    """Return the `Spellings` of a vocabulary."""
    tokenizer = load_tokenizer(vocabulary)
    data = [tokenizer.token_bytes(token) for token in range(tokenizer.n_vocab)]
    # Tokens that are not text have no canonical form; each gets a form of its own.
    forms = [canonical(own) or f"\0{token}" for token, own in enumerate(data)]
    numbers = {form: number for number, form in enumerate(dict.fromkeys(forms))}
    ids = {own: token for token, own in enumerate(data)}
    asked = [
        (ids[spelled.encode()], place)
        for place, family in enumerate(FAMILIES)
        for member in family.members
        for spelled in (f" {member}", member)
        if spelled.encode() in ids
    ]
    return Spellings(
        forms=np.array([numbers[form] for form in forms]),
        texts=tuple(tokenizer.token_text(token) for token in range(tokenizer.n_vocab)),
        words=np.array([token for token, _ in asked], np.int64),
        families=np.array([place for _, place in asked], np.int64),
        roots=np.array([[family.root in form for form in forms] for family in FAMILIES]),
        members=np.array(
            [[form in members for form in forms] for members in (set(f.members) for f in FAMILIES)]
        ),
    )


Cut = tuple[tuple[list[int], int], tuple[list[int], int]]
"""Clean and misspelled ids of a sentence, each with the index of the word's last token."""


def sentences(tokenizer: Tokenizer, n_ctx: int) -> list[Cut]:
    """Return our clean/typo pairs with the index of the last token of the word that differs.

    Pairs longer than ``n_ctx`` tokens are left out, and those in which a token crosses the end of
    that word.
    """
    cuts = []
    for pair in load_pairs().pairs:
        backwards = zip(reversed(pair.clean), reversed(pair.typo), strict=False)
        shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], backwards))
        tail = pair.clean[len(pair.clean) - shared :]
        rest = tail[tail.index(" ") :] if " " in tail else ""
        sides = []
        for text in (pair.clean, pair.typo):
            ids = tokenizer.encode(text)
            head = tokenizer.encode(text[: len(text) - len(rest)])
            sides.append((ids, len(head) - 1))
            whole = ids[: len(head)] == head and len(ids) <= n_ctx
            if not whole:
                break
        else:
            cuts.append((sides[0], sides[1]))
    return cuts


@functools.lru_cache(maxsize=4)
def lookalikes(vocabulary: str) -> NDArray[np.int64]:
    """Return pairs of words of at least `MIN_LETTERS` letters that differ in one: ids,
    ``(pairs, 2)``.
    """
    tokenizer = load_tokenizer(vocabulary)
    masked = defaultdict(list)
    for token in range(tokenizer.n_vocab):
        data = tokenizer.token_bytes(token)
        word = data[1:]
        if data[:1] == b" " and word.isalpha() and word.islower() and len(word) >= MIN_LETTERS:
            for place in range(len(word)):
                masked[word[:place] + b"_" + word[place + 1 :]].append(token)
    pairs = [pair for tokens in masked.values() for pair in combinations(tokens, 2)]
    return np.array(pairs, np.int64).reshape(-1, 2)
