"""What a model is given for a string: its cells, its moments, and what each cell adds.

Notable:

- `encode` goes the whole way: bytes, cut, cells of the code (paper, section 3), mean and divisor
  of the z-normalisation, the exact inverse, and each cell's part in the trained projection.
- Positions count from 1, as in the paper; the index of a cell is ``byte * pos_dim + position - 1``.

>>> encode("run", pos_dim=16).length
3
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from kronviz import codec
from kronviz.predictor import Predictor, TokenView
from kronviz.settings import setting
from kronviz.strings import (
    MAX_BYTES,
    MAX_POS_DIM,
    MIN_POS_DIM,
    cosines,
    kron_embedding,
    owners,
    positions,
    readable,
    string_bytes,
    summands,
    tokens,
)


@dataclass(frozen=True, kw_only=True)
class CodeSettings:
    """The shape of the code that strings are looked at in."""

    pos_dim: int = setting(
        0,
        f"Positions of the code, {MIN_POS_DIM} to {MAX_POS_DIM}; 0 for what the model was trained "
        "with",
    )

    @property
    def positions(self) -> int | None:
        """``pos_dim``, where one was asked for."""
        return self.pos_dim or None


@dataclass(frozen=True, kw_only=True)
class StringSettings(CodeSettings):
    """What one string can be looked at for."""

    text: str = setting(..., f"A string of 1 to {MAX_BYTES} bytes")


@dataclass(frozen=True)
class Contribution:
    """What one vector adds to an embedding that is a sum of vectors.

    Attributes:
        norm: Euclidean length of the vector.
        cosine: of the vector with the whole embedding; below 0 it pulls the other way.
        share: its length along the embedding, as a part of the embedding's: the shares of all
            cells and of the background are 1 together.
    """

    norm: float
    cosine: float
    share: float


@dataclass(frozen=True)
class Cell:
    """A lit cell of a code.

    Attributes:
        position: from 1, as in the paper.
        byte: 0 … 255, the row of the grid.
        hex: the byte in two digits.
        character: the character that the byte belongs to; empty where it belongs to none.
        part: which of the character's bytes it is, from 1; ``parts`` is how many there are.
        index: of the cell in the flat code, ``byte * pos_dim + position - 1``.
        contribution: to the embedding of the kron arm; ``None`` without an arm trained at this
            ``pos_dim``.
    """

    position: int
    byte: int
    hex: str
    character: str
    part: int
    parts: int
    index: int
    contribution: Contribution | None


@dataclass(frozen=True)
class ByteView:
    """A string as its code and as the embedding that the kron arm makes of it.

    Attributes:
        text: the string; ``hex`` its bytes.
        n_bytes: all bytes of the string.
        length: L, the bytes that the code keeps.
        cut_hex: the bytes that the code does not keep.
        cut_text: the same as text; ``cut_inside`` says that the cut was moved forward, off the
            middle of a character.
        dimension: D, the cells of the code, 256 · ``pos_dim``.
        value: 1/√L, what a lit cell holds before z-normalisation.
        mean: of the code's D entries; ``deviation`` is what z-normalisation divides by.
        lit: what a lit cell holds after it; ``unlit`` what each other cell holds.
        decoded_hex: the bytes that `codec.decode` reads back from the z-normalised vector.
        exact: whether they are the bytes that the code keeps.
        tokens: how the pair's tokenizer cuts the string; empty without a pair.
        embedding_norm: length of the kron arm's embedding; ``None`` as for a cell's contribution.
        background: the part of the embedding that all strings of this length have in common.
    """

    text: str
    hex: str
    n_bytes: int
    pos_dim: int
    length: int
    cut_hex: str
    cut_text: str
    cut_inside: bool
    dimension: int
    value: float
    mean: float
    deviation: float
    lit: float
    unlit: float
    cells: tuple[Cell, ...]
    decoded_hex: str
    exact: bool
    tokens: tuple[TokenView, ...]
    pair: str | None
    trained_pos_dim: int | None
    embedding_norm: float | None
    background: Contribution | None


def encode(
    text: str | bytes, predictor: Predictor | None = None, *, pos_dim: int | None = None
) -> ByteView:
    """Look inside the code of a string.

    Args:
        text: a string, or any bytes, of 1 to `MAX_BYTES` bytes.
        predictor: a pair, for what its kron arm makes of the cells.
        pos_dim: positions of the code; the pair's own, or 16, if left out.

    Raises:
        InputError: the string is empty or too long, or ``pos_dim`` is out of range.
    """
    data = string_bytes(text)
    pos_dim = positions(pos_dim, predictor)
    kept = codec.truncate(data, pos_dim)
    length = len(kept)
    vector = codec.z_code(kept, pos_dim)
    mean, deviation = codec.moments(length, pos_dim)
    value = 1 / math.sqrt(length)
    decoded = codec.decode(vector, pos_dim)
    norm, background, parts = _contributions(predictor, kept, pos_dim)
    cells = [
        Cell(position, byte, f"{byte:02x}", *owner, int(index), part)
        for position, (byte, owner, index, part) in enumerate(
            zip(kept, owners(kept), codec.cells(kept, pos_dim), parts, strict=True), start=1
        )
    ]
    kron = kron_embedding(predictor)
    return ByteView(
        text=readable(data),
        hex=data.hex(),
        n_bytes=len(data),
        pos_dim=pos_dim,
        length=length,
        cut_hex=data[length:].hex(),
        cut_text=readable(data[length:]),
        cut_inside=length < min(pos_dim, len(data)),
        dimension=codec.dimension(pos_dim),
        value=value,
        mean=mean,
        deviation=deviation,
        lit=(value - mean) / deviation,
        unlit=-mean / deviation,
        cells=tuple(cells),
        decoded_hex=decoded.hex(),
        exact=decoded == kept,
        tokens=tokens(predictor, data),
        pair=predictor.pair if predictor else None,
        trained_pos_dim=kron.pos_dim if kron else None,
        embedding_norm=norm,
        background=background,
    )


@torch.inference_mode()
def _contributions(
    predictor: Predictor | None, kept: bytes, pos_dim: int
) -> tuple[float | None, Contribution | None, list[Contribution | None]]:
    kron = kron_embedding(predictor)
    if kron is None or kron.pos_dim != pos_dim:
        return None, None, [None] * len(kept)
    rows, common, whole = summands(kron, kept)
    vectors = torch.cat([rows, common[None]])
    size = max(float(whole.norm()), 1e-12)
    parts = [
        Contribution(norm, cosine, norm * cosine / size)
        for norm, cosine in zip(vectors.norm(dim=1).tolist(), cosines(vectors, whole), strict=True)
    ]
    return float(whole.norm()), parts[-1], list(parts[:-1])
