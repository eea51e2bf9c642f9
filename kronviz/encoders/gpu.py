"""The fused encoder on a GPU, forward and backward, in Triton.

Notable:

- Forward is one kernel: id, bytes, rows, sum and z-normalisation in one pass. Neighbouring
  programs share a block of columns, so that the rows in use (some hundreds of cells make up most
  text) stay in the first-level cache; what is left to pay for is writing the result.
- Backward uses no atomics at all, so hot cells (most tokens start with a blank) queue for nothing
  and gradients are the same to the last bit from run to run. It adds rows that share a key, twice:
  gradients by token id, then the sums of the distinct tokens by cell. Both times the keys are
  sorted, each program adds the rows of a short chunk, and sums that cross chunks are joined.
- Every shape follows from the shapes of the arguments and nothing waits for the GPU: it can be
  recorded in a CUDA graph. An id that the vocabulary does not have reads nothing: its row is NaN,
  and it has no part in the gradient.
"""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor

from kronviz import codec
from kronviz.encoders import kernels

TOKENS, COLUMNS, WARPS, UNROLL = 4, 256, 2, 4
"""Tokens, columns and warps of one program of the forward pass, and bytes that it reads at once."""
STAY = 0
"""Programs of the forward pass that stay on each multiprocessor, or 0 for one program a tile."""
CHUNK, WIDE, SPAN = 32, 256, 16
"""Rows and columns that one program of the backward pass adds, and partial sums that are joined at
once. One warp a program: 16 bytes a lane in bf16."""


def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int
) -> Tensor:
    """Embed ids; arguments and result as for `plain.encode`."""
    precise = _precise(weight.dtype)
    if mean is None:
        mean = weight.mean(0, dtype=precise)
    rows, width = ids.numel(), weight.shape[1]
    out = weight.new_empty(rows, width)
    columns = min(COLUMNS, triton.next_power_of_2(width))
    if out.numel():
        tiles, blocks = triton.cdiv(rows, TOKENS), triton.cdiv(width, columns)
        lanes = _multiprocessors(weight.device)
        stay = STAY if blocks <= lanes else 0
        kernels.encode[(lanes * stay,) if stay else (tiles, blocks)](
            weight.contiguous(),
            mean,
            ids.contiguous(),
            data,
            offsets,
            out,
            rows,
            offsets.numel() - 1,
            width,
            lanes,
            STAY=stay,
            POS_DIM=pos_dim,
            TOKENS=TOKENS,
            COLUMNS=columns,
            UNROLL=UNROLL,
            INDEX=tl.int32 if weight.numel() < 2**31 else tl.int64,
            PRECISE=_triton_type(precise),
            num_warps=WARPS,
        )
    return out


def backward(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, pos_dim: int) -> Tensor:
    """Gradient of the projection, ``(D, d_model)``, in the type of ``grad``.

    Holds, beside it, the gradient's own size once in float32 and some integers a token.
    """
    size, width = codec.dimension(pos_dim), grad.shape[1]
    known = offsets.numel() - 1
    precise = _precise(grad.dtype)
    sums = torch.zeros(size, width, dtype=precise, device=grad.device)
    if not grad.numel() or not data.numel():
        return sums.to(grad.dtype)
    ids = torch.where((ids >= 0) & (ids < known), ids, known).int()

    ordered, order = ids.sort(stable=True)
    segments = (ordered[1:] != ordered[:-1]).cumsum(0, dtype=torch.int32)
    segments = torch.cat([segments.new_zeros(1), segments])
    most = min(ids.numel(), known + 1)
    numbers = torch.arange(most, dtype=torch.int32, device=grad.device)
    starts = torch.searchsorted(segments, numbers)
    distinct = ordered[starts.clamp(max=ids.numel() - 1)]
    distinct = torch.where(starts < ids.numel(), distinct, known)
    by_token = torch.empty(most, width, dtype=precise, device=grad.device)
    _sum_by_key(grad.contiguous(), order, segments, most, by_token)

    firsts = torch.cat([offsets, offsets[-1:]])
    lengths = firsts[distinct + 1] - firsts[distinct]
    slots = lengths.cumsum(0, dtype=torch.int32) - lengths
    # Distinct tokens have no more bytes than the whole vocabulary.
    cells = torch.full(
        (min(most * pos_dim, data.numel()),),
        size,
        dtype=torch.int16 if size < 2**15 else torch.int32,
        device=grad.device,
    )
    owners = torch.zeros_like(cells, dtype=torch.int32)
    gains = torch.empty(most, dtype=precise, device=grad.device)
    kernels.list_cells[(triton.cdiv(most, COLUMNS),)](
        data,
        firsts[distinct],
        lengths,
        slots,
        cells,
        owners,
        gains,
        most,
        POS_DIM=pos_dim,
        TOKENS=COLUMNS,
        PRECISE=_triton_type(precise),
    )
    cells, order = cells.sort(stable=True)
    _sum_by_key(by_token, owners[order], cells, size, sums, gains)
    return (sums - sums.mean(0)).to(grad.dtype)


def _sum_by_key(
    source: Tensor, rows: Tensor, keys: Tensor, limit: int, out: Tensor, gains: Tensor | None = None
) -> None:
    """``out[k] = Σ source[rows[i]] * gains[rows[i]]`` over all ``i`` with ``keys[i] == k``.

    Args:
        keys: sorted; those that are not below ``limit`` take no part.
        out: rows of keys that do not occur are left as they are.
    """
    count, width = keys.numel(), source.shape[1]
    columns = min(WIDE, triton.next_power_of_2(width))
    grid = (triton.cdiv(count, CHUNK), triton.cdiv(width, columns))
    numbers = torch.arange(limit, dtype=keys.dtype, device=keys.device)
    ends = torch.searchsorted(keys, numbers, right=True)
    heads = torch.empty(grid[0], width, dtype=out.dtype, device=out.device)
    precise = _triton_type(out.dtype)
    kernels.add_chunks[grid](
        source,
        rows,
        keys,
        source if gains is None else gains,
        out,
        heads,
        count,
        limit,
        width,
        SCALED=gains is not None,
        CHUNK=CHUNK,
        COLUMNS=columns,
        PRECISE=precise,
        num_warps=1,
    )
    kernels.join_chunks[grid](
        keys, ends, heads, out, count, limit, width, CHUNK=CHUNK, SPAN=SPAN, COLUMNS=columns
    )


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    """Those of a GPU; 1 where Triton interprets its kernels on a CPU."""
    if device.type == "cpu":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _triton_type(dtype: torch.dtype) -> tl.dtype:
    return tl.float64 if dtype == torch.float64 else tl.float32
