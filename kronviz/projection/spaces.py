"""The spaces that have a map: where a vector comes from, and what stands for a typed word there.

Notable:

- A trained space is centred: the mean over its vocabulary is taken off before any cosine, as in
  the layered probe (paper, section 6.8). The raw code is compared as it is, in closed form.
- After a block, a token is what the residual stream holds when it is read alone.
- Any bytes have a place in the code and in kron. bpe knows tokens: a word of several is the mean
  of them, which no model computes, and is marked so.
- kron and its code can be asked about GPT-2's whole vocabulary whatever the pair was trained on.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kronviz.codec import is_utf8
from kronviz.model import GPT
from kronviz.predictor import InputError, Predictor
from kronviz.probes.neighbors import CodeTable, code_table
from kronviz.probes.strings import CHUNK, kron_embedding, one_of, positions
from kronviz.projection.nearest import cosines
from kronviz.tokenizer import load_tokenizer

WHOLE = "r50k_base"
"""Vocabulary of the whole-vocabulary spaces."""
READ_AT_ONCE = 1024
KEPT = 6
"""Trained spaces held in memory at once: 51 MB each for 50,257 vectors of width 256."""


@dataclass(frozen=True)
class Space:
    """A space that words live in.

    Attributes:
        name: as the API and the files call it.
        arm: the arm that it belongs to; ``code`` belongs to kron's side.
        depth: 0 for the input embedding, else the number of the block that has been passed.
        title: as the page calls it.
        whole: whether it holds GPT-2's whole vocabulary instead of the pair's own.
    """

    name: str
    arm: str
    depth: int
    title: str
    whole: bool = False

    @property
    def coded(self) -> bool:
        """Whether it is the untrained code."""
        return self.name.startswith("code")


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
    )
}


def spaces(predictor: Predictor) -> tuple[Space, ...]:
    """The spaces of a pair: those of its arms, as deep as they are."""
    return tuple(
        space
        for space in SPACES.values()
        if space.arm in predictor.arms
        and space.depth <= predictor.arms[space.arm].config.n_layer
        and not (space.whole and predictor.tokenizer.name == WHOLE)
    )


def space_of(predictor: Predictor, name: str) -> Space:
    """A space of a pair by its name; `InputError` if the pair has none such."""
    return SPACES[one_of(name, "map", [space.name for space in spaces(predictor)])]


def vocabulary_of(predictor: Predictor, space: Space) -> str:
    """Name of the vocabulary whose tokens a space holds."""
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
        """Cosines of centred vectors ``(m, d)`` with every row: float32, ``(m, n)``."""
        assert isinstance(vectors, Tensor)
        units = torch.nn.functional.normalize(vectors, dim=1)
        return cosines(units, self.rows)

    def own(self, ids: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """The centred vectors of tokens."""
        chosen = torch.as_tensor(ids)
        return self.rows[chosen] * self.lengths[chosen]


class Codes:
    """All codes of a vocabulary, compared by counting shared cells."""

    def __init__(self, vocabulary: str, pos_dim: int):
        self._vocabulary = load_tokenizer(vocabulary).vocabulary
        self.table: CodeTable = code_table(vocabulary, pos_dim)

    def __len__(self) -> int:
        return len(self._vocabulary)

    def similarities(self, vectors: Tensor | Sequence[bytes]) -> NDArray[np.float32]:
        """Similarities of strings with every token: float32, ``(m, n)``."""
        assert not isinstance(vectors, Tensor)
        found = np.empty((len(vectors), len(self)), np.float32)
        for row, data in enumerate(vectors):
            found[row] = self.table.similarities(data)
        return found

    def own(self, ids: NDArray[np.int64]) -> tuple[bytes, ...]:
        """The bytes of tokens."""
        return tuple(self._vocabulary[int(token)] for token in ids)


def contents(predictor: Predictor, space: Space) -> Vectors | Codes:
    """Everything that lives in a space, kept for the next question."""
    if space.coded:
        return _codes(vocabulary_of(predictor, space), positions(None, predictor))
    return _vectors(predictor.arms[space.arm], space.depth, vocabulary_of(predictor, space))


@torch.inference_mode()
def ask(predictor: Predictor, space: Space, words: Sequence[bytes]) -> Asked:
    """What stands for words in a space.

    Raises:
        InputError: bytes that are no text and no token have no vector in the bpe arm.
    """
    if space.coded:
        return Asked(("bytes",) * len(words), tuple(words))
    content = contents(predictor, space)
    assert isinstance(content, Vectors)
    model = predictor.arms[space.arm]
    kron = kron_embedding(predictor)
    if space.arm == "kron" and kron is not None:
        if not words:
            return Asked((), content.rows[:0])
        raw = kron.embed_bytes(words)
        if space.depth:
            ids = torch.zeros(len(words), 1, dtype=torch.long, device=model.device)
            forced: dict[tuple[int, ...], bytes] = {(row, 0): w for row, w in enumerate(words)}
            raw = model.residual_stream(ids, forced=forced, depth=space.depth)[-1][:, 0]
        return Asked(("bytes",) * len(words), raw.float().cpu() - content.mean)
    pieces = [token_ids(predictor, data) for data in words]
    basis = tuple("token" if len(ids) == 1 else "mean" for ids in pieces)
    vectors = [content.own(ids).mean(0) for ids in pieces]
    return Asked(basis, torch.stack(vectors) if vectors else content.rows[:0])


def token_ids(predictor: Predictor, data: bytes) -> list[int]:
    """The tokens of a pair's vocabulary that bytes are cut into; one where they are one."""
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
    """The id of every token by its bytes."""
    packed = load_tokenizer(vocabulary).vocabulary
    return {packed[token]: token for token in reversed(range(len(packed))) if packed[token]}


@functools.lru_cache(maxsize=4)
def _codes(vocabulary: str, pos_dim: int) -> Codes:
    return Codes(vocabulary, pos_dim)


@functools.lru_cache(maxsize=KEPT)
@torch.inference_mode()
def _vectors(model: GPT, depth: int, vocabulary: str) -> Vectors:
    if vocabulary != model.config.vocabulary:
        packed = load_tokenizer(vocabulary).vocabulary
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
