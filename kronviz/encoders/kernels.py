# mypy: disallow-untyped-defs=False, disable-error-code=assignment
# ruff: noqa: RUF005
"""The Triton kernels of `gpu`, which explains how they fit together and allocates their outputs.

Notable:

- Sums are accumulated in float32 (float64 for float64), whatever the type of the projection.
- Every id, key and position is masked before it is used as an index.
- Where a mask would combine a vector of columns with a scalar condition, the condition moves the
  bound on the columns instead: one comparison, which Triton's interpreter gets right, too.
- Rows to be added are loaded several at a time, before the first of them is used: a store between
  two loads would keep the second from starting.
"""

import triton
import triton.language as tl

from kronviz import codec, ngrams

EPSILON = tl.constexpr(codec.EPSILON)
BEGIN, END = tl.constexpr(ngrams.BEGIN), tl.constexpr(ngrams.END)
OFFSET, PRIME = tl.constexpr(ngrams.OFFSET), tl.constexpr(ngrams.PRIME)
FIRST_MIX, SECOND_MIX = tl.constexpr(ngrams.MIX[0]), tl.constexpr(ngrams.MIX[1])


@triton.jit
def _gain(count, POS_DIM: tl.constexpr, ROWS: tl.constexpr, PRECISE: tl.constexpr):
    """Return the gain for a number of rows, as `codes.gains` does."""
    some = tl.maximum(count, 1).to(PRECISE)
    if POS_DIM:
        size: tl.constexpr = 256 * POS_DIM
        deviation = tl.sqrt((1 - count.to(PRECISE) / size) / (size - 1)) + EPSILON
        return 1 / (deviation * tl.sqrt(some))
    else:
        return tl.sqrt(ROWS / some)


@triton.jit
def _bounds(offsets, token, known):
    """Return where a token's bytes begin and end, and whether it exists (else both are 0)."""
    valid = (token >= 0) & (token < known)
    start = tl.load(offsets + token, mask=valid, other=0)
    end = tl.load(offsets + token + 1, mask=valid, other=0)
    return start, end, valid


@triton.jit
def _block(weight, cell, column, WIDTH: tl.constexpr, PAIRS: tl.constexpr, PRECISE: tl.constexpr):
    """Return a block of columns of a row of the projection.

    With ``PAIRS`` two bfloat16 are read as one int32. A bfloat16 is the upper half of a float32, so
    a shift and a mask convert them.
    """
    if PAIRS:
        inside = column < WIDTH // 2
        two = tl.load(weight + cell * (WIDTH // 2) + column, mask=inside, other=0)
        return tl.interleave(two << 16, two & -65536).to(tl.float32, bitcast=True)
    else:
        inside = column < WIDTH
        return tl.load(weight + cell * WIDTH + column, mask=inside, other=0).to(PRECISE)


@triton.jit
def _add_row(
    totals,
    weight,
    cell,
    lane,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    BLOCKS: tl.constexpr,
    PAIRS: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """Add a row to the totals, block by block."""
    added = ()
    for block in tl.static_range(BLOCKS):
        row = _block(weight, cell, lane + block * LANES, WIDTH, PAIRS, PRECISE)
        added = added + (totals[block] + row,)
    return added


@triton.jit
def _add_ngrams(
    totals,
    weight,
    bytes_,
    length,
    position,
    lane,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    SHORTEST: tl.constexpr,
    LONGEST: tl.constexpr,
    LANES: tl.constexpr,
    BLOCKS: tl.constexpr,
    PAIRS: tl.constexpr,
    INDEX: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """Add the rows of the n-grams that begin at a position (0 is the mark before the first byte).

    Returns the new totals, and how many rows were added.
    """
    hashed = tl.full((), OFFSET, tl.uint32)
    count = position * 0
    for n in tl.static_range(1, LONGEST + 1):
        at = position + n - 2
        read = tl.load(bytes_ + at, mask=(at >= 0) & (at < length), other=0).to(tl.uint32)
        symbol = tl.where(at < 0, BEGIN, tl.where(at < length, read, END)).to(tl.uint32)
        hashed = (hashed ^ symbol) * PRIME
        if n >= SHORTEST:
            exists = at <= length
            mixed = (hashed ^ (hashed >> 16)) * FIRST_MIX
            mixed = (mixed ^ (mixed >> 13)) * SECOND_MIX
            cell = ((mixed ^ (mixed >> 16)) % tl.full((), ROWS, tl.uint32)).to(INDEX)
            # Where there is no such n-gram, all columns are out of bounds and nothing is added.
            column = lane + tl.where(exists, 0, WIDTH)
            totals = _add_row(totals, weight, cell, column, WIDTH, LANES, BLOCKS, PAIRS, PRECISE)
            count += exists.to(tl.int32)
    return totals, count


@triton.jit(do_not_specialize=["rows", "known", "share"])
def encode(
    weight,
    mean,
    ids,
    data,
    offsets,
    out,
    rows,
    known,
    share,
    WIDTH: tl.constexpr,
    POS_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    SHORTEST: tl.constexpr,
    LONGEST: tl.constexpr,
    OWN: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCKS: tl.constexpr,
    STEPS: tl.constexpr,
    PAIRS: tl.constexpr,
    INDEX: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """Embed ``share`` tokens one after another in a warp, ``BLOCKS`` blocks of columns at once.

    The code is the Kronecker code of ``POS_DIM`` positions or, if that is 0, n-grams
    (`codes.NGrams`). The inner loop is exactly as long as the token, so no step is masked. The
    blocks share everything about a token that does not depend on the column (id, bytes, cells,
    gain).
    """
    GROUPS: tl.constexpr = (WIDTH + COLUMNS * BLOCKS - 1) // (COLUMNS * BLOCKS)
    LANES: tl.constexpr = COLUMNS // 2 if PAIRS else COLUMNS
    group = tl.program_id(0) % GROUPS
    first = tl.program_id(0) // GROUPS * share
    last = tl.minimum(first + share, rows)
    lane = group * LANES * BLOCKS + tl.arange(0, LANES)
    column = group * COLUMNS * BLOCKS + tl.arange(0, COLUMNS)
    target = out + first.to(tl.int64) * WIDTH
    token = tl.load(ids + first, mask=first < last, other=-1)
    start, end, valid = _bounds(offsets, token, known)
    for row in range(first, last):
        here = token
        # Load the next token's bounds while this one's rows are added.
        token = tl.load(ids + row + 1, mask=row + 1 < last, other=-1)
        next_start, next_end, next_valid = _bounds(offsets, token, known)
        length = end - start
        totals = ()
        for _ in tl.static_range(BLOCKS):
            totals = totals + (tl.zeros((COLUMNS,), PRECISE),)
        if POS_DIM:
            selected = length
            whole = length // STEPS * STEPS
            for begin in range(0, whole, STEPS):
                for step in tl.static_range(STEPS):
                    cell = tl.load(data + start + begin + step).to(INDEX) * POS_DIM + begin + step
                    totals = _add_row(
                        totals, weight, cell, lane, WIDTH, LANES, BLOCKS, PAIRS, PRECISE
                    )
            for position in range(whole, length):
                cell = tl.load(data + start + position).to(INDEX) * POS_DIM + position
                totals = _add_row(totals, weight, cell, lane, WIDTH, LANES, BLOCKS, PAIRS, PRECISE)
        else:
            selected = length * 0
            for position in range(0, tl.where(valid, length + 2, 0)):
                totals, more = _add_ngrams(
                    totals, weight, data + start, length, position, lane,
                    WIDTH, ROWS, SHORTEST, LONGEST, LANES, BLOCKS, PAIRS, INDEX, PRECISE,
                )  # fmt: skip
                selected += more
            if OWN:
                owns = valid & (here < OWN)
                cell = tl.where(owns, here, 0).to(INDEX) + ROWS
                own = lane + tl.where(owns, 0, WIDTH)
                totals = _add_row(totals, weight, cell, own, WIDTH, LANES, BLOCKS, PAIRS, PRECISE)
                selected += owns.to(tl.int32)
        count = selected.to(PRECISE)
        gain = _gain(selected, POS_DIM, ROWS + OWN, PRECISE)
        gain = tl.where(valid, gain, float("nan"))
        for block in tl.static_range(BLOCKS):
            place = column + block * COLUMNS
            inside = place < WIDTH
            centre = tl.load(mean + place, mask=inside, other=0)
            embedded = ((totals[block] - count * centre) * gain).to(out.dtype.element_ty)
            tl.store(target + place, embedded, mask=inside)
        target += WIDTH
        start, end, valid = next_start, next_end, next_valid


@triton.jit(do_not_specialize=["rows", "known", "shift"])
def sort_keys(ids, keys, places, rows, known, shift, PER: tl.constexpr):
    """Write ids − ``shift`` in the type of ``keys``, with ids out of range replaced by ``known``.

    Also set ``places`` to -1 for each token of the vocabulary: its sum has no row yet.
    """
    index = tl.program_id(0) * PER + tl.arange(0, PER)
    live = index < rows
    token = tl.load(ids + index, mask=live, other=0)
    token = tl.where((token >= 0) & (token < known), token, known)
    tl.store(keys + index, (token - shift).to(keys.dtype.element_ty), mask=live)
    tl.store(places + index, tl.full((PER,), -1, tl.int32), mask=index < known)


@triton.jit(do_not_specialize=["count", "known", "shift"])
def add_tokens(
    grad,
    order,
    keys,
    places,
    sums,
    count,
    known,
    shift,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
    STEPS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """Add the gradients of each token within a chunk of the sorted ids.

    A token's sum goes to the row of ``sums`` at which the token begins, which is recorded in
    ``places``. For a token continued from the previous chunk, the sum goes to row
    ``count + chunk``, where `join_tokens` picks it up.
    """
    chunk = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    base = chunk * CHUNK
    before = tl.load(keys + base - 1, mask=base > 0, other=0).to(tl.int32) + shift
    before = tl.where(base > 0, before, -1)
    previous = before
    first = base
    total = tl.zeros((COLUMNS,), PRECISE)
    for begin in range(base, base + CHUNK, STEPS):
        tokens = ()
        values = ()
        for step in tl.static_range(STEPS):
            here = begin + step < count
            token = tl.load(keys + begin + step, mask=here, other=0).to(tl.int32) + shift
            token = tl.where(here, token, known)
            tokens = tokens + (token,)
        for step in tl.static_range(STEPS):
            used = tl.where(tokens[step] < known, WIDTH, 0)
            row = tl.load(order + begin + step, mask=used > 0, other=0).to(tl.int64)
            value = tl.load(grad + row * WIDTH + column, mask=column < used, other=0)
            values = values + (value.to(PRECISE),)
        here = (begin + STEPS < base + CHUNK) & (begin + STEPS < count)
        after = tl.load(keys + begin + STEPS, mask=here, other=0).to(tl.int32) + shift
        tokens = tokens + (tl.where(here, after, -1),)
        for step in tl.static_range(STEPS):
            token = tokens[step]
            same = token == previous
            total = tl.where(same, total, 0) + values[step]
            first = tl.where(same, first, begin + step)
            previous = token
            done = (token != tokens[step + 1]) & (token < known)
            begun = token != before
            target = tl.where(begun, first, count + chunk).to(tl.int64)
            tl.store(sums + target * WIDTH + column, total, mask=column < tl.where(done, WIDTH, 0))
            tl.store(places + token, first, mask=done & begun)


@triton.jit(do_not_specialize=["count", "known", "shift"])
def join_tokens(
    keys,
    places,
    sums,
    count,
    known,
    shift,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
    SPAN: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Add to the sum of a chunk's last token the sums of the same token in the chunks after it."""
    chunk = tl.program_id(0)
    base = chunk * CHUNK
    last = tl.minimum(base + CHUNK, count) - 1
    token = tl.load(keys + last).to(tl.int32) + shift
    before = tl.load(keys + base - 1, mask=base > 0, other=0).to(tl.int32) + shift
    begun = (base == 0) | (token != before)
    here = (base + CHUNK < count) & begun & (token < known)
    after = tl.load(keys + base + CHUNK, mask=here, other=0).to(tl.int32) + shift
    if here & (after == token):
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        inside = column < WIDTH
        target = sums + tl.load(places + token).to(tl.int64) * WIDTH + column
        total = tl.load(target, mask=inside, other=0)
        part = chunk + 1 + tl.arange(0, SPAN)
        more = 1
        while more > 0:
            key = tl.load(keys + part * CHUNK, mask=part * CHUNK < count, other=0).to(tl.int32)
            same = (part * CHUNK < count) & (key + shift == token)
            row = sums + (count + part).to(tl.int64)[:, None] * WIDTH + column[None, :]
            total += tl.sum(tl.load(row, mask=same[:, None] & inside[None, :], other=0), axis=0)
            more = tl.min(same.to(tl.int32), axis=0)
            part += SPAN
        tl.store(target, total, mask=inside)


@triton.jit
def add_cells(
    sums,
    places,
    owners,
    begins,
    ends,
    gains,
    rows,
    factors,
    pieces,
    WIDTH: tl.constexpr,
    PIECE: tl.constexpr,
    STEPS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISE: tl.constexpr,
):
    """Add, for each piece of a cell, the scaled sums of those of its tokens that the batch has.

    Their rows and gains are packed first, into ``rows`` and ``factors``; all programs of one piece
    write the same values there.
    """
    piece = tl.program_id(0)
    begin = tl.load(begins + piece)
    index = begin + tl.arange(0, PIECE)
    inside = index < tl.load(ends + piece)
    owner = tl.load(owners + index, mask=inside, other=0)
    row = tl.load(places + owner, mask=inside, other=-1)
    present = row >= 0
    gain = tl.load(gains + owner, mask=present, other=0)
    rank = begin + tl.cumsum(present.to(tl.int32), 0) - 1
    tl.store(rows + rank, row, mask=present)
    tl.store(factors + rank, gain.to(PRECISE), mask=present)
    end = begin + tl.sum(present.to(tl.int32), 0)
    tl.debug_barrier()
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((COLUMNS,), PRECISE)
    for base in range(begin, end, STEPS):
        for step in tl.static_range(STEPS):
            used = tl.where(base + step < end, WIDTH, 0)
            source = tl.load(rows + base + step, mask=used > 0, other=0).to(tl.int64)
            factor = tl.load(factors + base + step, mask=used > 0, other=0)
            total += factor * tl.load(sums + source * WIDTH + column, mask=column < used, other=0)
    spot = pieces + piece.to(tl.int64) * WIDTH + column
    tl.store(spot, total, mask=column < WIDTH)


@triton.jit
def join_cells(
    pieces,
    firsts,
    mean,
    out,
    WIDTH: tl.constexpr,
    CELLS: tl.constexpr,
    SPAN: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write each cell's gradient: the sum of its pieces minus ``mean``, the mean over all cells."""
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < WIDTH
    centre = tl.load(mean + column, mask=inside, other=0)
    for step in range(CELLS):
        cell = tl.program_id(0) * CELLS + step
        first = tl.load(firsts + cell)
        last = tl.load(firsts + cell + 1)
        total = -centre
        for begin in range(first, last, SPAN):
            part = begin + tl.arange(0, SPAN)
            row = pieces + part.to(tl.int64)[:, None] * WIDTH + column[None, :]
            mask = (part < last)[:, None] & inside[None, :]
            total += tl.sum(tl.load(row, mask=mask, other=0), axis=0)
        spot = out + cell.to(tl.int64) * WIDTH + column
        tl.store(spot, total.to(out.dtype.element_ty), mask=inside)
