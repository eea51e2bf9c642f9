"""Memory for large results, in huge pages where the system has them at hand.

Notable:

- The system hands out fresh memory page by page, at the first touch. For a result of 200 MB in
  pages of 4 KB that is 50,000 interruptions, several times the time of computing it.
- Linux takes the advice where transparent huge pages are set to ``madvise`` or ``always``, and is
  free to ignore it; on other systems nothing is asked.
- A virtual machine that gives free memory back to its host gets a huge page from there in 512
  pieces, which takes longer than small pages do. So they are touched one by one before the result
  is written, and where one was slow the advice is withdrawn for those after it.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import time
from collections.abc import Callable

import torch
from torch import Tensor

from kronviz.encoders.threads import share

LARGE = 4 << 20
"""Bytes from which on a result is worth asking for: two huge pages."""
FRESH = 32 << 20
"""Bytes from which on memory comes from the system at each call, and goes back to it."""
SIZE = 2 << 20
"""Bytes of a huge page."""
SLOW = 0.5e-3
"""Seconds that as much memory takes in small pages. A huge page at hand takes a tenth of that."""
Advise = Callable[[int, int, int | None], int]
_HUGE = getattr(mmap, "MADV_HUGEPAGE", None)
_SMALL = getattr(mmap, "MADV_NOHUGEPAGE", None)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As `torch.empty` on the CPU; PyTorch's allocator still owns the memory."""
    made = torch.empty(shape, dtype=dtype)
    if made.nbytes >= LARGE and (advise := _madvise()):
        start, stop = made.data_ptr(), made.data_ptr() + made.nbytes
        first, last = -(-start // mmap.PAGESIZE), stop // mmap.PAGESIZE
        # Advice: that it was not taken is no error.
        advise(first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE, _HUGE)
        if made.nbytes >= FRESH:
            first = -(-start // SIZE)
            touch = functools.partial(_touch, advise, first * SIZE, [])
            share(touch, stop // SIZE - first, 1)
    return made


def _touch(advise: Advise, base: int, slow: list[int], first: int, last: int) -> None:
    """Have the system provide huge pages, until one was slow for this thread or for another."""
    for page in range(first, last):
        if slow:
            advise(base + page * SIZE, (last - page) * SIZE, _SMALL)
            return
        started = time.perf_counter()
        ctypes.memset(base + page * SIZE, 0, 1)
        if time.perf_counter() - started > SLOW:
            slow.append(page)


@functools.cache
def _madvise() -> Advise | None:
    if _HUGE is None:
        return None
    try:
        found = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    found.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return found
