"""The fused encoder on a CPU: compiled loops, shared among threads in slices.

Notable:

- Float32 and float64 only: numba has no half precision.
- Small batches run on the calling thread.
- Ids are checked before they are used as indices.
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
"""Output elements below which a second thread costs more than it saves."""
PAST = 16 << 20
"""Output bytes from which on results are written past the caches. This is a good part of the
last-level cache: a larger result would evict everything else, while a smaller one is still cached
when it is read next."""
SAMPLES = 16
"""Elements of a projection that are compared to detect a change."""
ROWS, COLUMNS = 64, loops.BAND
"""Threads take a multiple of so many rows of a batch, or columns of a gradient."""


def warm_up() -> None:
    """Compile the float32 loops, or load them from disk."""
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
    """Return a function that embeds ids; everything that does not depend on the ids is done here,
    once.
    """
    matrix, center = weight.detach().contiguous(), mean.detach().contiguous()
    compiled = loops.compiled(_name(matrix.dtype), len(code) > 1)
    known, width, dtype = len(offsets) - 1, weight.shape[1], weight.dtype
    projection = matrix.data_ptr(), width * matrix.itemsize, center.data_ptr()
    vocabulary = data.numpy(), offsets.numpy(), *factors(tuple(code), _name(dtype))

    # The default argument keeps the tensors alive whose addresses the loops are given.
    def embed(ids: Tensor, alive: tuple[Tensor, Tensor] = (matrix, center)) -> Tensor:
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
    """Return a batch's positions grouped by token and where each group ends, then where each
    token's rows end and the rows.
    """
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
    """Take samples of a projection; return a function that tells whether one of them changed.

    PyTorch's version counter misses writes through numpy, by fused optimizers and from other
    processes. Such writes rarely leave all samples unchanged.
    """
    # 8 bytes less than an even step, so that the samples do not all lie in one column.
    step, count = weight.nbytes // SAMPLES // 8 * 8 - 8, SAMPLES
    if step <= 0 or not weight.is_contiguous():
        return lambda: False
    # Of a float64, the half that holds the exponent.
    start = weight.data_ptr() + max(weight.itemsize - 4, 0)
    samples = (ctypes.c_int32 * count)()
    for place in range(count):
        ctypes.memmove(ctypes.addressof(samples) + 4 * place, start + place * step, 4)
    differs, address = loops.compiled("float32").differs, ctypes.addressof(samples)

    def changed(alive: object = samples) -> bool:
        return differs(start, step, count, address)

    return changed


def _fits_no_cache(out: Tensor) -> bool:
    aligned = out.data_ptr() % loops.VECTOR == 0 == out.stride(0) * out.itemsize % loops.VECTOR
    return aligned and out.nbytes >= PAST


@functools.lru_cache(maxsize=64)
def factors(code: tuple[int, ...], dtype: str) -> tuple[Any, NDArray]:
    """Return the arguments by which the loops know a code.

    Returns:
        For the Kronecker code, ``1 / (σ √L)`` for every length L (0 for L = 0), and L times that.
        For n-grams, the code itself and the square root of the number of rows.
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
    unknown = compiled.first_unknown(flat.data_ptr(), flat.numel(), known)
    if unknown >= 0:
        raise unknown_id(int(flat.reshape(-1)[unknown]), known)
    return flat


def _name(dtype: torch.dtype) -> str:
    return "float64" if dtype == torch.float64 else "float32"


def _view(tensor: Tensor) -> NDArray:
    """Return a numpy array on a tensor's memory; unlike after `Tensor.numpy`, the tensor's storage
    can still be resized.
    """
    memory = (ctypes.c_byte * tensor.nbytes).from_address(tensor.data_ptr())
    return np.frombuffer(memoryview(memory), _name(tensor.dtype)).reshape(tensor.shape)
