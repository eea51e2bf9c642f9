"""The fused encoder on a CPU: compiled loops over slices of the work, one slice a thread.

Notable:

- Float32 and float64; numba knows no half precision.
- Small batches stay on the thread that asks.
- Ids are checked before anything is read through them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kronviz import codec
from kronviz.encoders import loops, pages
from kronviz.encoders.threads import share

ALONE = 1 << 17
"""Numbers of output below which a second thread costs more than it saves."""
PAST = 16 << 20
"""Bytes of output from which on it is written past the caches: a good part of the last one, which
then keeps what it has. Whoever reads a smaller one next still finds it there."""
ROWS, COLUMNS = 64, loops.BAND
"""Unit in which threads share a batch, and the width of a gradient."""


def warm_up() -> None:
    """Compile, or load from disk, what a float32 model needs."""
    loops.compiled("float32")


def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int
) -> Tensor:
    """Embed ids; arguments, result and errors as for `plain.encode`."""
    if mean is None:
        mean = weight.mean(0)
    return prepare(weight, mean, data, offsets, pos_dim)(ids)


def prepare(
    weight: Tensor, mean: Tensor, data: Tensor, offsets: Tensor, pos_dim: int
) -> Callable[[Tensor], Tensor]:
    """`encode` for ids to come: what does not depend on them is done once."""
    matrix = weight.detach().contiguous().numpy()
    compiled = loops.compiled(matrix.dtype.name)
    projection = matrix, mean.detach().contiguous().numpy()
    vocabulary = data.numpy(), offsets.numpy(), *factors(pos_dim, matrix.dtype.name)
    known, width, dtype = len(offsets) - 1, weight.shape[1], weight.dtype

    def embed(ids: Tensor) -> Tensor:
        flat = _known_ids(compiled, ids, known)
        out = pages.empty((len(flat), width), dtype)
        arguments = *projection, flat, *vocabulary, out.numpy(), _fits_no_cache(out)
        work = functools.partial(compiled.encode, *arguments)
        share(work, len(flat), ROWS, alone=out.numel() < ALONE)
        return out

    return embed


def backward(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int) -> Tensor:
    """Gradient of the projection, ``(D, d_model)``; arguments as for `plain.encode`."""
    array = grad.detach().contiguous().numpy()
    compiled = loops.compiled(array.dtype.name)
    flat = _known_ids(compiled, ids, len(offsets) - 1)
    width = grad.shape[1]
    out = pages.empty((codec.dimension(pos_dim), width), grad.dtype)
    arguments = (
        array,
        flat,
        data.numpy(),
        offsets.numpy(),
        *factors(pos_dim, array.dtype.name),
        out.numpy(),
    )
    work = functools.partial(compiled.backward, *arguments)
    share(work, width, COLUMNS, alone=out.numel() < ALONE)
    return out


def _fits_no_cache(out: Tensor) -> bool:
    aligned = out.data_ptr() % loops.VECTOR == 0 == out.stride(0) * out.itemsize % loops.VECTOR
    return aligned and out.nbytes >= PAST


@functools.lru_cache(maxsize=64)
def factors(pos_dim: int, dtype: str) -> tuple[NDArray, NDArray]:
    """For every length L: ``1 / (σ √L)``, and L times that; 0 for a token without bytes."""
    lengths = np.arange(pos_dim + 1)
    gains = [1 / (codec.moments(n, pos_dim)[1] * n**0.5) for n in range(1, pos_dim + 1)]
    exact = np.array([0.0, *gains])
    return exact.astype(dtype), (exact * lengths).astype(dtype)


def _known_ids(compiled: loops.Loops, ids: Tensor, known: int) -> NDArray:
    flat = ids.long().contiguous().numpy()
    stranger = compiled.first_unknown(flat, known)
    if stranger >= 0:
        raise unknown_id(int(flat[stranger]), known)
    return flat


def unknown_id(token: int, known: int) -> IndexError:
    """What to say about an id that a vocabulary of ``known`` tokens does not have."""
    return IndexError(f"ids hold {token}; this vocabulary has ids 0 … {known - 1}")
