"""Compiled loops of the fused encoder on a CPU. Importing this module imports numba.

Notable:

- Plain loops that release the GIL rather than numba's own parallelism, whose thread pools abort the
  process when two Python threads call them at once, as a web server's do. `cpu` runs slices on
  threads.
- Tensors are passed as addresses. A numpy view of a tensor would forever keep its storage from
  being resized, which is how FSDP frees parameters.
- Rows are read and added by hand-written vector instructions, so that sums never leave registers.
  In plain numba each row would be a reference-counted array, would be tested for overlap with the
  output, and its sum would be stored and loaded again.
- Results larger than the caches are written past them. Otherwise each cache line would be fetched
  from memory before it is overwritten, which takes longer than all the sums.
- Backward: each thread owns a band of columns, so nothing is locked, and the sums are the same to
  the last bit for any number of threads.
- Machine code is cached on disk where numba can write, and compiled again where it cannot. numba
  recompiles when this file changes and watches no other file: keep everything it compiles here.
- The rows of n-grams are listed in a small buffer, token by token, and summed from there. Backward,
  the gradients of each token are added first, because a few tokens make up most of a batch of text.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kronviz.ngrams import BEGIN, END, MIX, OFFSET, PRIME

log = logging.getLogger(__name__)
Loop = Callable[..., Any]
# Annotated for mypy alone: only compiled loops call the decorated functions.
step: Callable[[Callable[..., Any]], Any] = intrinsic
VECTOR = 64
"""Bytes of a vector. LLVM splits it where the processor's vectors are shorter."""
WIDE = 16 if llvm.get_host_cpu_features().get("avx512f") else 4
"""Vectors that fit into registers beside the other values needed."""
BAND = 64
"""Columns of a gradient that are summed at once, few enough to stay in the L2 cache."""
NARROW = 32
"""The same for n-grams, which have more rows."""
ROOM = 512
"""Rows of a token that fit the first buffer; for more, a larger one is allocated."""


@dataclass(frozen=True)
class Loops:
    """The compiled loops for one floating-point type and one kind of code."""

    first_unknown: Loop
    differs: Loop
    encode: Loop
    backward: Loop
    select: Loop | None = None


@functools.lru_cache(maxsize=4)
def compiled(dtype: str, ngrams: bool = False) -> Loops:
    """Return the loops for ``float32`` or ``float64``, ready to run.

    The first call on a machine takes seconds; with the machine code on disk, a tenth of a second.
    """
    # Models compute in float32; machine code for float64 is not worth caching on disk.
    for on_disk in (True, False) if dtype == "float32" else (False,):
        try:
            loops = Loops(
                *(
                    numba.njit(loop, nogil=True, cache=on_disk)
                    for loop in (_NGRAMS if ngrams else _POSITIONS)
                )
            )
            _run_once(loops, dtype)
        except (RuntimeError, OSError) as error:
            if not on_disk:
                raise
            log.info("numba cannot cache machine code on disk (%s); compiling again", error)
        else:
            return loops
    raise AssertionError("unreachable")


def _run_once(loops: Loops, dtype: str) -> None:
    one = np.zeros((256, 1), dtype)
    rows, ids = one.ctypes.data, np.zeros(1, np.int64)
    data, offsets = np.zeros(1, np.uint8), np.array([0, 1], np.int32)
    loops.first_unknown(ids.ctypes.data, 1, 1)
    loops.differs(rows, 4, 1, rows)
    out = np.empty((256, 1), dtype)
    code: tuple = (256, 2, 4, 0), np.ones(1, dtype)
    if loops.select is None:
        code = np.ones(2, dtype), np.ones(2, dtype)
    arguments = ids.ctypes.data, data, offsets, *code
    loops.encode(rows, one.itemsize, rows, *arguments, out.ctypes.data, False, 0, 1)
    if loops.select is None:
        loops.backward(rows, 1, *arguments, out, 0, 1)
    else:
        bounds, cells = np.array([0, 3]), np.empty(3, np.int32)
        loops.select(ids, data, offsets, code[0], bounds, cells, 0, 1)
        place = np.zeros(1, np.int32)
        loops.backward(rows, place, np.array([0, 1]), bounds, cells, code[1], out, 0, 1)


def _first_unknown(ids: int, count: int, known: int) -> int:
    """Return the index of the first of ``count`` ids outside ``[0, known)``, or -1."""
    for i in range(count):
        token = _id(ids, i)
        if token < 0 or token >= known:
            return i
    return -1


def _differs(address: int, step: int, count: int, samples: int) -> bool:
    """Compare 4 bytes at each of ``count`` addresses, ``step`` apart, with the samples."""
    for i in range(count):  # noqa: SIM110 (numba compiles no generators of closures)
        if _word(address, i * step) != _word(samples, i * 4):
            return True
    return False


def _encode(
    rows: int,
    stride: int,
    means: int,
    ids: int,
    data: Any,
    offsets: Any,
    gains: Any,
    shares: Any,
    made: int,
    past: bool,
    first: int,
    last: int,
) -> None:
    """Compute rows ``first … last - 1`` of the embedding: ``gain * sum of rows - share * mean``.

    Args:
        rows, means, ids, made: addresses of the projection, its mean row, the ids (int64) and the
            result.
        stride: bytes of a row.
        past: write past the caches; rows of the result must then begin at multiples of `VECTOR`.
    """
    pos_dim = len(gains) - 1
    text = np.intp(data.ctypes.data)
    for i in range(first, last):
        # Unsigned, so that numba does not check for negative indices.
        token_id = np.uintp(_id(ids, i))
        start = offsets[token_id]
        length = offsets[token_id + np.uintp(1)] - start
        token = text + start, np.intp(length), pos_dim
        factors = gains[length], shares[length]
        if past:
            _gather_past(rows, stride, token, factors, means, made + i * stride, stride)
        else:
            _gather(rows, stride, token, factors, means, made + i * stride, stride)
    if past:
        _settle()


def _backward(
    source: int,
    count: int,
    ids: int,
    data: Any,
    offsets: Any,
    gains: Any,
    shares: Any,
    out: Any,
    first: int,
    last: int,
) -> None:
    """Compute columns ``first … last - 1`` of the projection's gradient: each cell's sum, centred.

    Args:
        source, ids: addresses of the incoming gradient and of the ``count`` ids (int64).
    """
    pos_dim = len(gains) - 1
    size = out.itemsize
    stride = out.shape[1] * size
    rows, text = np.intp(out.ctypes.data), np.intp(data.ctypes.data)
    mean = np.empty(BAND, out.dtype)
    means = np.intp(mean.ctypes.data)
    # Unsigned, so that numba does not check every element for a negative index.
    for left in range(np.uintp(first), np.uintp(last), np.uintp(BAND)):
        right = min(left + np.uintp(BAND), np.uintp(last))
        offset, width = np.intp(left) * size, np.intp(right - left) * size
        for cell in range(np.uintp(len(out))):
            for j in range(left, right):
                out[cell, j] = 0
        mean[:] = 0
        for i in range(count):
            token_id = np.uintp(_id(ids, i))
            start = offsets[token_id]
            length = offsets[token_id + np.uintp(1)] - start
            token = text + start, np.intp(length), pos_dim
            factors = gains[length], shares[length]
            at = source + i * stride + offset
            _scatter(rows + offset, stride, token, factors, means, at, width)
        for j in range(len(mean)):
            mean[j] /= len(out)
        for cell in range(np.uintp(len(out))):
            for j in range(left, right):
                out[cell, j] -= mean[j - left]


def _encode_ngrams(
    rows: int,
    stride: int,
    means: int,
    ids: int,
    data: Any,
    offsets: Any,
    code: Any,
    scale: Any,
    made: int,
    past: bool,
    first: int,
    last: int,
) -> None:
    """Compute rows ``first … last - 1`` of a bag of n-grams: ``gain * (sum of rows - L * mean)``.

    Args:
        code: the integers of `codes.NGrams`.
        scale: one number, the square root of the number of rows, in the rows' type.
        rows, stride, means, ids, made, past: as for `_encode`.
    """
    _, shortest, longest, _ = code
    cells = np.empty(ROOM, np.int32)
    for i in range(first, last):
        token_id = np.uintp(_id(ids, i))
        start = offsets[token_id]
        length = offsets[token_id + np.uintp(1)] - start
        most = (length + 2) * (longest - shortest + 1) + 1
        if most > len(cells):
            cells = np.empty(most, np.int32)
        count = _list(data, start, length, token_id, code, cells, 0)
        token = np.intp(cells.ctypes.data), np.intp(count)
        factors = _gains(count, scale)
        if past:
            _gather_past(rows, stride, token, factors, means, made + i * stride, stride)
        else:
            _gather(rows, stride, token, factors, means, made + i * stride, stride)
    if past:
        _settle()


def _select(
    ids: Any, data: Any, offsets: Any, code: Any, bounds: Any, cells: Any, first: int, last: int
) -> None:
    """List the rows of tokens ``first … last - 1``, each starting at its bound."""
    for i in range(first, last):
        token_id = np.uintp(ids[i])
        start = offsets[token_id]
        length = offsets[token_id + np.uintp(1)] - start
        _list(data, start, length, token_id, code, cells, bounds[i])


def _backward_ngrams(
    source: int,
    order: Any,
    ends: Any,
    bounds: Any,
    cells: Any,
    scale: Any,
    out: Any,
    first: int,
    last: int,
) -> None:
    """Compute columns ``first … last - 1`` of the rows' gradient.

    Args:
        source: address of the incoming gradient.
        order: its rows by token, int32.
        ends: 0, then where each token's rows end in ``order``, int64.
        bounds, cells: 0, then where each token's cells end, int64; and the cells, int32.
        scale: as for `_encode_ngrams`.
    """
    size = out.itemsize
    stride = out.shape[1] * size
    # Contiguous, so that rows do not compete for the same few cache sets.
    band = np.empty((len(out), NARROW), out.dtype)
    buffers = np.zeros((3, NARROW), out.dtype)
    total, mean, zeros = buffers[0].ctypes.data, buffers[1].ctypes.data, buffers[2].ctypes.data
    rows, listed, sorted_ = band.ctypes.data, cells.ctypes.data, order.ctypes.data
    whole = scale.dtype.type(1), scale.dtype.type(0)
    for left in range(np.uintp(first), np.uintp(last), np.uintp(NARROW)):
        right = min(left + np.uintp(NARROW), np.uintp(last))
        offset, width = np.intp(left) * size, np.intp(right - left) * size
        band[:] = 0
        buffers[:] = 0
        for k in range(len(bounds) - 1):
            same = np.intp(sorted_) + 4 * ends[k], np.intp(ends[k + 1] - ends[k])
            _gather(source + offset, stride, same, whole, zeros, total, width)
            count = bounds[k + 1] - bounds[k]
            token = np.intp(listed) + 4 * bounds[k], np.intp(count)
            _scatter(rows, NARROW * size, token, _gains(count, scale), mean, total, width)
        for cell in range(np.uintp(len(out))):
            for j in range(left, right):
                out[cell, j] = band[cell, j - left] - buffers[1, j - left] / len(out)


@numba.njit
def _list(data: Any, start: int, length: int, token: Any, code: Any, cells: Any, place: int) -> int:
    """Write the rows that a token selects to ``cells``, starting at ``place``; return how many."""
    rows, shortest, longest, own = code
    mask = np.uint32(rows - 1) if rows & (rows - 1) == 0 else np.uint32(0)
    begun, symbols = place, length + 2
    for position in range(symbols):
        hashed = np.uint32(OFFSET)
        for n in range(1, min(longest, symbols - position) + 1):
            at = position + n - 2
            symbol = np.uint32(BEGIN if at < 0 else END)
            if 0 <= at < length:
                symbol = np.uint32(data[np.uintp(start + at)])
            hashed = np.uint32((hashed ^ symbol) * np.uint32(PRIME))
            if n >= shortest:
                mixed = np.uint32((hashed ^ (hashed >> np.uint32(16))) * np.uint32(MIX[0]))
                mixed = np.uint32((mixed ^ (mixed >> np.uint32(13))) * np.uint32(MIX[1]))
                mixed = mixed ^ (mixed >> np.uint32(16))
                cells[np.uintp(place)] = mixed & mask if mask else mixed % np.uint32(rows)
                place += 1
    if np.intp(token) < own:
        cells[np.uintp(place)] = rows + np.intp(token)
        place += 1
    return place - begun


@numba.njit
def _gains(count: int, scale: Any) -> Any:
    """Return the factors of the sum of ``count`` rows and of their mean."""
    # Both in the type of the rows, as `_gather` and `_scatter` expect.
    number = scale.dtype.type
    gain = scale[0] / np.sqrt(number(max(count, 1)))
    return gain, gain * number(count)


_POSITIONS = _first_unknown, _differs, _encode, _backward
_NGRAMS = _first_unknown, _differs, _encode_ngrams, _backward_ngrams, _select


@step
def _id(typing: Any, ids: Any, index: Any) -> Any:
    """Load the int64 with this index in the array at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, index = arguments
        where = builder.add(address, builder.mul(index, address.type(8)))
        return builder.load(builder.inttoptr(where, ir.IntType(64).as_pointer()), align=8)

    return types.int64(ids, index), generate


@step
def _word(typing: Any, address: Any, offset: Any) -> Any:
    """Load the 4 bytes that lie ``offset`` bytes after an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = builder.inttoptr(builder.add(*arguments), ir.IntType(32).as_pointer())
        return builder.load(where, align=2)

    return types.int32(address, offset), generate


@step
def _gather(
    typing: Any, rows: Any, stride: Any, token: Any, factors: Any, mean: Any, out: Any, size: Any
) -> Any:
    """Compute ``out = gain * Σ rows[cell] - share * mean``, over the cells of a token.

    Args:
        rows, mean, out: addresses.
        stride: bytes from one row to the next.
        token: address and length of its text, and pos_dim; or address and length of a list of
            cells, int32.
        factors: gain and share.
        size: bytes of a row to compute.
    """
    generate = functools.partial(_generate_gather, past=False)
    return types.void(rows, stride, token, factors, mean, out, size), generate


@step
def _gather_past(
    typing: Any, rows: Any, stride: Any, token: Any, factors: Any, mean: Any, out: Any, size: Any
) -> Any:
    """Do as `_gather` does, writing past the caches."""
    generate = functools.partial(_generate_gather, past=True)
    return types.void(rows, stride, token, factors, mean, out, size), generate


def _generate_gather(context: Any, builder: Any, signature: Any, arguments: Any, past: bool) -> Any:
    rows, stride, token, factors, mean, out, size = arguments
    for block in _blocks(context, builder, signature.args[3].dtype, size):
        sums = [cgutils.alloca_once_value(builder, block.zero) for _ in range(block.count)]
        for row in block.selected(rows, stride, token):
            for total, part in zip(sums, block.load(row), strict=True):
                builder.store(builder.fadd(builder.load(total), part), total)
        gain, share = block.splat(factors)
        scaled = [builder.fmul(gain, builder.load(total)) for total in sums]
        shifts = [builder.fmul(share, part) for part in block.load(mean)]
        block.store(out, map(builder.fsub, scaled, shifts), past)
    return context.get_dummy_value()


@step
def _settle(typing: Any) -> Any:
    """Wait until all threads can see what was written past the caches."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@step
def _scatter(
    typing: Any,
    rows: Any,
    stride: Any,
    token: Any,
    factors: Any,
    total: Any,
    source: Any,
    size: Any,
) -> Any:
    """Add ``rows[cell] += gain * source`` for each cell of a token, ``total += share * source``.

    The arguments are those of `_gather`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, stride, token, factors, total, source, size = arguments
        for block in _blocks(context, builder, signature.args[3].dtype, size):
            gain, share = block.splat(factors)
            parts = block.load(source)
            scaled = [builder.fmul(gain, part) for part in parts]
            shares = [builder.fmul(share, part) for part in parts]
            block.store(total, map(builder.fadd, block.load(total), shares))
            for row in block.selected(rows, stride, token):
                block.store(row, map(builder.fadd, block.load(row), scaled))
        return context.get_dummy_value()

    return types.void(rows, stride, token, factors, total, source, size), generate


def _blocks(context: Any, builder: Any, number: Any, size: Any) -> Iterator[_Block]:
    """Cut ``size`` bytes into blocks of falling width, down to single numbers.

    Each yield is the body of a loop over the blocks of one width: code that the caller emits before
    asking for the next runs for each of them.
    """
    scalar = context.get_value_type(number)
    bytes_each = context.get_abi_sizeof(scalar)
    lanes = VECTOR // bytes_each
    start = size.type(0)
    for count, width in ((WIDE, lanes), (4, lanes), (1, lanes), (1, 1)):
        step = size.type(count * width * bytes_each)
        stop = builder.sub(size, builder.urem(size, step))
        with cgutils.for_range_slice(builder, start, stop, step, size.type) as (offset, _):
            yield _Block(builder, ir.VectorType(scalar, width), bytes_each, count, offset)
        start = stop


@dataclass(frozen=True)
class _Block:
    """A block of columns: ``count`` vectors from ``offset`` bytes after an address."""

    builder: Any
    vector: Any
    align: int
    count: int
    offset: Any

    @property
    def zero(self) -> Any:
        return self.vector([0.0] * self.vector.count)

    def selected(self, rows: Any, stride: Any, token: Any) -> Iterator[Any]:
        """Open a loop over the rows that a token selects, and yield a row's address once, in it."""
        builder = self.builder
        start, length, *pos_dim = cgutils.unpack_tuple(builder, token)
        number = ir.IntType(8 if pos_dim else 32)
        with cgutils.for_range(builder, length) as loop:
            step = loop.index if pos_dim else builder.mul(loop.index, loop.index.type(4))
            where = builder.inttoptr(builder.add(start, step), number.as_pointer())
            cell = builder.zext(builder.load(where), length.type)
            if pos_dim:
                cell = builder.add(builder.mul(cell, pos_dim[0]), loop.index)
            yield builder.add(rows, builder.mul(cell, stride))

    def load(self, address: Any) -> list[Any]:
        return [self.builder.load(where, align=self.align) for where in self._each(address)]

    def store(self, address: Any, values: Iterable[Any], past: bool = False) -> None:
        whole = self.vector.count * self.align == VECTOR
        for where, value in zip(self._each(address), values, strict=True):
            stored = self.builder.store(
                value, where, align=VECTOR if past and whole else self.align
            )
            if past and whole:
                one = self.builder.module.add_metadata([ir.IntType(32)(1)])
                stored.set_metadata("nontemporal", one)

    def splat(self, numbers: Any) -> list[Any]:
        """Return one vector for each number of a tuple, with the number in all its lanes."""
        blank = self.vector(ir.Undefined)
        zeros = ir.VectorType(ir.IntType(32), self.vector.count)([0] * self.vector.count)
        return [
            self.builder.shuffle_vector(
                self.builder.insert_element(blank, number, ir.IntType(32)(0)), blank, zeros
            )
            for number in cgutils.unpack_tuple(self.builder, numbers, 2)
        ]

    def _each(self, address: Any) -> Iterator[Any]:
        start = self.builder.add(address, self.offset)
        for k in range(self.count):
            after = start.type(k * self.vector.count * self.align)
            yield self.builder.inttoptr(self.builder.add(start, after), self.vector.as_pointer())
