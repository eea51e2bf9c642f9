"""The spaces that have a map: where a vector comes from, and what stands for a typed word there.

Notable:

- A trained space is centred: the mean over its vocabulary is taken off before any cosine, as in
  the layered probe (paper, section 6.8). The raw code is compared as it is, in closed form.
- After a block, a token is what the residual stream holds when it is read alone.
- Any bytes have a place in the code, in kron and in every arm that embeds any string. bpe knows
  tokens: a word of several is the mean of them, which no model computes, and is marked so.
- kron and its code can be asked about GPT-2's whole vocabulary whatever the pair was trained on.
- A visitor's own model adds two spaces, for those who know their names: the rows of its table, and
  the code of the same tokens. `kronviz.probes.own_model` makes and keeps them.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kronviz.arms import ARMS
from kronviz.checkpoint import PAIR
from kronviz.codec import is_utf8
from kronviz.maps.nearest import cosines
from kronviz.maps.neighbors import CodeTable, code_table
from kronviz.model import GPT
from kronviz.predictor import InputError, Predictor
from kronviz.strings import CHUNK, embeds_bytes, one_of, positions
from kronviz.tokenizer import TokenBytes, TokenSet, hold, token_set

WHOLE = "r50k_base"
"""Vocabulary of the whole-vocabulary spaces."""
TABLE, TABLE_CODE = "table:", "table-code:"
"""What the names of the two spaces of a visitor's own model begin with; its key follows."""
READ_AT_ONCE = 1024
KEPT = 6
"""Trained spaces held in memory at once: 51 MB each for 50,257 vectors of width 256."""


@dataclass(frozen=True)
class Space:
    """A space that words live in.

    Attributes:
        name: as the API and the files call it.
        arm: the arm that it belongs to; ``code`` belongs to kron.
        depth: 0 for the input embedding, else the number of the block that has been passed.
        title: as the page calls it.
        whole: whether it holds GPT-2's whole vocabulary instead of the pair's own.
        key: of a visitor's own model; empty for the spaces of a pair.
    """

    name: str
    arm: str
    depth: int
    title: str
    whole: bool = False
    key: str = ""

    @property
    def coded(self) -> bool:
        """Whether it is the untrained code."""
        return self.name.startswith(("code", TABLE_CODE))


SPACES = {
    space.name: space
    for space in (
        Space("bpe", "bpe", 0, "learned table"),
        Space("bpe-1", "bpe", 1, "after block 1"),
        Space("bpe-2", "bpe", 2, "after block 2"),
        Space("kron", "kron", 0, "projected code"),
        Space("kron-1", "kron", 1, "after block 1"),
        Space("kron-2", "kron", 2, "after block 2"),
        Space("code", "kron", 0, "raw code"),
        Space("kron-whole", "kron", 0, "projected, all of GPT-2’s tokens", whole=True),
        Space("code-whole", "kron", 0, "raw, all of GPT-2’s tokens", whole=True),
        *(
            Space(f"{arm}-{depth}" if depth else arm, arm, depth, title)
            for arm in ARMS
            if arm not in PAIR
            for depth, title in enumerate(("input vectors", "after block 1", "after block 2"))
        ),
    )
}


def spaces(predictor: Predictor) -> tuple[Space, ...]:
    """Return the spaces of a pair: those of its arms, as deep as they are."""
    return tuple(
        space
        for space in SPACES.values()
        if space.arm in predictor.arms
        and space.depth <= predictor.arms[space.arm].config.n_layer
        and not (space.whole and predictor.tokenizer.name == WHOLE)
    )


def space_of(predictor: Predictor, name: str) -> Space:
    """Return the space of a pair or of a visitor's own model; `InputError` for an unknown name."""
    for start, arm, title in (
        (TABLE, "bpe", "your model’s table"),
        (TABLE_CODE, "kron", "byte code of its tokens"),
    ):
        if isinstance(name, str) and name.startswith(start):
            return Space(name, arm, 0, title, key=table_of(name.removeprefix(start)).key)
    return SPACES[one_of(name, "map", [space.name for space in spaces(predictor)])]


def vocabulary_of(predictor: Predictor, space: Space) -> str:
    """Return the name of the vocabulary whose tokens a space holds."""
    if space.key:
        return table_of(space.key).tokens.name
    return WHOLE if space.whole else predictor.tokenizer.name


@dataclass(frozen=True)
class Asked:
    """What stands for words in a space.

    Attributes:
        basis: for each word ``bytes``, ``token`` (one token) or ``mean`` (of several tokens).
        vectors: float32, ``(words, d)``, or the words' bytes where the space is the code.
    """

    basis: tuple[str, ...]
    vectors: Tensor | tuple[bytes, ...]


class Vectors:
    """All vectors of a trained space, centred.

    Attributes:
        rows: the vectors at length 1: float32, shape ``(n, d)``.
        lengths: what they were divided by, shape ``(n, 1)``.
        mean: what was taken off before, shape ``(d,)``.
    """

    def __init__(self, raw: Tensor):
        self.mean = raw.mean(0)
        self.rows = raw - self.mean
        self.lengths = self.rows.norm(dim=1, keepdim=True)
        self.rows /= self.lengths.clamp(min=1e-12)

    def __len__(self) -> int:
        return len(self.rows)

    def similarities(self, vectors: Tensor | Sequence[bytes]) -> NDArray[np.float32]:
        """Return the cosines of centred vectors ``(m, d)`` with every row: float32, ``(m, n)``."""
        assert isinstance(vectors, Tensor)
        units = torch.nn.functional.normalize(vectors, dim=1)
        return cosines(units, self.rows)

    def own(self, ids: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Return the centred vectors of tokens."""
        chosen = torch.as_tensor(ids)
        return self.rows[chosen] * self.lengths[chosen]


class Codes:
    """All codes of a vocabulary, compared by counting shared cells."""

    def __init__(self, vocabulary: str, pos_dim: int):
        self._vocabulary = token_set(vocabulary).vocabulary
        self.table: CodeTable = code_table(vocabulary, pos_dim)

    def __len__(self) -> int:
        return len(self._vocabulary)

    def similarities(self, vectors: Tensor | Sequence[bytes]) -> NDArray[np.float32]:
        """Return the similarities of strings with every token: float32, ``(m, n)``."""
        assert not isinstance(vectors, Tensor)
        found = np.empty((len(vectors), len(self)), np.float32)
        for row, data in enumerate(vectors):
            found[row] = self.table.similarities(data)
        return found

    def own(self, ids: NDArray[np.int64]) -> tuple[bytes, ...]:
        """Return the bytes of tokens."""
        return tuple(self._vocabulary[int(token)] for token in ids)


class OwnModelTokens(TokenSet):
    """The tokens of a visitor's own model that are on its map.

    Attributes:
        ids: of each in the token list that it came with, int64, shape ``(n,)``.
        starts: whether each begins a word, as its vocabulary writes it.
    """

    def __init__(self, name: str, tokens: Sequence[bytes], ids: Sequence[int], starts: set[int]):
        super().__init__(name, TokenBytes.of(tokens))
        self.ids = np.asarray(ids, np.int64)
        # Of tokens with the same bytes, one that begins a word stands for a word.
        order = sorted(range(len(tokens)), key=lambda place: (place in starts, -place))
        self._begins = {tokens[place]: place for place in order}
        self._goes_on = {
            tokens[place]: place for place in sorted(order, key=lambda p: (p not in starts, -p))
        }
        self._longest = max(map(len, tokens), default=0)
        self._blanks = any(token[:1] == b" " for token in tokens)

    def spelled(self, data: bytes) -> bytes:
        """Return a word as this vocabulary writes it: without its leading space where no token has
        one.
        """
        return data if self._blanks else data.lstrip(b" ") or data

    def find(self, data: bytes) -> int | None:
        """Return the token that a word is."""
        return self._begins.get(self.spelled(data))

    def cut(self, data: bytes) -> list[int]:
        """Return the longest token that bytes begin with, then of what is left, and so on.

        The model's own tokenizer may cut otherwise. What no token begins is passed over.
        """
        data = self.spelled(data)
        found: list[int] = []
        start = 0
        while start < len(data):
            known = self._goes_on if found else self._begins
            for size in range(min(self._longest, len(data) - start), 0, -1):
                place = known.get(data[start : start + size])
                if place is not None:
                    found.append(place)
                    break
            else:
                size = 1
            start += size
        return found


@dataclass(frozen=True, eq=False)
class OwnModel:
    """A visitor's own model, ready for the map.

    Attributes:
        key: nobody can guess it; the names of its spaces end in it.
        source: what was read, as the person named it.
        listed: how many tokens the table has; ``tokens`` are those on the map.
        maps: that were drawn of its spaces, by name; the module `maps` keeps them here.
    """

    key: str
    source: str
    listed: int
    tokens: OwnModelTokens
    vectors: Vectors
    pos_dim: int
    maps: dict[str, object] = field(default_factory=dict)

    @property
    def spaces(self) -> tuple[str, str]:
        """The names of its rows' space and of its code's."""
        return TABLE + self.key, TABLE_CODE + self.key


_tables: weakref.WeakValueDictionary[str, OwnModel] = weakref.WeakValueDictionary()


def known_table(table: OwnModel) -> None:
    """Let the spaces of a table be found, for as long as somebody else keeps it."""
    _tables[table.key] = table
    hold(table.tokens)


def table_of(key: str) -> OwnModel:
    """Return a visitor's own model by its key; `InputError` where it is not in memory."""
    found = _tables.get(key)
    if found is None:
        raise InputError(
            "This table is no longer kept here; read it again in “Your model”, or choose another "
            "map."
        )
    return found


def contents(predictor: Predictor, space: Space) -> Vectors | Codes:
    """Return everything that lives in a space, kept for the next question."""
    if space.coded:
        return _codes(vocabulary_of(predictor, space), code_positions(predictor, space))
    if space.key:
        return table_of(space.key).vectors
    return _vectors(predictor.arms[space.arm], space.depth, vocabulary_of(predictor, space))


def code_positions(predictor: Predictor, space: Space) -> int:
    """Return the positions of the code that a space is compared by."""
    return table_of(space.key).pos_dim if space.key else positions(None, predictor)


@torch.inference_mode()
def ask(predictor: Predictor, space: Space, words: Sequence[bytes]) -> Asked:
    """Return what stands for words in a space.

    Raises:
        InputError: bytes that are not text and no token have no vector in an arm with a table.
    """
    if space.coded:
        return Asked(("bytes",) * len(words), tuple(spelled(space, data) for data in words))
    content = contents(predictor, space)
    assert isinstance(content, Vectors)
    if not space.key and embeds_bytes(predictor, space.arm):
        model = predictor.arms[space.arm]
        if not words:
            return Asked((), content.rows[:0])
        raw = model.wte.embed_bytes(words)  # type: ignore[operator]
        if space.depth:
            ids = torch.zeros(len(words), 1, dtype=torch.long, device=model.device)
            forced: dict[tuple[int, ...], bytes] = {(row, 0): w for row, w in enumerate(words)}
            raw = model.residual_stream(ids, forced=forced, depth=space.depth)[-1][:, 0]
        return Asked(("bytes",) * len(words), raw.float().cpu() - content.mean)
    if space.key:
        pieces = [_pieces(table_of(space.key), data) for data in words]
    else:
        pieces = [token_ids(predictor, data) for data in words]
    basis = tuple("token" if len(ids) == 1 else "mean" for ids in pieces)
    vectors = [content.own(ids).mean(0) for ids in pieces]
    return Asked(basis, torch.stack(vectors) if vectors else content.rows[:0])


def _pieces(table: OwnModel, data: bytes) -> list[int]:
    """Return the token of a visitor's own model that bytes are, or the tokens that they are cut
    into.
    """
    own = table.tokens.find(data)
    found = table.tokens.cut(data) if own is None else [own]
    if not found:
        raise InputError("No token of your table spells any of this word; try another one.")
    return found


def spelled(space: Space, data: bytes) -> bytes:
    """Return a word as the vocabulary of a space writes it."""
    return table_of(space.key).tokens.spelled(data) if space.key else data


def own_token(predictor: Predictor, space: Space, data: bytes) -> int | None:
    """Return the token of a space's vocabulary that bytes are, if they are one."""
    if space.key:
        return table_of(space.key).tokens.find(data)
    return ids_by_bytes(vocabulary_of(predictor, space)).get(data)


def token_ids(predictor: Predictor, data: bytes) -> list[int]:
    """Return the tokens of a pair's vocabulary that bytes are cut into; one where they are one."""
    own = ids_by_bytes(predictor.tokenizer.name).get(data)
    if own is not None:
        return [own]
    if not is_utf8(data):
        raise InputError(
            "These bytes are neither text nor a token of this vocabulary, so bpe has no vector for "
            "them; choose a token or type a text."
        )
    return predictor.tokenizer.encode(data.decode())


@functools.lru_cache(maxsize=4)
def ids_by_bytes(vocabulary: str) -> dict[bytes, int]:
    """Return the id of every token by its bytes."""
    packed = token_set(vocabulary).vocabulary
    return {packed[token]: token for token in reversed(range(len(packed))) if packed[token]}


@functools.lru_cache(maxsize=8)
def _codes(vocabulary: str, pos_dim: int) -> Codes:
    return Codes(vocabulary, pos_dim)


@functools.lru_cache(maxsize=KEPT)
@torch.inference_mode()
def _vectors(model: GPT, depth: int, vocabulary: str) -> Vectors:
    if vocabulary != model.config.vocabulary:
        packed = token_set(vocabulary).vocabulary
        strings = [packed[token] for token in range(len(packed))]
        parts = [
            model.wte.embed_bytes(strings[start : start + CHUNK])  # type: ignore[operator]
            for start in range(0, len(strings), CHUNK)
        ]
        return Vectors(torch.cat(parts).float().cpu())
    ids = torch.arange(model.n_vocab, device=model.device)
    if depth == 0:
        parts = [model.wte(part) for part in ids.split(CHUNK)]
    else:
        parts = [
            model.residual_stream(part[:, None], depth=depth)[-1][:, 0]
            for part in ids.split(READ_AT_ONCE)
        ]
    return Vectors(torch.cat(parts).float().cpu())
