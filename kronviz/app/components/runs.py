"""Long runs on a page: partial results while they last, a stop that keeps what was done, a cache.

Notable:

- A run is a generator over batches; between two of them it looks whether its visitor said stop.
- Finished results are kept in a bounded cache by what was asked. They depend on nothing else, so
  another process without that cache gives the same answer, only later.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
SHOW_EVERY_S = 0.8
BEAT_S = 0.25
GRACE_S = 1.4
"""How long a stopped task may take to hand over what it has; a stop is heard after `BEAT_S`."""
KEPT = 24
QUEUE = "lab"


@dataclass(frozen=True)
class Stage(Generic[Result]):
    """A run at one moment: what was found so far, how far it is, and whether more is to come."""

    result: Result | None
    done: int
    asked: int
    running: bool


@dataclass
class Runs:
    """Whose run is about to come, who said stop, and what was found before."""

    _expected: set[str] = field(default_factory=set)
    _stopped: set[str] = field(default_factory=set)
    _found: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, visitor: str) -> None:
        """A visitor's run was asked for, and is not in the queue yet."""
        with self._lock:
            self._expected.add(visitor)

    def arrived(self, visitor: str) -> None:
        """The run that was expected has begun, or will never."""
        with self._lock:
            self._expected.discard(visitor)

    def expected(self, visitor: str) -> bool:
        """Whether a visitor's run was asked for and has not begun."""
        return visitor in self._expected

    def begin(self, visitor: str) -> None:
        """Forget that a visitor said stop to an earlier run."""
        with self._lock:
            self._stopped.discard(visitor)

    def stop(self, visitor: str) -> None:
        """End the visitor's run after the batch under way."""
        with self._lock:
            self._stopped.add(visitor)

    def stopped(self, visitor: str) -> bool:
        """Whether the visitor said stop since the last `begin`."""
        return visitor in self._stopped

    def found(self, key: Hashable) -> Any:
        """A finished result, or ``None``."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def keep(self, key: Hashable, result: object) -> None:
        """Keep a finished result; the one asked for longest ago goes."""
        with self._lock:
            self._found[key] = result
            while len(self._found) > KEPT:
                self._found.popitem(last=False)

    def stages(
        self,
        visitor: str,
        key: Hashable,
        batches: Callable[[], Iterable[Sequence[Item]]],
        asked: int,
        summarise: Callable[[list[Item], float], Result],
        *,
        partial: bool = True,
    ) -> Iterator[Stage[Result]]:
        """Run through batches, now and then showing how far it is.

        Args:
            visitor: whose stop ends the run.
            key: all that the result depends on.
            batches: starts the run.
            summarise: a result from what was read and the seconds it took.
            partial: whether a stage on the way carries a result.
        """
        known = self.found(key)
        if known is not None:
            yield Stage(known, asked, asked, False)
            return
        started = shown = time.perf_counter()
        read: list[Item] = []
        yield Stage(None, 0, asked, True)
        for batch in batches():
            read += batch
            now = time.perf_counter()
            if self.stopped(visitor):
                break
            if now - shown > SHOW_EVERY_S and len(read) < asked:
                so_far = summarise(read, now - started) if partial else None
                yield Stage(so_far, len(read), asked, True)
                shown = time.perf_counter()
        result = summarise(read, time.perf_counter() - started)
        if len(read) == asked:
            self.keep(key, result)
        self.begin(visitor)
        yield Stage(result, len(read), asked, False)


class _Stopped(Exception):
    """Raised inside a task that nobody waits for any more."""


def watched(
    task: Callable[[Callable[[float], object]], Result], stopped: Callable[[], bool]
) -> Iterator[float | Result | None]:
    """Run a task that tells how far it is, in a thread of its own, and look on.

    As soon as ``stopped`` says so, the task's next word is answered by ``False``, and it has
    `GRACE_S` to hand over what it has. One that goes on all the same is ended at its next word
    but one, and left alone even where it is deep in a step of its own. What it raises is raised
    here.

    Yields:
        The share that is done, 0 to 1, whenever it has grown; at last the result, or ``None`` if
        the task was stopped and handed nothing over.
    """
    told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    enough, over = threading.Event(), threading.Event()

    def tell(share: float) -> bool:
        if over.is_set():
            raise _Stopped
        if enough.is_set():
            over.set()
            return False
        told.put(("share", share))
        return True

    def work() -> None:
        try:
            told.put(("result", task(tell)))
        except _Stopped:
            told.put(("result", None))
        except BaseException as error:
            told.put(("error", error))

    threading.Thread(target=work, daemon=True).start()
    shown = time.monotonic()
    until: float | None = None
    try:
        while True:
            if until is None and stopped():
                enough.set()
                until = time.monotonic() + GRACE_S
            if until is not None and time.monotonic() > until:
                yield None
                return
            try:
                kind, value = told.get(timeout=BEAT_S)
            except queue.Empty:
                continue
            if kind == "error":
                raise value
            if kind == "result":
                yield value
                return
            if until is None and time.monotonic() - shown >= BEAT_S:
                shown = time.monotonic()
                yield value
    finally:
        over.set()
