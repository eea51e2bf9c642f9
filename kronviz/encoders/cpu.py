"""The fused encoder on a CPU: compiled loops over slices of the work, one slice a thread.

Notable:

- Float32 and float64; numba knows no half precision.
- As many threads as PyTorch uses, started on first need and left alone by small batches.
- Ids are checked before anything is read through them.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kronviz import codec
from kronviz.encoders import loops

ALONE = 1 << 17
"""Numbers of output below which a second thread costs more than it saves."""
ROWS, COLUMNS = 64, 96
"""Least part that a thread takes of a batch, and of the width of a gradient."""
PARTS = 4
"""Parts a thread."""
LINE = 16
"""Parts begin at multiples of this, so that threads share no cache line."""


def warm_up() -> None:
    """Compile, or load from disk, what a float32 model needs."""
    loops.compiled("float32")


def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int
) -> Tensor:
    """Embed ids; arguments, result and errors as for `plain.encode`."""
    if mean is None:
        mean = weight.mean(0)
    matrix = weight.detach().contiguous().numpy()
    compiled = loops.compiled(matrix.dtype.name)
    flat = _known_ids(compiled, ids, offsets)
    out = torch.empty(len(flat), weight.shape[1], dtype=weight.dtype)
    arguments = (
        matrix,
        mean.detach().contiguous().numpy(),
        flat,
        data.numpy(),
        offsets.numpy(),
        *factors(pos_dim, matrix.dtype.name),
        out.numpy(),
    )
    _share(functools.partial(compiled.encode, *arguments), len(flat), out.numel(), ROWS)
    return out


def backward(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int) -> Tensor:
    """Gradient of the projection, ``(D, d_model)``; arguments as for `plain.encode`."""
    array = grad.detach().contiguous().numpy()
    compiled = loops.compiled(array.dtype.name)
    flat = _known_ids(compiled, ids, offsets)
    width = grad.shape[1]
    out = torch.empty(codec.dimension(pos_dim), width, dtype=grad.dtype)
    arguments = (
        array,
        flat,
        data.numpy(),
        offsets.numpy(),
        factors(pos_dim, array.dtype.name)[0],
        out.numpy(),
    )
    _share(functools.partial(compiled.backward, *arguments), width, out.numel(), COLUMNS)
    return out


@functools.lru_cache(maxsize=64)
def factors(pos_dim: int, dtype: str) -> tuple[NDArray, NDArray]:
    """For every length L: ``1 / (σ √L)``, and L times that; 0 for a token without bytes."""
    lengths = np.arange(pos_dim + 1)
    gains = [1 / (codec.moments(n, pos_dim)[1] * n**0.5) for n in range(1, pos_dim + 1)]
    exact = np.array([0.0, *gains])
    return exact.astype(dtype), (exact * lengths).astype(dtype)


def _known_ids(compiled: loops.Loops, ids: Tensor, offsets: Tensor) -> NDArray:
    flat = ids.long().contiguous().numpy()
    known = len(offsets) - 1
    stranger = compiled.first_unknown(flat, known)
    if stranger >= 0:
        raise unknown_id(int(flat[stranger]), known)
    return flat


def unknown_id(token: int, known: int) -> IndexError:
    """What to say about an id that a vocabulary of ``known`` tokens does not have."""
    return IndexError(f"ids hold {token}; this vocabulary has ids 0 … {known - 1}")


def _share(work: Callable[[int, int], None], total: int, size: int, unit: int) -> None:
    """Do ``work(first, last)`` for ``[0, total)``, on several threads if there is enough to do.

    Threads take a part of at least ``unit`` as they become free, so that one which the system holds
    up holds up nobody.
    """
    threads = min(torch.get_num_threads(), size // ALONE + 1, total // unit)
    if threads < 2:
        if total:
            work(0, total)
        return
    count = min(PARTS * threads, total // unit)
    edges = [total * part // count // LINE * LINE for part in range(count)] + [total]
    parts = iter(list(itertools.pairwise(edges)))

    def take() -> None:
        # The next item of a list's iterator is handed out once, whoever asks.
        for first, last in parts:
            work(first, last)

    helpers = [_pool().submit(take) for _ in range(threads - 1)]
    take()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


@functools.lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(os.cpu_count() or 1, 2), thread_name_prefix="kronviz-encoder")


if hasattr(os, "register_at_fork"):
    # A forked child has the pool's queue but none of its threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
