"""The spaces that have a map, with the vectors of their tokens and of typed words.

Notable:

- A trained space is centred: the mean over its vocabulary is subtracted before any cosine, as in
  the layered probe (paper, section 6.8). The raw code is compared uncentred, in closed form.
- After a block, a token's vector is the residual stream when the token is read alone.
- Any bytes have a vector in the code, in kron and in every arm that embeds any string. bpe has
  vectors of tokens only: a word of several tokens gets their mean, which no model computes, and is
  marked as such.
- kron and its code cover GPT-2's whole vocabulary, whatever vocabulary the pair was trained on.
- A visitor's own model adds two spaces, for those who know their names: the rows of its table, and
  the code of the same tokens. `kronviz.probes.own_model` makes and stores them.
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
from kronviz.checkpoint_files import PAIR
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
"""Prefixes of the names of the two spaces of a visitor's own model; its key follows."""
READ_AT_ONCE = 1024
CACHED = 6
"""Trained spaces in memory at once: 51 MB each for 50,257 vectors of width 256."""


@dataclass(frozen=True)
class Space:
    """A space that has a map.

    Attributes:
        name: its name in the API and in file names.
        arm: the arm that it belongs to; ``code`` belongs to kron.
        depth: 0 for the input embedding, else the number of the block whose output it is.
        title: its name on the page.
        whole: whether it has GPT-2's whole vocabulary instead of the pair's own.
        key: key of a visitor's own model; empty for the spaces of a pair.
    """

    name: str
    arm: str
    depth: int
    title: str
    whole: bool = False
    key: str = ""

    @property
    def coded(self) -> bool:
        """Return whether it is the raw, untrained code."""
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
    """Return the spaces of a pair: those of its arms, up to their depth."""
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
    """Return the name of the vocabulary whose tokens are in a space."""
    if space.key:
        return table_of(space.key).tokens.name
    return WHOLE if space.whole else predictor.tokenizer.name


@dataclass(frozen=True)
class Asked:
    """The vectors of words in a space.

    Attributes:
        basis: for each word ``bytes``, ``token`` (one token) or ``mean`` (of several tokens).
        vectors: float32, ``(words, d)``, or the words' bytes if the space is the code.
    """

    basis: tuple[str, ...]
    vectors: Tensor | tuple[bytes, ...]


class Vectors:
    """All vectors of a trained space, centred.

    Args:
        raw: the vectors, float32, shape ``(n, d)``.
        overwrite: centre them in place, so that they need no second copy.

    Attributes:
        rows: the centred vectors, normalised: float32, shape ``(n, d)``.
        lengths: their norms, by which they were divided, shape ``(n, 1)``.
        mean: the mean that was subtracted before, shape ``(d,)``.
    """

    def __init__(self, raw: Tensor, *, overwrite: bool = False):
        self.mean = raw.mean(0)
        self.rows = torch.sub(raw, self.mean, out=raw if overwrite else None)
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
    """The codes of a vocabulary, compared by counting shared cells."""

    def __init__(self, vocabulary: str, pos_dim: int):
        self._vocabulary = token_set(vocabulary).vocabulary
        self.table: CodeTable = code_table(vocabulary, pos_dim)

    def __len__(self) -> int:
        return len(self._vocabulary)

    def similarities(self, vectors: Tensor | Sequence[bytes]) -> NDArray[np.float32]:
        """Return the similarities of strings with every token: float32, ``(m, n)``."""
        assert not isinstance(vectors, Tensor)
        similar = np.empty((len(vectors), len(self)), np.float32)
        for row, data in enumerate(vectors):
            similar[row] = self.table.similarities(data)
        return similar

    def own(self, ids: NDArray[np.int64]) -> tuple[bytes, ...]:
        """Return the bytes of tokens."""
        return tuple(self._vocabulary[int(token)] for token in ids)


class OwnModelTokens(TokenSet):
    """The tokens of a visitor's own model that are on its map.

    Attributes:
        ids: the id of each in the model's own token list, int64, shape ``(n,)``.
    """

    def __init__(self, name: str, tokens: Sequence[bytes], ids: Sequence[int], starts: set[int]):
        super().__init__(name, TokenBytes.of(tokens))
        self.ids = np.asarray(ids, np.int64)
        # Among tokens with the same bytes, one that begins a word is preferred at a word's start,
        # and one that does not elsewhere.
        order = sorted(range(len(tokens)), key=lambda place: (place in starts, -place))
        self._first = {tokens[place]: place for place in order}
        self._later = {
            tokens[place]: place for place in sorted(order, key=lambda p: (p not in starts, -p))
        }
        self._longest = max(map(len, tokens), default=0)
        self._spaces = any(token[:1] == b" " for token in tokens)

    def spelled(self, data: bytes) -> bytes:
        """Return a word as this vocabulary writes it: without leading space if no token has one."""
        return data if self._spaces else data.lstrip(b" ") or data

    def find(self, data: bytes) -> int | None:
        """Return the token that spells a whole word, or ``None``."""
        return self._first.get(self.spelled(data))

    def cut(self, data: bytes) -> list[int]:
        """Return tokens that spell bytes, the longest possible one first, then of the rest, and so
        on.

        The model's own tokenizer may cut differently. Bytes that no token spells are skipped.
        """
        data = self.spelled(data)
        pieces: list[int] = []
        start = 0
        while start < len(data):
            known = self._later if pieces else self._first
            for size in range(min(self._longest, len(data) - start), 0, -1):
                place = known.get(data[start : start + size])
                if place is not None:
                    pieces.append(place)
                    break
            else:
                size = 1
            start += size
        return pieces


@dataclass(frozen=True, eq=False)
class OwnModel:
    """A visitor's own model, ready for the map.

    Attributes:
        key: a random string that cannot be guessed; the names of its spaces end in it.
        source: what was read, as the visitor named it.
        listed: number of tokens of the table; ``tokens`` are those on the map.
        maps: the maps drawn of its spaces, by name; `maps.store` puts them here.
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
        """Return the names of the spaces of its rows and of its code."""
        return TABLE + self.key, TABLE_CODE + self.key


_tables: weakref.WeakValueDictionary[str, OwnModel] = weakref.WeakValueDictionary()


def known_table(table: OwnModel) -> None:
    """Register a table, so that its spaces are found, as long as someone else references it."""
    _tables[table.key] = table
    hold(table.tokens)


def table_of(key: str) -> OwnModel:
    """Return a visitor's own model by its key; `InputError` if it is not in memory."""
    table = _tables.get(key)
    if table is None:
        raise InputError(
            "This table is no longer in memory; read it again in “Your model”, or choose another "
            "map."
        )
    return table


def contents(predictor: Predictor, space: Space) -> Vectors | Codes:
    """Return all vectors of a space, cached."""
    if space.coded:
        return _codes(vocabulary_of(predictor, space), code_positions(predictor, space))
    if space.key:
        return table_of(space.key).vectors
    return _vectors(predictor.arms[space.arm], space.depth, vocabulary_of(predictor, space))


def code_positions(predictor: Predictor, space: Space) -> int:
    """Return the ``pos_dim`` of the code that goes with a space."""
    return table_of(space.key).pos_dim if space.key else positions(None, predictor)


@torch.inference_mode()
def ask(predictor: Predictor, space: Space, words: Sequence[bytes]) -> Asked:
    """Return the vectors of words in a space.

    Raises:
        InputError: the arm has a table, and some bytes are neither a token nor text.
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
    """Return the tokens of a visitor's own model that spell bytes; a single one if possible."""
    own = table.tokens.find(data)
    pieces = table.tokens.cut(data) if own is None else [own]
    if not pieces:
        raise InputError("No token of your table spells any of this word; try another one.")
    return pieces


def spelled(space: Space, data: bytes) -> bytes:
    """Return a word as the vocabulary of a space writes it."""
    return table_of(space.key).tokens.spelled(data) if space.key else data


def own_token(predictor: Predictor, space: Space, data: bytes) -> int | None:
    """Return the token of a space's vocabulary that has these bytes, if there is one."""
    if space.key:
        return table_of(space.key).tokens.find(data)
    return ids_by_bytes(vocabulary_of(predictor, space)).get(data)


def token_ids(predictor: Predictor, data: bytes) -> list[int]:
    """Return the tokens of a pair's vocabulary that spell bytes; a single one if possible."""
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


@functools.lru_cache(maxsize=CACHED)
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
