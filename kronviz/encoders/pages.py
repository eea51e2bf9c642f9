"""Memory for large results, in huge pages where the system lends them.

Notable:

- The system hands out fresh memory page by page, at the first touch. For a result of 200 MB in
  pages of 4 KB that is 50,000 interruptions, several times the time of computing it.
- Linux takes the advice where transparent huge pages are set to ``madvise`` or ``always``, and is
  free to ignore it; on other systems nothing is asked.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable

import torch
from torch import Tensor

LARGE = 4 << 20
"""Bytes from which on a result is worth asking for: two huge pages."""
_HUGE = getattr(mmap, "MADV_HUGEPAGE", None)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As `torch.empty` on the CPU; PyTorch's allocator still owns the memory."""
    made = torch.empty(shape, dtype=dtype)
    if made.nbytes >= LARGE and (advise := _madvise()):
        first = -(-made.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (made.data_ptr() + made.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
        # Advice: that it was not taken is no error.
        advise(first, whole, _HUGE)
    return made


@functools.cache
def _madvise() -> Callable[[int, int, int | None], int] | None:
    if _HUGE is None:
        return None
    try:
        found = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    found.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return found
