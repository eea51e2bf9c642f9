"""How a long run says how far it is and hears that it is to stop: one protocol for all of them.

Notable:

- Whatever may take long takes ``progress: Progress | None`` and tells it a `Step` after each
  batch. An answer of ``False`` stops the run, which returns what it has.
- A step that has nothing to hand over when it is stopped, such as a layout, raises `Stopped`.
- A step can be asked for the result so far, so whoever watches can show it; no run computes it
  unasked.

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
"""How often a run that waits for another asks whether it is to go on."""


@dataclass(frozen=True)
class Step:
    """How far a run is.

    Attributes:
        done, total: in whatever the run counts, such as pairs or bytes.
        so_far: returns the result of what was done by now; ``None`` where there is none before the
            end. It is called in the thread of the run, or once the run has ended.
    """

    done: float
    total: float
    so_far: Callable[[], Any] | None = None

    @property
    def share(self) -> float:
        """The share that is done, 0 to 1."""
        return self.done / self.total if self.total else 0.0


Progress = Callable[[Step], object]
"""Called with each step of a run; an answer of ``False`` stops it."""


class Stopped(Exception):
    """Raised by a run that was told to stop and has nothing to hand over."""


def goes_on(
    progress: Progress | None,
    done: float,
    total: float = 1.0,
    so_far: Callable[[], Any] | None = None,
) -> bool:
    """Tell how far a run is, and return whether it is to go on. Arguments as for `Step`."""
    return progress is None or progress(Step(done, total, so_far)) is not False


def tell(progress: Progress | None, done: float, total: float = 1.0) -> None:
    """Tell how far a run is that has nothing to hand over before its end.

    Raises:
        Stopped: it is not to go on.
    """
    if not goes_on(progress, done, total):
        raise Stopped


def asking(items: Iterable[Item], progress: Progress | None, every: int = 64) -> Iterator[Item]:
    """Yield items of a preparation that has nothing to hand over, asking now and then.

    A run whose visitor has left ends there, where `Progress` raises; a stop waits for the batches
    that come after it.
    """
    for number, item in enumerate(items, 1):
        yield item
        if number % every == 0:
            goes_on(progress, 0)


def part(progress: Progress | None, offset: float, width: float) -> Progress:
    """Return what a part of a run tells its steps to.

    Args:
        progress: of the whole run, which is told shares.
        offset, width: where the part begins, and how large it is, as shares of the run.
    """
    return lambda step: goes_on(progress, offset + width * step.share)


@contextmanager
def holding(lock: Any, progress: Progress | None) -> Iterator[None]:
    """Hold a lock that others may hold for long.

    Args:
        lock: a `threading.Lock` or its like.
        progress: of the run that waits for it.

    Raises:
        Stopped: it is not to wait any longer.
    """
    while not lock.acquire(timeout=LOOK_S):
        tell(progress, 0)
    try:
        yield
    finally:
        lock.release()


class Latch:
    """A `Progress` that remembers that the run is to stop, and asks no more after that."""

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
    """Go through batches until they end or the run is stopped, and sum up what was read.

    Args:
        batches: of what was read; empty ones where a stop may be heard in the midst of one.
        total: items in all batches.
        summarize: the result of what was read, and the seconds that it took.
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
