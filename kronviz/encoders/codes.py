"""Codes: which rows of the weight matrix the bytes of a token select.

Notable:

- A code is a tuple of integers, because that is what PyTorch's custom operators accept. One
  integer, ``(pos_dim,)``, is the Kronecker code: byte ``b`` at position ``p`` selects row
  ``b * pos_dim + p`` (see `codec`). Four integers are `NGrams`.
- With either code, a token's vector is ``gain(L) * (sum of its L rows − L * mean row)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz import codec
from kronviz.ngrams import BEGIN, END, MIX, OFFSET, PRIME

Code = Sequence[int]
WORD = 0xFFFFFFFF


class NGrams(NamedTuple):
    """The code of hashed byte n-grams, as defined by `ngrams.Rule`.

    Attributes:
        rows: number of rows that n-grams are hashed to.
        shortest, longest: symbols in an n-gram, counting the begin and end marks.
        own: ids below this also select a row of their own, ``rows + id``.
    """

    rows: int
    shortest: int
    longest: int
    own: int

    def counts(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return how many rows tokens of these byte lengths select: int64, shape of ``ids``."""
        counts = (ids < self.own).long()
        for n in range(self.shortest, self.longest + 1):
            counts = counts + (lengths + 3 - n).clamp(min=0)
        return counts

    def hashed(
        self, data: Tensor, starts: Tensor, lengths: Tensor, positions: Tensor
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Hash the n-grams that begin at ``positions``; 0 is the mark before the first byte.

        Args:
            data: uint8, the bytes of all tokens.
            starts, lengths: int64, where a token's bytes begin and how many there are.
            positions: int64; shapes are broadcast.

        Yields:
            n, the row of each n-gram, and a mask of the n-grams that lie within the token.
        """
        # Positions after a token's end read some other byte, which `torch.where` discards.
        padded = F.pad(data, (0, 1))
        hashes = torch.full_like(starts, OFFSET)
        for n in range(1, self.longest + 1):
            place = positions + (n - 1)
            read = padded[(starts + place - 1).clamp(0, data.numel())].long()
            symbols = torch.where(place == 0, BEGIN, torch.where(place > lengths, END, read))
            hashes = ((hashes ^ symbols) * PRIME) & WORD
            if n >= self.shortest:
                yield n, _mix(hashes) % self.rows, place <= lengths + 1


def n_rows(code: Code) -> int:
    """Return the number of rows that a code selects from."""
    if len(code) == 1:
        return codec.dimension(code[0])
    return code[0] + code[3]


def selected(ids: Tensor, data: Tensor, offsets: Tensor, code: Code) -> tuple[Tensor, Tensor]:
    """Return the rows that tokens select, concatenated, and how many rows each token selects.

    Args:
        ids: integers ``(n,)``.
        data, offsets: as for `plain.encode`.

    Returns:
        Rows, int64 ``(total,)``, and counts, int64 ``(n,)``.
    """
    starts = offsets[ids].long()
    lengths = offsets[ids + 1] - starts
    if len(code) == 1:
        bags, positions = _spread(lengths)
        return data[starts[bags] + positions].long() * code[0] + positions, lengths
    ngrams = NGrams(*code)
    counts = ngrams.counts(ids, lengths)
    firsts = counts.cumsum(0) - counts
    bags, positions = _spread(lengths + 2)
    rows = counts.new_empty(int(counts.sum()))
    place = firsts[bags] + positions
    for n, hashed, exists in ngrams.hashed(data, starts[bags], lengths[bags], positions):
        rows[place[exists]] = hashed[exists]
        place = place + (lengths[bags] + 3 - n).clamp(min=0)
    own = ids < ngrams.own
    rows[(firsts + counts - 1)[own]] = ngrams.rows + ids[own]
    return rows, counts


def gains(counts: Tensor, code: Code) -> Tensor:
    """Return the gain for each count of rows (floats of any shape); finite for a count of 0, too.

    For the Kronecker code it is ``1 / (σ √L)``, σ as in `codec.moments`; for n-grams ``√(R / L)``,
    with R the number of rows.
    """
    size, some = n_rows(code), counts.clamp(min=1)
    if len(code) > 1:
        return (size / some).sqrt()
    deviations = ((1 - counts / size) / (size - 1)).sqrt() + codec.EPSILON
    return 1 / (deviations * some.sqrt())


def owned(data: Tensor, offsets: Tensor, code: Code) -> tuple[Tensor, Tensor, Tensor]:
    """Return every row that every token of a vocabulary selects.

    The shapes of the result depend on the shapes of the arguments alone, so a GPU need not be
    waited for.

    Returns:
        Rows, int64, padded with `n_rows`; the token that selects each row, int32; and how many rows
        each token selects, int64 ``(n_vocab,)``.
    """
    starts = offsets[:-1].long()
    lengths = offsets[1:] - starts
    tokens = torch.arange(len(lengths), dtype=torch.int32, device=data.device)
    if len(code) == 1:
        owners = torch.repeat_interleave(tokens, lengths, output_size=data.numel())
        positions = torch.arange(data.numel(), device=data.device) - starts[owners.long()]
        return data.long() * code[0] + positions, owners, lengths
    ngrams, size = NGrams(*code), n_rows(code)
    symbols = data.numel() + 2 * len(tokens)
    owners = torch.repeat_interleave(tokens, lengths + 2, output_size=symbols)
    bags = owners.long()
    firsts = starts + 2 * tokens
    positions = torch.arange(symbols, device=data.device) - firsts[bags]
    rows = [
        torch.where(exists, hashed, size)
        for _, hashed, exists in ngrams.hashed(data, starts[bags], lengths[bags], positions)
    ]
    repeated = [owners] * len(rows)
    own = tokens[: ngrams.own]
    rows.append(own + ngrams.rows)
    return torch.cat(rows), torch.cat([*repeated, own]), ngrams.counts(tokens, lengths)


def _spread(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each element of bags of these lengths, its bag and its position in the bag."""
    bags = torch.repeat_interleave(lengths)
    firsts = lengths.cumsum(0) - lengths
    return bags, torch.arange(bags.numel(), device=bags.device) - firsts[bags]


def _mix(hashes: Tensor) -> Tensor:
    """Mix the bits of 32-bit hashes (stored as int64), so that every input bit affects all."""
    for shift, factor in zip((16, 13), MIX, strict=True):
        # The product may overflow int64; its lower 32 bits are still right.
        hashes = ((hashes ^ (hashes >> shift)) * factor) & WORD
    return hashes ^ (hashes >> 16)
