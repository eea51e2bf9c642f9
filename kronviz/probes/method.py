"""Shows the method on one string: the rows of the projection that its bytes select, and their sum.

Notable:

- The embedding is the sum of the scaled rows of the set cells and one vector that all strings of
  the same length have in common (paper, section 3), up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kronviz.predictor import InputError, Predictor
from kronviz.probes.byteview import Cell, encode
from kronviz.settings import StringSettings, check, narrowed, setting
from kronviz.strings import kron_embedding, summands


@dataclass(frozen=True)
class MethodSettings:
    """The settings of the method's picture."""

    text: str = narrowed(StringSettings, "text")
    numbers: int = setting(
        24, "Number of components of each vector, from the first on", low=1, high=4096
    )


@dataclass(frozen=True)
class Method:
    """From a string to its vector, step by step.

    Attributes:
        pair: the pair whose kron arm was used.
        text: the string.
        cells: its set cells, in the order of its bytes.
        pos_dim: positions of the code.
        dimension: number of cells, 256 · ``pos_dim``, and of rows of the projection.
        d_model: size of a vector.
        rows: for each set cell the first components of what it adds.
        common: the first components of what all strings of this length have in common.
        vector: the first components of the embedding, the sum of ``rows`` and ``common``.
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


def method(text: str, predictor: Predictor, *, numbers: int = MethodSettings.numbers) -> Method:
    """Follow a string through the byte code and the trained projection.

    Args:
        text: 1 to 200 bytes.
        predictor: a pair with a kron arm.
        numbers: number of components of each vector, from the first on.

    Raises:
        InputError: the string is empty or too long, or the pair has no kron arm.
    """
    asked = MethodSettings(text, numbers)
    check(asked)
    kron = kron_embedding(predictor)
    if kron is None:
        raise InputError(f"The pair {predictor.pair} has no kron model; choose another pair.")
    seen = encode(asked.text, predictor, pos_dim=kron.pos_dim)
    rows, common, whole = summands(kron, bytes(cell.byte for cell in seen.cells))

    def first(vector: torch.Tensor) -> tuple[float, ...]:
        return tuple(vector[: asked.numbers].tolist())

    return Method(
        pair=predictor.pair,
        text=seen.text,
        cells=seen.cells,
        pos_dim=kron.pos_dim,
        dimension=seen.dimension,
        d_model=kron.embedding_dim,
        rows=tuple(first(row) for row in rows),
        common=first(common),
        vector=first(whole),
    )
