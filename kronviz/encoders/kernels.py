# mypy: disallow-untyped-defs=False
"""The Triton kernels of `gpu`, which says how they fit together and allocates what they write.

Notable:

- Sums are made in float32 (float64 for float64), whatever the type of the projection.
- Nothing is read or written through an id, a key or a position that a mask has not passed.
- Where a mask would combine a vector of columns with a scalar condition, the condition moves the
  bound on the columns instead: one comparison, and the interpreter computes it rightly.
"""

import triton
import triton.language as tl

from kronviz import codec

EPSILON = tl.constexpr(codec.EPSILON)


@triton.jit
def _gain(length, POS_DIM: tl.constexpr, PRECISE: tl.constexpr):
    """``1 / (σ √L)``, as `codec.moments` has it."""
    size: tl.constexpr = 256 * POS_DIM
    count = length.to(PRECISE)
    deviation = tl.sqrt((1 - count / size) / (size - 1)) + EPSILON
    return 1 / (deviation * tl.sqrt(tl.maximum(count, 1)))


@triton.jit(do_not_specialize=["rows", "known", "lanes"])
def encode(
    weight,
    mean,
    ids,
    data,
    offsets,
    out,
    rows,
    known,
    width,
    lanes,
    STAY: tl.constexpr,
    POS_DIM: tl.constexpr,
    TOKENS: tl.constexpr,
    COLUMNS: tl.constexpr,
    UNROLL: tl.constexpr,
    INDEX: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """A program a tile, or with ``STAY`` that many on each of ``lanes`` multiprocessors.

    Those on one multiprocessor go from tile to tile of one block of columns, whose rows then stay
    in its cache. Programs are dealt out in turn: i, i + lanes, … meet on one. Where a GPU deals
    otherwise, the cache serves less well, and that is all.
    """
    if STAY:
        blocks = tl.cdiv(width, COLUMNS)
        lane = tl.program_id(0) % lanes
        block = lane % blocks
        first = tl.program_id(0) // lanes + lane // blocks * STAY
        # Where the blocks do not divide the lanes, the first of them have one more.
        stride = (lanes // blocks + (block < lanes % blocks).to(tl.int32)) * STAY
    else:
        block, first, stride = tl.program_id(1), tl.program_id(0), tl.num_programs(0)
    column = block * COLUMNS + tl.arange(0, COLUMNS)
    inside = (column < width)[None, :]
    for tile in range(first, tl.cdiv(rows, TOKENS), stride):
        row = tile * TOKENS + tl.arange(0, TOKENS)
        live = row < rows
        token = tl.load(ids + row, mask=live, other=0)
        valid = live & (token >= 0) & (token < known)
        start = tl.load(offsets + token, mask=valid, other=0)
        length = tl.load(offsets + token + 1, mask=valid, other=0) - start
        total = tl.zeros((TOKENS, COLUMNS), PRECISE)
        for begin in range(0, tl.max(length), UNROLL):
            # Unrolled, so that the rows of several bytes are on their way at once.
            for step in tl.static_range(UNROLL):
                position = begin + step
                lit = position < length
                byte = tl.load(data + start + position, mask=lit, other=0)
                cell = byte.to(INDEX) * POS_DIM + position
                place = weight + (cell * width)[:, None] + column[None, :]
                total += tl.load(place, mask=lit[:, None] & inside, other=0).to(PRECISE)
        centre = tl.load(mean + column, mask=column < width, other=0).to(PRECISE)
        total -= length.to(PRECISE)[:, None] * centre[None, :]
        total *= _gain(length, POS_DIM, PRECISE)[:, None]
        total = tl.where(valid[:, None], total, float("nan"))
        place = out + row.to(tl.int64)[:, None] * width + column[None, :]
        tl.store(place, total.to(out.dtype.element_ty), mask=live[:, None] & inside)


@triton.jit(do_not_specialize=["rows"])
def list_cells(
    data,
    starts,
    lengths,
    slots,
    cells,
    owners,
    gains,
    rows,
    POS_DIM: tl.constexpr,
    TOKENS: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """Write the cells of every token, from its slot on, and whose they are; and its gain."""
    row = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    live = row < rows
    start = tl.load(starts + row, mask=live, other=0)
    length = tl.load(lengths + row, mask=live, other=0)
    slot = tl.load(slots + row, mask=live, other=0)
    for position in range(0, tl.max(length)):
        lit = position < length
        byte = tl.load(data + start + position, mask=lit, other=0).to(tl.int32)
        cell = byte * POS_DIM + position
        tl.store(cells + slot + position, cell.to(cells.dtype.element_ty), mask=lit)
        tl.store(owners + slot + position, row, mask=lit)
    tl.store(gains + row, _gain(length, POS_DIM, PRECISE), mask=live)


@triton.jit(do_not_specialize=["count", "limit"])
def add_chunks(
    source,
    rows,
    keys,
    gains,
    out,
    heads,
    count,
    limit,
    width,
    SCALED: tl.constexpr,
    CHUNK: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """Add the rows of each key within a chunk.

    A sum whose key begins in this chunk goes to ``out``; one that goes on from the chunk before
    goes to ``heads``, where `join_chunks` finds it.
    """
    chunk = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    base = chunk * CHUNK
    before = tl.load(keys + base - 1, mask=base > 0, other=-1).to(tl.int32)
    previous = before
    total = tl.zeros((COLUMNS,), PRECISE)
    for step in tl.range(0, CHUNK, num_stages=3):
        place = base + step
        key = tl.load(keys + place, mask=place < count, other=limit).to(tl.int32)
        after = tl.load(keys + place + 1, mask=place + 1 < count, other=limit).to(tl.int32)
        used = tl.where(key < limit, width, 0)
        row = tl.load(rows + place, mask=key < limit, other=0).to(tl.int64)
        value = tl.load(source + row * width + column, mask=column < used, other=0).to(PRECISE)
        if SCALED:
            value *= tl.load(gains + row)
        total = tl.where(key == previous, total, 0) + value
        previous = key
        whole = tl.where((key != after) | (step == CHUNK - 1), used, 0)
        begun = tl.where(key == before, 0, whole)
        tl.store(out + key.to(tl.int64) * width + column, total, mask=column < begun)
        spot = heads + chunk.to(tl.int64) * width + column
        tl.store(spot, total, mask=column < whole - begun)


@triton.jit(do_not_specialize=["count", "limit"])
def join_chunks(
    keys,
    ends,
    heads,
    out,
    count,
    limit,
    width,
    CHUNK: tl.constexpr,
    SPAN: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Add to the sum of a chunk's last key what the chunks after it hold of that key."""
    chunk = tl.program_id(0)
    base = chunk * CHUNK
    key = tl.load(keys + tl.minimum(base + CHUNK, count) - 1).to(tl.int32)
    before = tl.load(keys + base - 1, mask=base > 0, other=-1).to(tl.int32)
    owned = (key < limit) & (key != before)
    end = tl.load(ends + key, mask=owned, other=0).to(tl.int32)
    if end > base + CHUNK:
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        inside = column < width
        place = out + key.to(tl.int64) * width + column
        total = tl.load(place, mask=inside, other=0)
        last = (end - 1) // CHUNK
        for first in range(chunk + 1, last + 1, SPAN):
            part = first + tl.arange(0, SPAN)
            held = (part <= last)[:, None] & inside[None, :]
            spot = heads + part.to(tl.int64)[:, None] * width + column[None, :]
            total += tl.sum(tl.load(spot, mask=held, other=0), axis=0)
        tl.store(place, total, mask=inside)
