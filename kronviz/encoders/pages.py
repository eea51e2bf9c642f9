"""Memory for large results, in huge pages where the system has them ready.

Notable:

- The system hands out fresh memory page by page, at the first touch. For a result of 200 MB in
  pages of 4 KB that means 50,000 page faults, which take several times as long as computing it.
- Linux takes the advice where transparent huge pages are set to ``madvise`` or ``always``, and is
  free to ignore it; other systems are not asked.
- A virtual machine that returns free memory to its host gets a huge page from there in 512 pieces,
  which is slower than small pages. So the huge pages are touched one by one before the result is
  written, and once one is slow the advice is withdrawn.
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
"""Bytes from which on huge pages are asked for: two of them."""
FRESH = 32 << 20
"""Bytes from which on the allocator takes memory from the system at each call."""
SIZE = 2 << 20
"""Bytes of a huge page."""
SLOW = 0.5e-3
"""Seconds that 2 MiB take in small pages. A huge page that is ready takes a tenth of that."""
Advise = Callable[[int, int, int | None], int]
_HUGE = getattr(mmap, "MADV_HUGEPAGE", None)
_SMALL = getattr(mmap, "MADV_NOHUGEPAGE", None)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Allocate as `torch.empty` does on the CPU; PyTorch's allocator still owns the memory."""
    made = torch.empty(shape, dtype=dtype)
    if made.nbytes >= LARGE and (advise := _madvise()):
        pages = _whole(made, mmap.PAGESIZE)
        place = pages.start * mmap.PAGESIZE, len(pages) * mmap.PAGESIZE
        # The return code is ignored: the system need not take the advice.
        advise(*place, _HUGE)
        if made.nbytes >= FRESH and not _touch_all(_whole(made, SIZE)):
            advise(*place, _SMALL)
    return made


def _touch_all(pages: range) -> bool:
    """Touch huge pages on several threads, until one is slow; return whether all were fast."""
    slow: list[int] = []

    def touch(first: int, last: int) -> None:
        for page in pages[first:last]:
            if slow:
                return
            started = time.perf_counter()
            ctypes.memset(page * SIZE, 0, 1)
            if time.perf_counter() - started > SLOW:
                slow.append(page)

    share(touch, len(pages), 1)
    return not slow


def _whole(made: Tensor, size: int) -> range:
    """Return the numbers of the pages that lie within a tensor's memory."""
    start = made.data_ptr()
    return range(-(-start // size), (start + made.nbytes) // size)


@functools.cache
def _madvise() -> Advise | None:
    if _HUGE is None:
        return None
    try:
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return madvise
