"""The tokens nearest to a string, in the code and in both trained tables (paper, section 6).

Notable:

- Any string has a place in the code and in the kron arm. In the bpe arm only a token has one;
  for other strings the mean of their tokens' rows is asked, and the answer says so.
- Similarity in the code is a count of shared cells over the whole vocabulary at once: one compare
  a byte of the string, on a table of bytes held position by position.
- `relation`: typographic where the canonical forms are equal, morphological where they are forms of
  one root (`kronviz.morphology`; the paper asks only whether one holds the other, which makes
  "hundred" and "red" relatives), other where neither.

>>> nearest = neighbors("run", pos_dim=16, vocabulary="r50k_base", k=3)
>>> [found.text for found in nearest.spaces[0].neighbors]
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
from kronviz.settings import setting
from kronviz.strings import (
    CHUNK,
    MAX_BYTES,
    MAX_POS_DIM,
    MIN_POS_DIM,
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


@dataclass(frozen=True)
class NeighborSettings:
    """Which nearest tokens of a string are asked for."""

    text: str = setting(..., f"A string of 1 to {MAX_BYTES} bytes")
    k: int = setting(10, "How many neighbours", low=1, high=MAX_NEIGHBORS)
    vocabulary: str = setting(
        "", f"{', '.join(VOCABULARIES)} for the code; empty for the pair's own"
    )
    pos_dim: int = setting(
        0,
        f"Positions of the code, {MIN_POS_DIM} to {MAX_POS_DIM}; 0 for what the model was trained "
        "with",
    )


@dataclass(frozen=True)
class Neighbor:
    """A token near a string.

    Attributes:
        hex: the token's bytes.
        similarity: cosine with the string in the space that it was found in.
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
        basis: what stood for the string: ``bytes``, ``token`` (its row of the table) or ``mean``
            (the mean of its tokens' rows, which no model computes).
        neighbors: nearest first; equal ones by id. Tokens with the string's own bytes are left out.
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
        tokens: how the pair's tokenizer cuts the string; empty without a pair.
    """

    text: str
    canonical: str
    pos_dim: int
    spaces: tuple[SpaceNeighbors, ...]
    tokens: tuple[TokenView, ...]
    pair: str | None


@dataclass(frozen=True)
class CodeTable:
    """The kept bytes of every token of a vocabulary, position by position.

    Attributes:
        columns: int16, shape ``(pos_dim, n_vocab)``; -1 where a token has ended.
        lengths: int64, shape ``(n_vocab,)``.
    """

    columns: NDArray[np.int16]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, packed: TokenBytes, pos_dim: int) -> CodeTable:
        """Return the table of any tokens."""
        starts, lengths = packed.offsets[:-1], np.diff(packed.offsets)
        # Only a token longer than pos_dim can be cut, and only there the cut looks at characters.
        for token in np.flatnonzero(lengths > pos_dim):
            lengths[token] = len(codec.truncate(packed[int(token)], pos_dim))
        columns = np.full((pos_dim, len(packed)), -1, np.int16)
        for position in range(pos_dim):
            reach = lengths > position
            columns[position, reach] = packed.data[starts[reach] + position]
        return cls(columns, lengths)

    def similarities(self, data: bytes) -> NDArray[np.float64]:
        """Return the similarity of the code of a string with every token's: float64,
        ``(n_vocab,)``.
        """
        kept = codec.truncate(data, len(self.columns))
        shared = np.zeros(self.columns.shape[1], np.int16)
        for column, byte in zip(self.columns, kept, strict=False):
            shared += column == byte
        return shared / np.sqrt(np.maximum(self.lengths, 1) * max(len(kept), 1))


def neighbors(
    text: str | bytes,
    predictor: Predictor | None = None,
    *,
    k: int = NeighborSettings.k,
    pos_dim: int | None = None,
    vocabulary: str | None = None,
) -> NeighborReport:
    """Find the nearest tokens of a string in the code and in both trained tables.

    Args:
        text: a string, or any bytes.
        predictor: the pair whose tables are asked; without one only the code is.
        k: how many, 1 to `MAX_NEIGHBORS`.
        pos_dim: of the code; the pair's own, or 16, if left out. The kron arm is always asked at
            the ``pos_dim`` that it was trained with.
        vocabulary: what the code is searched in: a name for `load_tokenizer`; the pair's own, or
            GPT-2's, if left out. Trained tables are searched in the pair's own.

    Raises:
        InputError: the string is empty or too long, or an argument is out of range.
    """
    data = string_bytes(text)
    pos_dim = positions(pos_dim, predictor)
    k = whole_number(k, "k", 1, MAX_NEIGHBORS)
    tokenizer = known_tokenizer(vocabulary or (predictor.tokenizer.name if predictor else ""))
    found = [
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
                found.append(_space(arm, predictor.tokenizer, *asked, data, k))
    return NeighborReport(
        text=readable(data),
        canonical=canonical(data) or "",
        pos_dim=pos_dim,
        spaces=tuple(found),
        tokens=tokens(predictor, data),
        pair=predictor.pair if predictor else None,
    )


def canonical(data: bytes) -> str | None:
    """Return a string without leading space and punctuation, in lower case (paper, section 6).

    A string of nothing else keeps its punctuation; bytes that are not UTF-8 have no such form.
    """
    if not codec.is_utf8(data):
        return None
    text = data.decode().strip()
    return "".join(c for c in text if not _is_punctuation(c)).lower() or text.lower()


def relation(first: str | None, second: str | None) -> str:
    """Return how two canonical forms are related: ``typographic``, ``morphological`` or
    ``other``.
    """
    if not first or not second:
        return "other"
    if first == second:
        return "typographic"
    return "morphological" if kin(first, second) else "other"


@functools.lru_cache(maxsize=16)
def code_table(vocabulary: str, pos_dim: int) -> CodeTable:
    """Return the `CodeTable` of a vocabulary, kept for the next question."""
    return CodeTable.of(token_set(vocabulary).vocabulary, pos_dim)


@functools.lru_cache(maxsize=8)
@torch.inference_mode()
def unit_table(model: GPT) -> Tensor:
    """Return a model's input embedding of every token, each of length 1: float32, ``(n_vocab,
    d_model)``.

    A token without bytes, whose vector is zero, stays zero.
    """
    ids = torch.arange(model.n_vocab, device=model.device)
    return torch.cat([F.normalize(model.wte(part).float(), dim=1) for part in ids.split(CHUNK)])


@torch.inference_mode()
def _ask(predictor: Predictor, arm: str, data: bytes) -> tuple[str, NDArray[np.float64]] | None:
    """Return what stands for a string in an arm, and its cosine with every token."""
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
    """Return the places of the ``k`` largest values, largest first, equal ones in order: int64,
    ``(k,)``.
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
    # One more than asked for: the string itself may be among them, and only once.
    candidates = top(similarities, min(k + 1, len(similarities)))
    found = []
    for token in candidates:
        own = tokenizer.token_bytes(int(token))
        if own == data or not own:
            continue
        found.append(
            Neighbor(
                int(token),
                tokenizer.token_text(int(token)),
                own.hex(),
                float(similarities[token]),
                relation(form, canonical(own)),
            )
        )
    return SpaceNeighbors(space, tokenizer.name, basis, tuple(found[:k]))


def _is_punctuation(character: str) -> bool:
    return character in ascii_.punctuation or unicodedata.category(character).startswith("P")
