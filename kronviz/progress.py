"""One protocol by which every long run reports its progress and can be stopped.

Notable:

- A function that may take long has an argument ``progress: Progress | None`` and calls it with a
  `Step` after each batch. If it returns ``False``, the run stops and returns what it has.
- A run without partial results, such as a layout, raises `Stopped` instead.
- A step can be asked for the result so far; it is computed only when asked for.

>>> told = []
>>> gather([[1, 2], [3]], 3, lambda read, seconds: sum(read), lambda step: told.append(step.share))
6
>>> told
[0.0, 0.6666666666666666, 1.0]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
LOOK_S = 0.3
"""Seconds between two checks of a run that waits for a lock."""


@dataclass(frozen=True)
class Step:
    """How far a run has come.

    Attributes:
        done, total: in the run's own unit, such as pairs or bytes.
        so_far: returns the result so far; ``None`` if there is none before the end. Call it in the
            thread of the run, or after the run has ended.
    """

    done: float
    total: float
    so_far: Callable[[], Any] | None = None

    @property
    def share(self) -> float:
        """Return the share done, 0 to 1."""
        return self.done / self.total if self.total else 0.0


Progress = Callable[[Step], object]
"""Called with each step of a run; returning ``False`` stops it."""


class Stopped(Exception):
    """Raised by a run that was told to stop and has no partial result."""


def goes_on(
    progress: Progress | None,
    done: float,
    total: float = 1.0,
    so_far: Callable[[], Any] | None = None,
) -> bool:
    """Report a step, and return whether the run should go on. Arguments as for `Step`."""
    return progress is None or progress(Step(done, total, so_far)) is not False


def tell(progress: Progress | None, done: float, total: float = 1.0) -> None:
    """Report a step of a run that has no result before its end.

    Raises:
        Stopped: the run should not go on.
    """
    if not goes_on(progress, done, total):
        raise Stopped


def asking(items: Iterable[Item], progress: Progress | None, every: int = 64) -> Iterator[Item]:
    """Yield the items of a preparatory loop, and call ``progress`` after every so many.

    If the visitor has left, ``progress`` raises and ends the run here. A stop takes effect later,
    at the batches that follow.
    """
    for number, item in enumerate(items, 1):
        yield item
        if number % every == 0:
            goes_on(progress, 0)


def part(progress: Progress | None, offset: float, width: float) -> Progress:
    """Return a `Progress` for a part of a run.

    Args:
        progress: that of the whole run; it receives shares.
        offset, width: where the part begins and how long it is, as shares of the run.
    """
    return lambda step: goes_on(progress, offset + width * step.share)


@contextmanager
def holding(lock: Any, progress: Progress | None) -> Iterator[None]:
    """Hold a lock that others may hold for long.

    Args:
        lock: a `threading.Lock` or the like.
        progress: that of the run that waits for it.

    Raises:
        Stopped: the run should not wait any longer.
    """
    while not lock.acquire(timeout=LOOK_S):
        tell(progress, 0)
    try:
        yield
    finally:
        lock.release()


class Latch:
    """A `Progress` that remembers a stop and does not ask again."""

    def __init__(self, progress: Progress | None):
        self._progress = progress
        self.stopped = False

    def __call__(self, step: Step) -> bool:
        """Return whether the run goes on."""
        if not self.stopped and self._progress is not None:
            self.stopped = self._progress(step) is False
        return not self.stopped


def gather(
    batches: Iterable[Sequence[Item]],
    total: int,
    summarize: Callable[[list[Item], float], Result],
    progress: Progress | None = None,
) -> Result:
    """Collect batches until they end or the run is stopped, and summarize the items.

    Args:
        batches: items as they are read; an empty batch only checks for a stop.
        total: number of items in all batches.
        summarize: makes the result from the items and the seconds that they took.
    """
    started = time.perf_counter()
    read: list[Item] = []

    def so_far() -> Result:
        return summarize(read, time.perf_counter() - started)

    if goes_on(progress, 0, total, so_far):
        for batch in batches:
            read += batch
            if not goes_on(progress, len(read), total, so_far):
                break
    return so_far()
