"""`View`: the usable tokens of a table, and their nearest neighbours.

Notable:

- A word is looked up as typed, then with a space before it, then in other cases; among tokens with
  the same bytes, one that begins a word is preferred.
- Cosines of many words with all rows are one matrix product; the rows are never copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kronviz.maps.neighbors import CodeTable, Neighbor, canonical, relation, top
from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import fits
from kronviz.probes.cross_model.geometry import mean_row, row_lengths
from kronviz.probes.cross_model.lexicon import Lexicon, lexicon
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.strings import readable, spellings
from kronviz.tokenizer import TokenBytes

MIN_TOKENS = 16
NEAREST = 10
WORDS_AT_ONCE = 32
SPACES = ("table", "code")
Near = tuple[NDArray[np.int64], NDArray[np.float64]]


class View:
    """The usable tokens of a table: their rows, their codes and their spelling.

    Attributes:
        ids: ids of the tokens with bytes and a usable row, int64, ``(n,)``.
        problems: sentences on what was left out.
        warnings: sentences on why the figures may be wrong.
        lengths: norms of all rows of the table, float64.
    """

    def __init__(self, table: VectorTable, tokens: TokenList, pos_dim: int):
        self.table, self.tokens, self.pos_dim = table, tokens, pos_dim
        self.lengths = row_lengths(table.vectors)
        self.problems = [*table.notes, *tokens.notes]
        self.warnings: list[str] = []
        self.ids = self._usable()
        self.data = [tokens.tokens[token] for token in self.ids.tolist()]

    @cached_property
    def spelling(self) -> Lexicon:
        """Return the words among the tokens."""
        return lexicon(self.tokens, self.ids.tolist())

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Return the mean row."""
        return mean_row(self.table.vectors, self.ids)

    @cached_property
    def codes(self) -> CodeTable:
        """Return the byte codes."""
        return CodeTable.of(TokenBytes.of(self.data), self.pos_dim)

    @cached_property
    def _by_bytes(self) -> dict[bytes, int]:
        places: dict[bytes, int] = {}
        for place, data in enumerate(self.data):
            known = places.get(data)
            if known is None or self._begins(place) > self._begins(known):
                places[data] = place
        return places

    def find(self, word: str) -> int | None:
        """Return the index of the token that spells a word, or ``None``."""
        return next((self._by_bytes[d] for d in spellings(word) if d in self._by_bytes), None)

    def nearest(self, places: Sequence[int], space: str) -> list[Near]:
        """Return the indices and cosines of each token's nearest, without the token itself."""
        most = min(NEAREST, len(self.ids) - 1)
        if space == "code":
            by_code = []
            for place in places:
                similar = self.codes.similarities(self.data[place])
                similar[place] = -np.inf
                near = top(similar, most)
                by_code.append((near, similar[near]))
            return by_code
        return [
            near
            for start in range(0, len(places), WORDS_AT_ONCE)
            for near in self._nearest_rows(places[start : start + WORDS_AT_ONCE], most)
        ]

    def neighbors(self, places: Sequence[int], space: str) -> list[tuple[Neighbor, ...]]:
        """Return `nearest` as results."""
        return [
            tuple(
                Neighbor(
                    int(self.ids[near]),
                    readable(self.data[near]),
                    self.data[near].hex(),
                    float(cosine),
                    relation(canonical(self.data[place]), canonical(self.data[near])),
                )
                for near, cosine in zip(*nearest, strict=True)
            )
            for place, nearest in zip(places, self.nearest(places, space), strict=True)
        ]

    def _nearest_rows(self, places: Sequence[int], most: int) -> list[Near]:
        own = self.ids[np.asarray(places)]
        asked = self.table.vectors[own] / self.lengths[own, None].astype(np.float32)
        with np.errstate(all="ignore"):
            similar = asked @ self.table.vectors.T
            nearest = []
            for row, place in enumerate(places):
                cosines = similar[row, self.ids] / self.lengths[self.ids]
                cosines[place] = -np.inf
                near = top(cosines, most)
                nearest.append((near, cosines[near]))
        return nearest

    def _begins(self, place: int) -> bool:
        return self.tokens.starts[self.ids[place]]

    def _usable(self) -> NDArray[np.int64]:
        table, tokens = self.table, self.tokens
        rows = len(table.vectors)
        spare = table.rows - len(tokens)
        if spare < -tokens.tail:
            raise InputError(
                f"The table has {table.rows:,} rows and the token list {len(tokens):,} tokens, so "
                "they are of different models; choose both from the same model."
            )
        if rows < table.rows:
            self.problems.append(f"Only the first {rows:,} of {table.rows:,} rows were read.")
        if spare < 0:
            self.problems.append(
                f"The last {_count(-spare, 'token')} of the list, special or added, have no row in "
                "this table."
            )
        if spare > 0:
            extra = f"{_count(spare, 'row')} at the end without a token left out."
            (self.problems if fits(table.rows, tokens) < 2 else self.warnings).append(extra)
        count = min(rows, len(tokens))
        lengths = self.lengths[:count]
        broken = ~np.isfinite(lengths)
        # The square of a longer row would overflow float32, so it cannot be compared.
        fine = np.isfinite(lengths) & (lengths > 0) & (lengths < 1e18)
        if broken.any():
            first = int(np.flatnonzero(broken)[0])
            self.problems.append(
                f"{_count(int(broken.sum()), 'row')} with numbers that are not finite (the first "
                f"is row {first:,}) left out."
            )
        if zero := int((lengths == 0).sum()):
            self.problems.append(f"{_count(zero, 'row')} of zeros left out.")
        ids = [token for token in np.flatnonzero(fine).tolist() if tokens.tokens[token]]
        if len(ids) < MIN_TOKENS:
            raise InputError(
                f"Only {len(ids)} tokens have both bytes and a row of finite numbers that are not "
                f"all 0; at least {MIN_TOKENS} are needed. Check that both files are of one model."
            )
        return np.array(ids, np.int64)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
