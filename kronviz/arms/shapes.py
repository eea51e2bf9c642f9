"""The shapes of the arms' tensors, known without PyTorch, so that stored weights can be checked.

Each function maps the number of ids, d_model and pos_dim to the shape of each tensor of an
embedding, by its name in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable

from kronviz.codec import dimension

Shapes = Callable[[int, int, int], dict[str, tuple[int, ...]]]


def table(ids: int, d_model: int, pos_dim: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of a row for every id."""
    return {"weight": (ids, d_model)}


def projection(ids: int, d_model: int, pos_dim: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of the code's projection, as the reference stores it."""
    return {"projection.weight": (d_model, dimension(pos_dim))}


def two_layers(ids: int, d_model: int, pos_dim: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of two layers on top of the code."""
    size = dimension(pos_dim)
    return {
        "first.projection.weight": (size, size),
        "second": (size, d_model),
        "norm.weight": (d_model,),
    }


def rotated(ids: int, d_model: int, pos_dim: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a table and of the vectors of bytes that are rotated in pairs.

    Raises:
        ValueError: d_model is odd.
    """
    if d_model % 2:
        raise ValueError(f"d_model is {d_model}; it must be even")
    return {**table(ids, d_model, pos_dim), "letters": (256, d_model)}


def bags(rows: int, own: int = 0, n_pairs: int = 0) -> Shapes:
    """Return the function for bags: shared rows, own rows of the first ids, and rows of pairs."""

    def shapes(ids: int, d_model: int, pos_dim: int) -> dict[str, tuple[int, ...]]:
        pairs = {"pairs": (n_pairs, d_model)} if n_pairs else {}
        return {"weight": (rows + min(own, ids), d_model), **pairs}

    return shapes
