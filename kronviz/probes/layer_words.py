"""What the layered probe asks: words of the families, sentences cut behind a typo, look-alikes.

All of it follows from the spellings of a vocabulary and is worked out once.
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
    """The spellings of a vocabulary, and the words that are asked.

    Attributes:
        forms: a number for each token's canonical form, int64 ``(n_vocab,)``.
        texts: each token, readable.
        words: ids that are asked, int64 ``(words,)``; ``families`` has the family of each.
        roots, members: bool ``(families, n_vocab)``, what counts for M and for S.
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
    # Bytes that are not text have no canonical form: each is a form of its own.
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
"""Clean and misspelled ids of a sentence, each with the place of the word's last token."""


def sentences(tokenizer: Tokenizer, n_ctx: int) -> list[Cut]:
    """Return our clean/typo pairs, cut behind the word that differs.

    Left out are pairs longer than ``n_ctx`` tokens, and those with a token that reaches over it.
    """
    found = []
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
            found.append((sides[0], sides[1]))
    return found


@functools.lru_cache(maxsize=4)
def lookalikes(vocabulary: str) -> NDArray[np.int64]:
    """Return the ids of words of at least `MIN_LETTERS` letters that differ in one: ``(pairs,
    2)``.
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
