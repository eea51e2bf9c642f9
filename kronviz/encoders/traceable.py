"""The encoder in operations whose shapes depend on the shape of the ids alone, one byte at a time.

For tools that record the computation: `torch.func` transforms, forward-mode derivatives,
`torch.export`, ONNX, `torch.jit.trace`. `plain` is faster, but its shapes depend on the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.encoders.codes import Code, NGrams, gains


def encode(
    weight: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code, longest: int
) -> Tensor:
    """Embed ids of any shape; arguments otherwise as for `plain.encode`.

    Args:
        longest: bytes of the longest token, or more.

    Returns:
        ``(*ids.shape, d_model)`` in the type of the weight.

    Raises:
        IndexError: an id is not in the vocabulary (on a CPU).
    """
    ids = ids.long()
    starts = _at(offsets[:-1], ids).long()
    lengths = _at(offsets[1:] - offsets[:-1], ids).long()
    # The steps read past the end of a short last token.
    padded = F.pad(data, (0, longest + 1))
    counts = lengths if len(code) == 1 else NGrams(*code).counts(ids, lengths)
    precise = torch.promote_types(weight.dtype, torch.float32)
    amounts = counts[..., None].to(precise)
    total = amounts * -weight.mean(0, dtype=precise)
    for cells, within in _steps(ids, starts, lengths, padded, code, longest):
        total = total + F.embedding(cells, weight).to(precise) * within[..., None]
    return (gains(amounts, code) * total).to(weight.dtype)


def _steps(
    ids: Tensor, starts: Tensor, lengths: Tensor, padded: Tensor, code: Code, longest: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a row for every id, and whether it selects that row."""
    if len(code) == 1:
        for position in range(longest):
            cells = _at(padded, starts + position).long() * code[0] + position
            yield cells, lengths > position
        return
    ngrams = NGrams(*code)
    begins = torch.arange(longest + 2, device=ids.device)
    for n, cells, exists in ngrams.hashed(padded, starts[..., None], lengths[..., None], begins):
        for position in range(longest + 3 - n):
            yield cells[..., position], exists[..., position]
    if ngrams.own:
        yield ngrams.rows + ids.clamp(max=ngrams.own - 1), ids < ngrams.own


def _at(table: Tensor, indices: Tensor) -> Tensor:
    # Unlike indexing, this refuses negative indices.
    return F.embedding(indices, table[:, None])[..., 0]
