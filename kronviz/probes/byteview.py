"""Shows the code of a string: its cells, its moments, and what each cell adds to the embedding.

Notable:

- `encode` covers every step: the bytes, the cut, the cells of the code (paper, section 3), mean and
  divisor of the z-normalisation, the exact inverse, and each cell's share of the trained embedding.
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
from kronviz.strings import (
    cosines,
    kron_embedding,
    owners,
    positions,
    readable,
    string_bytes,
    summands,
    tokens,
)


@dataclass(frozen=True)
class Contribution:
    """One of the vectors that sum to an embedding.

    Attributes:
        norm: Euclidean norm of the vector.
        cosine: cosine with the whole embedding; negative if it points the other way.
        share: length of its projection on the embedding, divided by the embedding's norm. The
            shares of all cells and of the background sum to 1.
    """

    norm: float
    cosine: float
    share: float


@dataclass(frozen=True)
class Cell:
    """A set cell of a code.

    Attributes:
        position: from 1, as in the paper.
        byte: 0 … 255, the row of the grid.
        hex: the byte in two digits.
        character: the character that the byte belongs to; empty if it belongs to none.
        part, parts: which of the character's bytes it is, from 1, and how many there are.
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
    """A string's code, and its embedding in the kron arm.

    Attributes:
        text, hex: the string and its bytes.
        n_bytes: number of bytes of the string.
        length: L, the number of bytes in the code.
        cut_hex, cut_text: the bytes that are cut off, in hex and as text.
        cut_inside: whether the cut was moved forward so as not to split a character.
        dimension: D, the number of cells of the code, 256 · ``pos_dim``.
        value: 1/√L, the value of a set cell before z-normalisation.
        mean, deviation: mean of the code's D entries, and the divisor of z-normalisation.
        lit, unlit: the values of set cells and of all other cells after z-normalisation.
        decoded_hex: the bytes that `codec.decode` recovers from the z-normalised vector.
        exact: whether these are the bytes in the code.
        tokens: the string's tokens; empty without a pair.
        embedding_norm: norm of the kron arm's embedding; ``None`` as for a cell's contribution.
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
    """Return the code of a string, step by step.

    Args:
        text: a string, or any bytes, of 1 to `MAX_BYTES` bytes.
        predictor: a pair, for the contributions of the cells in its kron arm.
        pos_dim: positions of the code; by default the pair's, or 16 without a pair.

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
