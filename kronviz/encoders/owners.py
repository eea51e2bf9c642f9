"""Which tokens of a vocabulary select each row: the GPU's backward pass sums over them.

Notable:

- This depends on the vocabulary alone. The last few results are cached by the addresses of the
  vocabulary's tensors, and with these tensors, so that no other vocabulary can take their memory.
- Computed on the tensors' device without waiting for it: sizes are upper bounds from the shapes.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass

import torch
from torch import Tensor

from kronviz.encoders import is_recording
from kronviz.encoders.codes import Code, gains, n_rows, owned

PIECE = 128
"""Most tokens in a piece. Long lists are split: tens of thousands of tokens begin with a space."""
CACHED = 4
_cache: collections.OrderedDict[tuple, tuple[Owners, Tensor, Tensor]] = collections.OrderedDict()


@dataclass(frozen=True)
class Owners:
    """The tokens of each cell, cut into pieces.

    Attributes:
        owners: token ids, int32, sorted by cell; a token is repeated as often as it selects a cell.
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
    """Return the owners of a vocabulary's cells, cached from an earlier call if there was one."""
    key = _key(data, offsets, code)
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key][0]
    owners = _make(data, offsets, code)
    if not is_recording(data.device):
        _cache[key] = owners, data, offsets
        if len(_cache) > CACHED:
            _cache.popitem(last=False)
    return owners


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
