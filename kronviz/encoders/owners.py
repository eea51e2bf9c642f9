"""Which tokens of a vocabulary select a row: what the backward pass on a GPU sums over.

Notable:

- It follows from the vocabulary alone. The last few that were asked for are kept, each with the
  tensors that it was made of, whose memory then belongs to no other vocabulary.
- Made on the tensors' device without waiting for it: sizes are bounds that follow from shapes.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass

import torch
from torch import Tensor

from kronviz.encoders import is_recording
from kronviz.encoders.codes import Code, gains, n_rows, owned

PIECE = 128
"""Most tokens of a piece: long lists are cut, for a space begins tens of thousands of tokens."""
KEPT = 4
_kept: collections.OrderedDict[tuple, tuple[Owners, Tensor, Tensor]] = collections.OrderedDict()


@dataclass(frozen=True)
class Owners:
    """The tokens of each cell, cut into pieces.

    Attributes:
        owners: token ids, int32, by cell, as often as the token selects it.
        begins, ends: where each piece lies in ``owners``, int32; unused pieces are empty.
        firsts: the first piece of each cell, int32, ``(D + 1,)``.
        gains: the factor of each token, float64.
    """

    owners: Tensor
    begins: Tensor
    ends: Tensor
    firsts: Tensor
    gains: Tensor


def owners_of(data: Tensor, offsets: Tensor, code: Code) -> Owners:
    """Return the owners of a vocabulary's cells, kept from an earlier call if there was one."""
    key = _key(data, offsets, code)
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key][0]
    made = _make(data, offsets, code)
    if not is_recording(data.device):
        _kept[key] = made, data, offsets
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    return made


def _key(data: Tensor, offsets: Tensor, code: Code) -> tuple:
    tensors = [
        (t.data_ptr(), t.numel(), 0 if t.is_inference() else t._version) for t in (data, offsets)
    ]
    return data.device, *code, *tensors


def _make(data: Tensor, offsets: Tensor, code: Code) -> Owners:
    size, device = n_rows(code), data.device
    cells, owners, counts = owned(data, offsets, code)
    cells, order = cells.sort(stable=True)

    starts = torch.searchsorted(cells, torch.arange(size + 1, device=device))
    pieces = -(-starts.diff() // PIECE)
    firsts = torch.cat([pieces.new_zeros(1), pieces.cumsum(0)])
    most = cells.numel() // PIECE + min(size, cells.numel())
    numbers = torch.arange(most, device=device)
    cell = torch.searchsorted(firsts[1:], numbers, right=True)
    used = cell < size
    cell = cell.clamp(max=size - 1)
    begins = torch.where(used, starts[cell] + (numbers - firsts[cell]) * PIECE, 0)
    ends = torch.where(used, torch.minimum(begins + PIECE, starts[cell + 1]), 0)

    return Owners(
        owners[order], begins.int(), ends.int(), firsts.int(), gains(counts.double(), code)
    )
