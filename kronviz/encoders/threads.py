"""Shares a loop that releases the GIL among threads, with an overhead of microseconds.

Notable:

- There are as many threads as PyTorch uses, started when first needed. They wait on a queue, hold
  no memory while they wait, and end with the process.
- Each thread, the calling one included, takes the next part when it is free, so a thread that the
  system delays does not delay the others. Any number of callers may ask at once.
- `concurrent.futures` makes a lock, a condition and a work item for each part; this makes one queue
  for each call.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

import torch

PARTS = 4
"""Parts per thread."""
Work = Callable[[int, int], object]


def share(work: Work, total: int, unit: int, *, alone: bool = False) -> None:
    """Do ``work(first, last)`` for all of ``[0, total)``, on several threads unless ``alone``.

    Args:
        unit: parts begin at multiples of this; a part is at least one unit.
    """
    units = -(-total // unit)
    threads = 1 if alone else min(torch.get_num_threads(), units)
    if threads < 2:
        if total:
            work(0, total)
        return
    count = min(PARTS * threads, units)
    edges = [min(units * part // count * unit, total) for part in range(count + 1)]
    job = _Job(work, list(itertools.pairwise(edges)))
    _team.help(job, threads - 1)
    job.run()
    job.finish()


class _Job:
    """The parts of one call's work, each done once by the first thread that is free."""

    def __init__(self, work: Work, parts: list[tuple[int, int]]):
        self.work: Work | None = work
        # A list iterator hands out each item once, even to several threads.
        self.parts = iter(parts)
        self.missing = len(parts)
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(self) -> None:
        """Run parts until none is left."""
        for part in self.parts:
            try:
                self.work(*part)  # type: ignore[misc]
            except BaseException as error:
                self.done.put(error)
            else:
                self.done.put(None)

    def finish(self) -> None:
        """Wait until all parts are done; raise what one of them raised."""
        errors = [self.done.get() for _ in range(self.missing)]
        # A busy thread may take this job later; the caller's memory must be free by then.
        self.work = None
        for error in errors:
            if error is not None:
                raise error


class _Team:
    """Threads that wait for jobs."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.lock = threading.Lock()
        self.size = 0

    def help(self, job: _Job, helpers: int) -> None:
        """Offer a job to ``helpers`` threads."""
        if self.size < helpers:
            self._grow(helpers)
        for _ in range(helpers):
            self.jobs.put(job)

    def _grow(self, size: int) -> None:
        with self.lock:
            while self.size < size:
                self.size += 1
                name = f"kronviz-encoder-{self.size}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.jobs.get().run()


_team = _Team()


def _replace_team() -> None:
    global _team
    _team = _Team()


if hasattr(os, "register_at_fork"):
    # A forked child has the queue but none of the threads.
    os.register_at_fork(after_in_child=_replace_team)
