"""The method on one string: which rows of the projection its bytes pick, and their sum.

Notable:

- The embedding is the rows of the lit cells, scaled alike, and one vector that all strings of the
  same length have in common (paper, section 3): they add up to what the model reads, to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kronviz.predictor import InputError, Predictor
from kronviz.probes.byteview import Cell, encode
from kronviz.strings import kron_embedding, summands, whole_number

NUMBERS = 24
"""How many numbers of each vector are given unless more are asked for."""


@dataclass(frozen=True)
class Method:
    """From a string to its vector, step by step.

    Attributes:
        pair: whose kron arm computed it.
        text: the string; ``cells`` its lit cells, in the order of its bytes.
        pos_dim: positions of the code.
        dimension: cells of the grid, 256 · ``pos_dim``, and rows of the projection.
        d_model: numbers in a vector.
        rows: for each lit cell the first numbers of what it adds.
        common: the first numbers of what all strings of this length share.
        vector: the first numbers of the embedding: the sum of ``rows`` and ``common``.
    """

    pair: str
    text: str
    cells: tuple[Cell, ...]
    pos_dim: int
    dimension: int
    d_model: int
    rows: tuple[tuple[float, ...], ...]
    common: tuple[float, ...]
    vector: tuple[float, ...]


def method(text: str, predictor: Predictor, *, numbers: int = NUMBERS) -> Method:
    """Follow a string through the byte code and the trained projection.

    Args:
        text: 1 to 200 bytes.
        predictor: a pair with a kron arm.
        numbers: how many numbers of each vector to give, 1 to 4096; no more than there are.

    Raises:
        InputError: the string is empty or too long, or the pair has no kron arm.
    """
    numbers = whole_number(numbers, "numbers", 1, 4096)
    kron = kron_embedding(predictor)
    if kron is None:
        raise InputError(f"The pair {predictor.pair} has no kron model to compute a vector with.")
    seen = encode(text, predictor, pos_dim=kron.pos_dim)
    rows, common, whole = summands(kron, bytes(cell.byte for cell in seen.cells))

    def given(vector: torch.Tensor) -> tuple[float, ...]:
        return tuple(vector[:numbers].tolist())

    return Method(
        pair=predictor.pair,
        text=seen.text,
        cells=seen.cells,
        pos_dim=kron.pos_dim,
        dimension=seen.dimension,
        d_model=kron.embedding_dim,
        rows=tuple(given(row) for row in rows),
        common=given(common),
        vector=given(whole),
    )
