"""Finds the tokens nearest to a string, in the code and in both trained arms (paper, section 6).

Notable:

- Any string has a vector in the code and in the kron arm. In the bpe arm only a token has one; for
  other strings the mean of their tokens' rows is used, and the result says so.
- Similarity in the code is a count of shared cells, computed for the whole vocabulary at once: one
  comparison per byte of the string, on a table of bytes stored by position.
- `relation`: typographic if the canonical forms are equal, morphological if they have the same root
  (`kronviz.morphology`; the paper tests only whether one contains the other, which makes "hundred"
  and "red" relatives), otherwise other.

>>> nearest = neighbors("run", pos_dim=16, vocabulary="r50k_base", k=3)
>>> [neighbor.text for neighbor in nearest.spaces[0].neighbors]
['runs', 'ru', 'runner']
"""

from __future__ import annotations

import functools
import string as ascii_
import unicodedata
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from kronviz import codec
from kronviz.model import GPT
from kronviz.morphology import kin
from kronviz.predictor import Predictor, TokenView
from kronviz.settings import StringSettings, setting
from kronviz.strings import (
    CHUNK,
    embeds_bytes,
    known_tokenizer,
    positions,
    readable,
    string_bytes,
    token_ids,
    tokens,
    whole_number,
)
from kronviz.tokenizer import VOCABULARIES, TokenBytes, Tokenizer, token_set

MAX_NEIGHBORS = 100


@dataclass(frozen=True, kw_only=True)
class NeighborSettings(StringSettings):
    """The settings of a search for a string's neighbours."""

    k: int = setting(10, "Number of neighbours", low=1, high=MAX_NEIGHBORS)
    vocabulary: str = setting(
        "", f"{', '.join(VOCABULARIES)} for the code; empty for the pair's own"
    )


@dataclass(frozen=True)
class Neighbor:
    """A token near a string.

    Attributes:
        hex: the token's bytes.
        similarity: cosine with the string in the space that was searched.
        relation: ``typographic``, ``morphological`` or ``other``.
    """

    id: int
    text: str
    hex: str
    similarity: float
    relation: str


@dataclass(frozen=True)
class SpaceNeighbors:
    """The nearest tokens in one space.

    Attributes:
        space: ``code``, ``kron`` or ``bpe``.
        vocabulary: name of the vocabulary that was searched.
        basis: how the string got its vector: ``bytes``, ``token`` (its row of the table) or
            ``mean`` (the mean of its tokens' rows, which no model computes).
        neighbors: nearest first, ties by id, without tokens that have the string's own bytes.
    """

    space: str
    vocabulary: str
    basis: str
    neighbors: tuple[Neighbor, ...]


@dataclass(frozen=True)
class NeighborReport:
    """The nearest tokens of a string in every space that the pair has.

    Attributes:
        canonical: the string without leading space and punctuation, in lower case.
        tokens: the string's tokens; empty without a pair.
    """

    text: str
    canonical: str
    pos_dim: int
    spaces: tuple[SpaceNeighbors, ...]
    tokens: tuple[TokenView, ...]
    pair: str | None


@dataclass(frozen=True)
class CodeTable:
    """The bytes of every token of a vocabulary, cut for the code, by position.

    Attributes:
        columns: int16, shape ``(pos_dim, n_vocab)``; -1 where a token has ended.
        lengths: int64, shape ``(n_vocab,)``.
    """

    columns: NDArray[np.int16]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, packed: TokenBytes, pos_dim: int) -> CodeTable:
        """Return the table of a vocabulary's tokens."""
        starts, lengths = packed.offsets[:-1], np.diff(packed.offsets)
        for token in np.flatnonzero(lengths > pos_dim):
            lengths[token] = len(codec.truncate(packed[int(token)], pos_dim))
        columns = np.full((pos_dim, len(packed)), -1, np.int16)
        for position in range(pos_dim):
            reach = lengths > position
            columns[position, reach] = packed.data[starts[reach] + position]
        return cls(columns, lengths)

    def similarities(self, data: bytes) -> NDArray[np.float64]:
        """Return the cosines of a string's code with every token's: float64, ``(n_vocab,)``."""
        data = codec.truncate(data, len(self.columns))
        shared = np.zeros(self.columns.shape[1], np.int16)
        for column, byte in zip(self.columns, data, strict=False):
            shared += column == byte
        return shared / np.sqrt(np.maximum(self.lengths, 1) * max(len(data), 1))


def neighbors(
    text: str | bytes,
    predictor: Predictor | None = None,
    *,
    k: int = NeighborSettings.k,
    pos_dim: int | None = None,
    vocabulary: str | None = None,
) -> NeighborReport:
    """Find the nearest tokens of a string in the code and in both trained arms.

    Args:
        text: a string, or any bytes.
        predictor: the pair to search; without one only the code is searched.
        k: number of neighbours, 1 to `MAX_NEIGHBORS`.
        pos_dim: positions of the code; by default the pair's, or 16 without a pair. The kron arm
            always uses the ``pos_dim`` that it was trained with.
        vocabulary: whose tokens' codes are searched: a name for `load_tokenizer`; by default the
            pair's, or GPT-2's without a pair. In the arms the pair's own vocabulary is searched.

    Raises:
        InputError: the string is empty or too long, or an argument is out of range.
    """
    data = string_bytes(text)
    pos_dim = positions(pos_dim, predictor)
    k = whole_number(k, "k", 1, MAX_NEIGHBORS)
    tokenizer = known_tokenizer(vocabulary or (predictor.tokenizer.name if predictor else ""))
    spaces = [
        _space(
            "code",
            tokenizer,
            "bytes",
            code_table(tokenizer.name, pos_dim).similarities(data),
            data,
            k,
        )
    ]
    if predictor:
        for arm in ("kron", "bpe"):
            if arm in predictor.arms and (asked := _ask(predictor, arm, data)):
                spaces.append(_space(arm, predictor.tokenizer, *asked, data, k))
    return NeighborReport(
        text=readable(data),
        canonical=canonical(data) or "",
        pos_dim=pos_dim,
        spaces=tuple(spaces),
        tokens=tokens(predictor, data),
        pair=predictor.pair if predictor else None,
    )


def canonical(data: bytes) -> str | None:
    """Return a string without leading space and punctuation, in lower case (paper, section 6).

    A string of punctuation only keeps it; bytes that are not UTF-8 have no canonical form.
    """
    if not codec.is_utf8(data):
        return None
    text = data.decode().strip()
    return "".join(c for c in text if not _is_punctuation(c)).lower() or text.lower()


def relation(first: str | None, second: str | None) -> str:
    """Return how two canonical forms are related, as in `Neighbor.relation`."""
    if not first or not second:
        return "other"
    if first == second:
        return "typographic"
    return "morphological" if kin(first, second) else "other"


@functools.lru_cache(maxsize=16)
def code_table(vocabulary: str, pos_dim: int) -> CodeTable:
    """Return the `CodeTable` of a vocabulary, cached."""
    return CodeTable.of(token_set(vocabulary).vocabulary, pos_dim)


@functools.lru_cache(maxsize=8)
@torch.inference_mode()
def unit_table(model: GPT) -> Tensor:
    """Return a model's input embedding of every token, normalised: float32, ``(n_vocab, d_model)``.

    A token without bytes, whose vector is zero, stays zero.
    """
    ids = torch.arange(model.n_vocab, device=model.device)
    return torch.cat([F.normalize(model.wte(part).float(), dim=1) for part in ids.split(CHUNK)])


@torch.inference_mode()
def _ask(predictor: Predictor, arm: str, data: bytes) -> tuple[str, NDArray[np.float64]] | None:
    """Return how a string gets its vector in an arm, and the vector's cosine with every token."""
    model = predictor.arms[arm]
    table = unit_table(model)
    if embeds_bytes(predictor, arm):
        basis, vector = "bytes", model.wte.embed_bytes([data])[0]  # type: ignore[operator]
    else:
        ids = token_ids(predictor, data)
        if not ids:
            return None
        basis = "token" if len(ids) == 1 else "mean"
        vector = model.wte(torch.tensor(ids, device=model.device)).mean(0)
    return basis, (table @ F.normalize(vector.float(), dim=0)).double().cpu().numpy()


def top(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the indices of the ``k`` largest values, largest first, ties by index, int64 ``(k,)``.

    Unlike `nearest.top`, also among ties for the last places.
    """
    floor = np.partition(values, len(values) - k)[len(values) - k]
    candidates = np.flatnonzero(values >= floor)
    return candidates[np.argsort(-values[candidates], kind="stable")[:k]]


def _space(
    space: str,
    tokenizer: Tokenizer,
    basis: str,
    similarities: NDArray[np.float64],
    data: bytes,
    k: int,
) -> SpaceNeighbors:
    form = canonical(data)
    # One more than asked for, because the string itself may be among them.
    candidates = top(similarities, min(k + 1, len(similarities)))
    near = []
    for token in candidates:
        own = tokenizer.token_bytes(int(token))
        if own == data or not own:
            continue
        near.append(
            Neighbor(
                int(token),
                tokenizer.token_text(int(token)),
                own.hex(),
                float(similarities[token]),
                relation(form, canonical(own)),
            )
        )
    return SpaceNeighbors(space, tokenizer.name, basis, tuple(near[:k]))


def _is_punctuation(character: str) -> bool:
    return character in ascii_.punctuation or unicodedata.category(character).startswith("P")
