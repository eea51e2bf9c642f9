"""The fused encoder on a CPU: compiled loops over slices of the work, one slice a thread.

Notable:

- Float32 and float64; numba knows no half precision.
- Small batches stay on the thread that asks.
- Ids are checked before anything is read through them.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from kronviz import codec
from kronviz.encoders import loops, pages, unknown_id
from kronviz.encoders.codes import Code, NGrams, n_rows
from kronviz.encoders.threads import share

ALONE = 1 << 17
"""Numbers of output below which a second thread costs more than it saves."""
PAST = 16 << 20
"""Bytes of output from which on it is written past the caches: a good part of the last one, which
then keeps what it has. The next one to read a smaller one still finds it there."""
SAMPLES = 16
"""Numbers of a projection that are compared to see whether it has changed."""
ROWS, COLUMNS = 64, loops.BAND
"""Unit in which threads share a batch, and the width of a gradient."""


def warm_up() -> None:
    """Compile, or load from disk, what a float32 model needs."""
    loops.compiled("float32")


def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> Tensor:
    """Embed ids; arguments, result and errors as for `plain.encode`."""
    if mean is None:
        mean = weight.mean(0)
    return prepare(weight, mean, data, offsets, code)(ids)


def prepare(
    weight: Tensor, mean: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> Callable[[Tensor], Tensor]:
    """Return `encode` for ids to come: what does not depend on them is done once."""
    matrix, center = weight.detach().contiguous(), mean.detach().contiguous()
    compiled = loops.compiled(_name(matrix.dtype), len(code) > 1)
    known, width, dtype = len(offsets) - 1, weight.shape[1], weight.dtype
    projection = matrix.data_ptr(), width * matrix.itemsize, center.data_ptr()
    vocabulary = data.numpy(), offsets.numpy(), *factors(tuple(code), _name(dtype))

    # The function holds what it has the addresses of.
    def embed(ids: Tensor, held: tuple[Tensor, Tensor] = (matrix, center)) -> Tensor:
        flat = _known_ids(compiled, ids, known)
        count = flat.numel()
        out = pages.empty((count, width), dtype)
        arguments = *projection, flat.data_ptr(), *vocabulary, out.data_ptr(), _fits_no_cache(out)
        if count * width < ALONE:
            compiled.encode(*arguments, 0, count)
        else:
            share(functools.partial(compiled.encode, *arguments), count, ROWS)
        return out

    return embed


def backward(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code) -> Tensor:
    """Return the gradient of the rows, ``(R, d_model)``; arguments as for `plain.encode`."""
    source = grad.detach().contiguous()
    name, width = _name(grad.dtype), grad.shape[1]
    compiled = loops.compiled(name, len(code) > 1)
    flat = _known_ids(compiled, ids, len(offsets) - 1)
    out = pages.empty((n_rows(code), width), grad.dtype)
    tables = factors(tuple(code), name)
    batch: tuple[Any, ...]
    if len(code) > 1:
        batch = *_by_token(compiled, flat, data, offsets, code), tables[1]
    else:
        batch = flat.numel(), flat.data_ptr(), data.numpy(), offsets.numpy(), *tables
    work = functools.partial(compiled.backward, source.data_ptr(), *batch, _view(out))
    share(work, width, COLUMNS, alone=out.numel() < ALONE)
    return out


def _by_token(
    compiled: loops.Loops, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return places of a batch by token and where each token's end; its rows and where they end."""
    tokens, order = ids.reshape(-1).sort(stable=True)
    tokens, sizes = tokens.unique_consecutive(return_counts=True)
    counts = NGrams(*code).counts(tokens, offsets[tokens + 1] - offsets[tokens])
    ends, bounds = (F.pad(each.cumsum(0), (1, 0)).numpy() for each in (sizes, counts))
    cells = np.empty(bounds[-1], np.int32)
    vocabulary = tokens.numpy(), data.numpy(), offsets.numpy(), tuple(code)
    assert compiled.select is not None
    select = functools.partial(compiled.select, *vocabulary, bounds, cells)
    share(select, len(tokens), ROWS, alone=cells.size < ALONE)
    return order.int().numpy(), ends, bounds, cells


def sampled(weight: Tensor) -> Callable[[], bool]:
    """Take samples of a projection; the function returned says whether one of them has changed.

    A version counter does not move for what is written through numpy, by PyTorch's fused optimizers
    or by another process. Few of these leave all samples as they were.
    """
    # Less by one number, so that samples do not all lie in one column.
    step, count = weight.nbytes // SAMPLES // 8 * 8 - 8, SAMPLES
    if step <= 0 or not weight.is_contiguous():
        return lambda: False
    # Of a float64 the half with the exponent.
    start = weight.data_ptr() + max(weight.itemsize - 4, 0)
    kept = (ctypes.c_int32 * count)()
    for place in range(count):
        ctypes.memmove(ctypes.addressof(kept) + 4 * place, start + place * step, 4)
    differs, address = loops.compiled("float32").differs, ctypes.addressof(kept)

    def changed(held: object = kept) -> bool:
        return differs(start, step, count, address)

    return changed


def _fits_no_cache(out: Tensor) -> bool:
    aligned = out.data_ptr() % loops.VECTOR == 0 == out.stride(0) * out.itemsize % loops.VECTOR
    return aligned and out.nbytes >= PAST


@functools.lru_cache(maxsize=64)
def factors(code: tuple[int, ...], dtype: str) -> tuple[Any, NDArray]:
    """Return what the loops need to know of a code.

    Returns:
        Of the Kronecker code, for every length L, ``1 / (σ √L)`` and L times that, 0 for a token
        without bytes. Of n-grams the code itself, and the root of the number of rows.
    """
    if len(code) > 1:
        return code, np.array([n_rows(code) ** 0.5]).astype(dtype)
    pos_dim = code[0]
    lengths = np.arange(pos_dim + 1)
    gains = [1 / (codec.moments(n, pos_dim)[1] * n**0.5) for n in range(1, pos_dim + 1)]
    exact = np.array([0.0, *gains])
    return exact.astype(dtype), (exact * lengths).astype(dtype)


def _known_ids(compiled: loops.Loops, ids: Tensor, known: int) -> Tensor:
    flat = ids.long().contiguous()
    stranger = compiled.first_unknown(flat.data_ptr(), flat.numel(), known)
    if stranger >= 0:
        raise unknown_id(int(flat.reshape(-1)[stranger]), known)
    return flat


def _name(dtype: torch.dtype) -> str:
    return "float64" if dtype == torch.float64 else "float32"


def _view(tensor: Tensor) -> NDArray:
    """Return a numpy array of a tensor's memory. Unlike with `Tensor.numpy`, it can still be
    resized.
    """
    memory = (ctypes.c_byte * tensor.nbytes).from_address(tensor.data_ptr())
    return np.frombuffer(memoryview(memory), _name(tensor.dtype)).reshape(tensor.shape)
