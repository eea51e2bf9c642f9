"""Looks up a word on two maps: its family, its nearest tokens in the spaces, and its place.

Notable:

- Nearest means nearest by cosine in the original space, among all of its tokens. The picture serves
  only to count how many of these are near there, too.
- A word that is a token is at its own point. Any other word is placed by its neighbours in the
  original space: at the mean, weighted by cosine, of those that lie close to the nearest one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kronviz.codec import cells, is_utf8
from kronviz.maps.faithfulness import picture_nearest
from kronviz.maps.nearest import top
from kronviz.maps.neighbors import Neighbor, NeighborSettings, canonical, relation
from kronviz.maps.spaces import (
    Space,
    ask,
    code_positions,
    contents,
    own_token,
    space_of,
    spelled,
    vocabulary_of,
)
from kronviz.maps.store import Map, MapError, read_map
from kronviz.maps.words import (
    MAX_WORDS,
    PROBES,
    Member,
    checked_words,
    in_family,
    members,
    spelling,
)
from kronviz.predictor import InputError, Predictor
from kronviz.settings import narrowed, setting
from kronviz.strings import MAX_BYTES, readable, spellings, string_bytes, whole_number
from kronviz.tokenizer import TokenSet, token_set

PLACED_BY = 5
TOGETHER = 0.06
"""Most distance of a neighbour from the nearest one for it to count, as a share of the width."""
MAX_K = 50
_SPACE = "A space, as for the endpoint map"
_LONGEST_ID = 12
_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class MapSettings:
    """The settings of a map's endpoint."""

    space: str = setting(
        "kron",
        "bpe, bpe-1, bpe-2, kron, kron-1, kron-2, code, kron-whole or code-whole; or a space named "
        "by /table or /table_of_files, which is drawn at its first use",
    )
    first: int = setting(0, "Id of the first token whose coordinates are returned")
    count: int = setting(1000, "Number of tokens", low=1, high=60_000)


@dataclass(frozen=True)
class FamilySettings:
    """The settings of the families' figures."""

    space: str = narrowed(MapSettings, "space", help=_SPACE)
    k: int = narrowed(NeighborSettings, "k", high=MAX_K)


@dataclass(frozen=True, kw_only=True)
class SideSettings:
    """The two spaces shown side by side."""

    left: str = setting("bpe", _SPACE)
    right: str = setting("kron", "Another space")


@dataclass(frozen=True, kw_only=True)
class LookUpSettings(SideSettings):
    """The settings of a look-up."""

    text: str = setting(
        ..., f"A word of 1 to {MAX_BYTES} bytes, or #123 for the token with that id"
    )
    k: int = narrowed(FamilySettings, "k")


@dataclass(frozen=True, kw_only=True)
class WordSettings(SideSettings):
    """The words and spaces of a comparison."""

    words: tuple[str, ...] = setting(
        ..., f"1 to {MAX_WORDS} texts of at most {MAX_BYTES} bytes; a layout needs 5"
    )


@dataclass(frozen=True, kw_only=True)
class PlaceSettings(WordSettings):
    """The settings of words placed on maps."""

    k: int = narrowed(FamilySettings, "k", help="Number of neighbours of each word")


@dataclass(frozen=True)
class Shares:
    """The relations of words to their nearest tokens, as shares from 0 to 1 of all neighbours.

    Attributes:
        words: number of words; with none, the shares are 0.
    """

    words: int
    k: int
    typographic: float
    morphological: float
    other: float


@dataclass(frozen=True)
class Standing:
    """A word in one space and on its map.

    Attributes:
        basis: how it got its vector: ``bytes``, ``token`` or ``mean`` (of several tokens; no model
            computes it).
        token: its id if the word is a token on the map, else ``None``.
        x, y: its place, 0 to 1, right and up; ``None`` if there is no map.
        neighbors: the nearest tokens in the original space.
        kept: how many of them are among as many nearest in the picture; ``None`` unless the word
            is a token.
    """

    basis: str
    token: int | None
    x: float | None
    y: float | None
    neighbors: tuple[Neighbor, ...]
    kept: int | None


@dataclass(frozen=True)
class Side:
    """A word and its family in one space.

    Attributes:
        text, hex: the string that was looked up: the word as typed or, if that is not a token, the
            token that it is after a space or in another case.
        family: tokens that belong to the word: relatives, then the nearest in the raw code.
        relatives: number of typographic and morphological relatives, in ``family`` or not.
        shares: of the word and its relatives in ``family``.
    """

    space: str
    arm: str
    title: str
    vocabulary: str
    text: str
    hex: str
    standing: Standing
    family: tuple[Member, ...]
    relatives: int
    shares: Shares


@dataclass(frozen=True)
class LookUp:
    """A word on two maps."""

    pair: str
    text: str
    hex: str
    canonical: str
    k: int
    sides: tuple[Side, ...]
    seconds: float


@dataclass(frozen=True)
class PlacedSide:
    """Words in one space; ``standings`` are in the order of the words."""

    space: str
    arm: str
    title: str
    standings: tuple[Standing, ...]
    shares: Shares


@dataclass(frozen=True)
class Placement:
    """Typed words placed on two maps."""

    pair: str
    words: tuple[str, ...]
    k: int
    sides: tuple[PlacedSide, ...]
    seconds: float


@dataclass(frozen=True)
class Distances:
    """Cosine distances, 0 to 2, between words in two spaces.

    Attributes:
        left, right: one row per word.
    """

    words: tuple[str, ...]
    spaces: tuple[str, str]
    left: tuple[tuple[float, ...], ...]
    right: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class FamilyFigures:
    """A probe family in one space, and the relations of its tokens to their ``k`` nearest.

    Attributes:
        tokens: number of its tokens in the vocabulary.
        in_family: share of the nearest that belong to the family.
    """

    family: str
    space: str
    arm: str
    tokens: int
    in_family: float
    shares: Shares


def look_up(
    text: str | bytes,
    predictor: Predictor,
    left: str = SideSettings.left,
    right: str = SideSettings.right,
    *,
    k: int = LookUpSettings.k,
) -> LookUp:
    r"""Look up a word, or any bytes, on two maps at once.

    Args:
        text: the word; ``#123`` is the token with that id in the pair's vocabulary, and ``\xe2``
            stands for a byte.
        left, right: names in `kronviz.maps.spaces.SPACES`.
        k: number of neighbours, 1 to `MAX_K`.

    Raises:
        InputError: an argument is invalid.
    """
    started = time.perf_counter()
    data = named_bytes(text, predictor)
    k = whole_number(k, "k", 1, MAX_K)
    sides = []
    for name in (left, right):
        space = space_of(predictor, name)
        vocabulary = vocabulary_of(predictor, space)
        own = _as_token(predictor, space, data)
        family, relatives = members(
            spelled(space, own), vocabulary, code_positions(predictor, space)
        )
        related = [bytes.fromhex(one.hex) for one in family if one.relation != "byte"]
        standings = stand(predictor, space, [own, *related], k)
        sides.append(
            Side(
                name,
                space.arm,
                space.title,
                vocabulary,
                readable(own),
                own.hex(),
                standings[0],
                family,
                relatives,
                shares_of(standings, k),
            )
        )
    return LookUp(
        predictor.pair,
        readable(data),
        data.hex(),
        canonical(data) or "",
        k,
        tuple(sides),
        time.perf_counter() - started,
    )


def _as_token(predictor: Predictor, space: Space, data: bytes) -> bytes:
    """Return the first spelling of a word that is a token of a space; or else the word itself."""
    if not is_utf8(data):
        return data
    tokens = (s for s in spellings(data.decode()) if own_token(predictor, space, s) is not None)
    return next(tokens, data)


def place_words(
    words: Sequence[str],
    predictor: Predictor,
    left: str = SideSettings.left,
    right: str = SideSettings.right,
    *,
    k: int = PlaceSettings.k,
) -> Placement:
    """Place typed words on two maps by their neighbours in the original spaces.

    Args:
        words: 1 to 200 texts of at most 200 bytes; repeated words are dropped.

    Raises:
        InputError: an argument is invalid.
    """
    started = time.perf_counter()
    data = checked_words(words)
    k = whole_number(k, "k", 1, MAX_K)
    sides = []
    for name in (left, right):
        space = space_of(predictor, name)
        standings = stand(predictor, space, data, k, picture=False)
        sides.append(PlacedSide(name, space.arm, space.title, standings, shares_of(standings, k)))
    texts = tuple(readable(word) for word in data)
    return Placement(predictor.pair, texts, k, tuple(sides), time.perf_counter() - started)


def distances(
    words: Sequence[str],
    predictor: Predictor,
    left: str = SideSettings.left,
    right: str = SideSettings.right,
) -> Distances:
    """Return the cosine distances between all pairs of words in two spaces; arguments as for
    `place_words`.
    """
    data = checked_words(words)
    tables = []
    for name in (left, right):
        units = word_vectors(predictor, name, data)
        units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
        apart = (1 - units @ units.T).astype(np.float64).clip(0, 2)
        np.fill_diagonal(apart, 0)
        tables.append(tuple(tuple(row) for row in apart.round(4).tolist()))
    return Distances(tuple(map(readable, data)), (left, right), tables[0], tables[1])


def family_figures(
    predictor: Predictor, space: str, *, k: int = FamilySettings.k
) -> tuple[FamilyFigures, ...]:
    """Return the figures of the probe families in one space; families without tokens are left
    out.
    """
    chosen = space_of(predictor, space)
    tokenizer = token_set(vocabulary_of(predictor, chosen))
    table = spelling(tokenizer.name)
    figures = []
    for place, family in enumerate(PROBES, start=1):
        ids = np.flatnonzero(table.probe == place)
        if not len(ids):
            continue
        standings = stand(
            predictor, chosen, [tokenizer.token_bytes(int(i)) for i in ids], k, picture=False
        )
        near = [one for standing in standings for one in standing.neighbors]
        own = [in_family(family, table.forms[one.id]) for one in near]
        share = sum(own) / max(len(own), 1)
        shares = shares_of(standings, k)
        figures.append(FamilyFigures(family.name, space, chosen.arm, len(ids), share, shares))
    return tuple(figures)


def word_vectors(predictor: Predictor, space: str, words: Sequence[bytes]) -> NDArray[np.float32]:
    """Return the vectors of words in a space: float32, ``(words, d)``; for the code, indicators of
    the cells that any of the words uses.
    """
    chosen = space_of(predictor, space)
    asked = ask(predictor, chosen, words)
    if not isinstance(asked.vectors, tuple):
        return asked.vectors.numpy()
    pos_dim = code_positions(predictor, chosen)
    used = [cells(word, pos_dim) for word in asked.vectors]
    columns = {
        cell: place for place, cell in enumerate(sorted({int(c) for own in used for c in own}))
    }
    indicators = np.zeros((len(words), len(columns)), np.float32)
    for row, own in enumerate(used):
        indicators[row, [columns[int(cell)] for cell in own]] = 1
    return indicators


def named_bytes(text: str | bytes, predictor: Predictor) -> bytes:
    r"""Return the bytes of a word, or of the token that ``#id`` names, with ``\xe2`` read as a
    byte.
    """
    if isinstance(text, str) and text[:1] == "#" and text[1:].isdecimal():
        tokenizer = predictor.tokenizer
        number = int(text[1:] if len(text) <= _LONGEST_ID else tokenizer.n_vocab)
        if number < tokenizer.n_vocab and tokenizer.token_bytes(number):
            return tokenizer.token_bytes(number)
        raise InputError(
            f"There is no token {text[:9]}; this vocabulary has ids 0 to {tokenizer.n_vocab - 1:,}."
        )
    data = string_bytes(text, "word")
    return (
        data
        if isinstance(text, bytes)
        else _BYTE.sub(lambda two: bytes.fromhex(two[1].decode()), data)
    )


def stand(
    predictor: Predictor, space: Space, words: Sequence[bytes], k: int, *, picture: bool = True
) -> tuple[Standing, ...]:
    """Return the standings of words in a space; with ``picture``, also count the first word's
    neighbours in the picture.
    """
    content = contents(predictor, space)
    tokenizer = token_set(vocabulary_of(predictor, space))
    own = [own_token(predictor, space, word) for word in words]
    asked = ask(predictor, space, words)
    similar = content.similarities(asked.vectors)
    for row, token in enumerate(own):
        if token is not None:
            similar[row, token] = -np.inf
    near = top(similar, min(max(k, PLACED_BY), len(content) - 1))
    drawn = _map(predictor, space)
    places = _places(drawn, own, near, similar) if drawn else None
    standings = []
    for row, (word, token) in enumerate(zip(words, own, strict=True)):
        neighbors = _neighbors(tokenizer, word, near[row, :k], similar[row])
        kept = None
        if drawn is not None and picture and row == 0 and token is not None:
            seen = picture_nearest(drawn.points.astype(float), np.array([token]), len(neighbors))
            kept = len({one.id for one in neighbors} & set(seen[0].tolist()))
        x, y = places[row] if places is not None else (None, None)
        standings.append(Standing(asked.basis[row], token, x, y, neighbors, kept))
    return tuple(standings)


def shares_of(standings: Sequence[Standing], k: int) -> Shares:
    """Return the shares of each relation among the neighbours of standings."""
    near = [one.relation for standing in standings for one in standing.neighbors]
    typographic, morphological, other = (
        near.count(name) / max(len(near), 1) for name in ("typographic", "morphological", "other")
    )
    return Shares(len(standings), k, typographic, morphological, other)


def _map(predictor: Predictor, space: Space) -> Map | None:
    try:
        return read_map(predictor, space.name)
    except MapError:
        return None


def _places(
    drawn: Map, own: Sequence[int | None], near: NDArray[np.int64], similar: NDArray[np.float32]
) -> list[tuple[float, float]]:
    flat = drawn.unit
    by = near[:, :PLACED_BY]
    weights = np.take_along_axis(similar, by, 1).clip(1e-6)
    distance = np.linalg.norm(flat[by] - flat[by[:, :1]], axis=2)
    weights = np.where(distance <= TOGETHER, weights, 0)
    means = (flat[by] * weights[..., None]).sum(1) / weights.sum(1, keepdims=True)
    return [
        tuple(float(v) for v in (flat[token] if token is not None else mean))  # type: ignore[misc]
        for token, mean in zip(own, means, strict=True)
    ]


def _neighbors(
    tokenizer: TokenSet, word: bytes, near: NDArray[np.int64], similar: NDArray[np.float32]
) -> tuple[Neighbor, ...]:
    forms = spelling(tokenizer.name).forms
    form = canonical(word)
    return tuple(
        Neighbor(
            int(token),
            tokenizer.token_text(int(token)),
            tokenizer.token_bytes(int(token)).hex(),
            round(float(similar[token]), 4),
            relation(form, forms[token]),
        )
        for token in near
    )
