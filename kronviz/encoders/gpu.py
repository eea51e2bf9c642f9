"""The fused encoder on a GPU, forward and backward, in Triton.

Notable:

- Forward is one kernel: id, bytes, rows, sum and z-normalisation in one pass. There are as many
  warps as fill the GPU once; each embeds a few tokens in turn and waits for no other warp.
- Backward uses no atomics, so there is no contention for hot cells (most tokens start with a space)
  and gradients are bitwise reproducible. Ids are sorted and gradients added by token; then each
  cell adds the sums of its tokens. Which tokens select a cell depends on the vocabulary alone
  (`owners`), so the cells of a batch need no sorting.
- Every shape follows from the shapes of the arguments and nothing waits for the GPU, so both
  passes can be captured in a CUDA graph. An id outside the vocabulary reads nothing: its row is
  NaN, and it has no part in the gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import triton.language as tl
from torch import Tensor

from kronviz.encoders import kernels
from kronviz.encoders.codes import Code, n_rows
from kronviz.encoders.launch import launch
from kronviz.encoders.owners import PIECE, owners_of

COLUMNS, BLOCKS, STEPS = 256, 3, 2
"""Forward: columns of a block (16 bytes a lane in bfloat16), the most blocks that a warp holds, and
the bytes of a token whose rows it reads at once."""
RESIDENT = 32
"""Forward: warps on a multiprocessor, as many as its registers allow."""
CHUNK, WIDE, AHEAD = 32, 256, 8
"""Backward: rows and columns that a warp adds, and the rows that it reads at once."""
KEYS = 1024
"""Backward: ids that a program turns into sort keys."""
SPAN, NARROW, CELLS = 16, 128, 16
"""Backward: partial sums that are joined at once, their columns, and the cells a warp joins."""


def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> Tensor:
    """Embed ids; arguments and result as for `plain.encode`."""
    precise = _precise(weight.dtype)
    if mean is None:
        mean = weight.mean(0, dtype=precise)
    rows, width = ids.numel(), weight.shape[1]
    out = weight.new_empty(rows, width)
    if not out.numel():
        return out
    weight = weight.contiguous()
    columns = _columns(COLUMNS, width)
    blocks = _parts(width, columns)
    groups = _parts(blocks, BLOCKS)
    share = _parts(rows * groups, RESIDENT * _multiprocessors(weight.device))
    pairs = weight.dtype == torch.bfloat16 and width % 2 == 0
    launch(
        kernels.encode,
        (_parts(rows, share) * groups, 1, 1),
        (
            weight.view(torch.int32) if pairs else weight,
            mean,
            ids.contiguous(),
            data,
            offsets,
            out,
        ),
        (rows, offsets.numel() - 1, share),
        (
            width,
            *((code[0], 0, 0, 0, 0) if len(code) == 1 else (0, *code)),
            columns,
            _parts(blocks, groups),
            STEPS,
            pairs,
            tl.int32 if weight.numel() < 2**31 else tl.int64,
            _triton_type(precise),
        ),
    )
    return out


def prepare(
    weight: Tensor, mean: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> Callable[[Tensor], Tensor]:
    """Return a function that embeds ids, as `cpu.prepare` does."""
    return lambda ids: encode(weight, mean, ids, data, offsets, code)


def backward(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code) -> Tensor:
    """Return the gradient of the rows, ``(R, d_model)``, in the type of ``grad``.

    Needs memory for one float32 copy of ``grad``, and for a few integers for each token of the
    vocabulary and each row that it selects.
    """
    size, width = n_rows(code), grad.shape[1]
    out = grad.new_empty(size, width)
    if not grad.numel():
        return out.zero_()
    by_cell = owners_of(data, offsets, code)
    if not by_cell.owners.numel():
        return out.zero_()
    sums, places = _sums_by_token(grad.contiguous(), ids.contiguous(), offsets.numel() - 1)

    pieces = sums.new_empty(by_cell.begins.numel(), width)
    columns = _columns(WIDE, width)
    launch(
        kernels.add_cells,
        (len(pieces), _parts(width, columns), 1),
        (
            sums,
            places,
            by_cell.owners,
            by_cell.begins,
            by_cell.ends,
            by_cell.gains,
            torch.empty_like(by_cell.owners),
            torch.empty_like(by_cell.owners, dtype=sums.dtype),
            pieces,
        ),
        (),
        (width, PIECE, AHEAD, columns, _triton_type(sums.dtype)),
    )
    columns, cells = min(NARROW, columns), math.gcd(size, CELLS)
    launch(
        kernels.join_cells,
        (size // cells, _parts(width, columns), 1),
        (pieces, by_cell.firsts, pieces.sum(0).div_(size), out),
        (),
        (width, cells, SPAN, columns),
    )
    return out


def _sums_by_token(grad: Tensor, ids: Tensor, known: int) -> tuple[Tensor, Tensor]:
    """Return the summed gradients of the tokens, and for each token of the vocabulary the row of
    its sum, or -1.
    """
    count, width = grad.shape
    precise = _precise(grad.dtype)
    # 16-bit keys sort in half the time of 32-bit ones.
    short = known < 2**16
    shift = 2**15 if short else 0
    keys = torch.empty(count, dtype=torch.int16 if short else torch.int32, device=grad.device)
    places = torch.empty(known, dtype=torch.int32, device=grad.device)
    launch(
        kernels.sort_keys,
        (_parts(max(count, known), KEYS), 1, 1),
        (ids, keys, places),
        (count, known, shift),
        (KEYS,),
        warps=4,
    )
    keys, order = keys.sort(stable=True)
    chunks = _parts(count, CHUNK)
    sums = torch.empty(count + chunks, width, dtype=precise, device=grad.device)
    columns = _columns(WIDE, width)
    launch(
        kernels.add_tokens,
        (chunks, _parts(width, columns), 1),
        (grad, order, keys, places, sums),
        (count, known, shift),
        (width, CHUNK, AHEAD, columns, _triton_type(precise)),
    )
    columns = min(NARROW, columns)
    launch(
        kernels.join_tokens,
        (chunks, _parts(width, columns), 1),
        (keys, places, sums),
        (count, known, shift),
        (width, CHUNK, SPAN, columns),
    )
    return sums, places


def _parts(whole: int, part: int) -> int:
    """Return ``whole / part``, rounded up."""
    return -(-whole // part)


def _columns(most: int, width: int) -> int:
    """Return the columns of a block: the power of two that holds ``width``, at most ``most``."""
    return min(most, 1 << (width - 1).bit_length())


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    """Return a GPU's number of multiprocessors; 1 where Triton's interpreter runs on a CPU."""
    if device.type == "cpu":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _triton_type(dtype: torch.dtype) -> tl.dtype:
    return tl.float64 if dtype == torch.float64 else tl.float32
