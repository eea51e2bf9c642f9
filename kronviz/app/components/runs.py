"""Long runs on a page: one protocol for waiting, progress, partial results, stopping and failure.

Notable:

- A run is a function that reports its progress (`kronviz.progress`), in its own thread (`watched`).
  Each report returns whether to continue. `Runs.stages` adds partial results and a cache.
- Each queue has one `Lane`, which a run holds until its work has ended. A stopped task in the
  middle of a step keeps the lane, so at most one such task is ever finishing; the next visitor
  waits, is told why, and can cancel.
- A generator yields at least once a second, because Gradio ends a generator whose visitor has left
  only when it yields.
- Any exception of a run becomes one sentence (`failure`), and its partial result stays.
- Finished results are kept in a bounded cache by their inputs. They depend on nothing else, so
  another process without that cache gives the same answer, only later.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kronviz.errors import InputError, Sentence
from kronviz.progress import Progress, Step, Stopped

Result = TypeVar("Result")
SHOW_EVERY_S = 0.8
BEAT_S = 0.25
SPEAK_S = 1.0
"""Seconds between two values of a generator, whether or not anything has changed."""
GRACE_S = 1.4
"""Seconds that a stopped task has to return its partial result."""
KEPT = 24
QUEUE = "lab"
FINISHING = "A run that was stopped is finishing its last step. Yours starts by itself after it."
_log = logging.getLogger("kronviz")


def failure(error: BaseException) -> str:
    """Log the error of a run or an answer, and return a sentence about it for the visitor."""
    if isinstance(error, Sentence):
        return str(error)
    if isinstance(error, Stopped):
        return "Stopped."
    _log.error("A run ended in an error.", exc_info=error)
    if isinstance(error, MemoryError):
        return "There was not enough memory to finish this. Ask for less, or try again later."
    return (
        f"This ended early, in an error of the app ({type(error).__name__}). Try again; the log of "
        "the app says more."
    )


class Lane:
    """A lock that one run of a queue holds from its first step until its work has ended."""

    def __init__(self) -> None:
        self._free = threading.Semaphore()
        self.taken = False
        """Whether a run holds it."""
        self.finishing = False
        """Whether the run that holds it was stopped, and is in its last step."""

    def enter(self, stopped: Callable[[], bool]) -> Iterator[bool]:
        """Wait for the lane; yield ``False`` once a second while waiting, then ``True`` inside.

        If the run is stopped before, it ends without ``True``.
        """
        spoke = time.monotonic()
        while not self._free.acquire(timeout=BEAT_S):
            if stopped():
                return
            if time.monotonic() - spoke >= SPEAK_S:
                spoke = time.monotonic()
                yield False
        self.finishing, self.taken = False, True
        yield True

    def leave(self) -> None:
        """Let the next run in; called once for each run that entered, from any thread."""
        self.finishing = self.taken = False
        self._free.release()

    def alone(
        self, ask: Callable[[], Result], there: Callable[[], object] = lambda: None
    ) -> Result:
        """Wait for the lane, call a function and return its result.

        Args:
            there: called while waiting; raises if the caller has left.
        """
        while not self._free.acquire(timeout=BEAT_S):
            there()
        self.taken = True
        try:
            return ask()
        finally:
            self.leave()


_lanes: dict[str, Lane] = {}
_lanes_lock = threading.Lock()


def lane(name: str = QUEUE) -> Lane:
    """Return the lane of a queue."""
    with _lanes_lock:
        return _lanes.setdefault(name, Lane())


@dataclass(frozen=True)
class Stage(Generic[Result]):
    """A run at one moment: the result so far, the progress, and whether the run continues."""

    result: Result | None
    done: int
    asked: int
    running: bool


@dataclass
class Runs:
    """Expected runs, requests to stop, and earlier results, by visitor."""

    _expected: set[str] = field(default_factory=set)
    _stopped: set[str] = field(default_factory=set)
    _found: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, visitor: str) -> None:
        """Note that a visitor's run was requested and is not in the queue yet."""
        with self._lock:
            self._expected.add(visitor)

    def arrived(self, visitor: str) -> None:
        """Note that the expected run has begun, or will not begin."""
        with self._lock:
            self._expected.discard(visitor)

    def expected(self, visitor: str) -> bool:
        """Return whether a visitor's run was requested and has not begun."""
        return visitor in self._expected

    def begin(self, visitor: str) -> None:
        """Forget that a visitor stopped an earlier run."""
        with self._lock:
            self._stopped.discard(visitor)

    def stop(self, visitor: str) -> None:
        """End the visitor's run after the batch under way."""
        with self._lock:
            self._stopped.add(visitor)

    def stopped(self, visitor: str) -> bool:
        """Return whether the visitor has called `stop` since the last `begin`."""
        return visitor in self._stopped

    def found(self, key: Hashable) -> Any:
        """Return a finished result, or ``None``."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def keep(self, key: Hashable, result: object) -> None:
        """Keep a finished result; the least recently used one is dropped."""
        with self._lock:
            self._found[key] = result
            while len(self._found) > KEPT:
                self._found.popitem(last=False)

    def stages(
        self,
        visitor: str,
        key: Hashable,
        task: Callable[[Progress], Result],
        asked: int = 0,
        *,
        partial: bool = True,
        queue: str = QUEUE,
    ) -> Iterator[Stage[Result]]:
        """Run a probe and yield its progress and its result so far.

        Args:
            visitor: the visitor who can stop the run.
            key: everything that the result depends on.
            task: the probe, called with the function to which it reports its steps.
            asked: expected number of steps, used until the probe reports it.
            partial: whether intermediate stages carry a result.
            queue: the queue whose lane the run holds.

        Raises:
            BaseException: the exception of the run, after a last stage with its partial result.
        """
        known = self.found(key)
        if known is not None:
            yield Stage(known, asked, asked, False)
            return
        yield Stage(None, 0, asked, True)
        last, so_far, summed, shown = Step(0, asked), None, 0.0, time.monotonic()

        def told(tell: Progress) -> Result:
            def hear(step: Step) -> object:
                nonlocal last, so_far, summed
                last = step
                due = partial and time.monotonic() - max(summed, started) > SHOW_EVERY_S
                if due and step.so_far and 0 < step.done < step.total:
                    so_far, summed = step.so_far(), time.monotonic()
                return tell(step)

            started = time.monotonic()
            return task(hear)

        result: Result | None = None
        try:
            for item in watched(told, lambda: self.stopped(visitor), queue, grace=None):
                if not isinstance(item, Step):
                    result = item
                elif time.monotonic() - shown > SHOW_EVERY_S:
                    shown = time.monotonic()
                    yield Stage(so_far, int(item.done), int(item.total) or asked, True)
        except (GeneratorExit, InputError):
            raise
        except BaseException:
            result = last.so_far() if last.so_far else None
            yield Stage(result, int(last.done), int(last.total), False)
            raise
        if result is None:  # Stopped before its turn: the result of a probe that has read nothing.
            result = task(lambda step: False)
        elif last.done == last.total:
            self.keep(key, result)
        self.begin(visitor)
        yield Stage(result, int(last.done), int(last.total), False)


def watched(
    task: Callable[[Progress], Result],
    stopped: Callable[[], bool],
    queue_name: str = QUEUE,
    grace: float | None = GRACE_S,
) -> Iterator[Step | Result | None]:
    """Run a task in its own thread and yield its progress.

    The thread holds its queue's lane until it has ended. Once ``stopped`` returns true, the task's
    next report gets ``False``, and the task has ``grace`` seconds (``None``: no limit) to return
    its partial result. A task that continues is ended at the report after that. A task in the
    middle of a step finishes the step unobserved, and then leaves the lane. Its exceptions are
    raised here.

    Yields:
        The last reported step, once a second and whenever there is a new one; at the end the
        result, or ``None`` if the task was stopped and returned nothing.
    """
    own = lane(queue_name)
    for inside in own.enter(stopped):
        if inside:
            break
        yield Step(0, 1)
    else:
        yield None
        return
    told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    enough, over = threading.Event(), threading.Event()
    ended, lock = False, threading.Lock()

    def tell(step: Step) -> bool:
        if over.is_set():
            raise Stopped
        if enough.is_set() or stopped():
            over.set()
            return False
        told.put(("step", step))
        return True

    def work() -> None:
        nonlocal ended
        try:
            told.put(("result", task(tell)))
        except Stopped:
            told.put(("result", None))
        except BaseException as error:
            told.put(("error", error))
        finally:
            with lock:
                ended = True
                own.leave()

    try:
        threading.Thread(target=work, daemon=True).start()
    except RuntimeError:  # The system cannot start another thread.
        own.leave()
        raise
    shown, step = time.monotonic(), Step(0, 1)
    until: float | None = None
    try:
        while True:
            if until is None and stopped():
                enough.set()
                until = time.monotonic() + grace if grace is not None else math.inf
            if until is not None and time.monotonic() > until:
                yield None
                return
            speak = until in (None, math.inf) and time.monotonic() - shown >= SPEAK_S
            try:
                kind, value = told.get(timeout=BEAT_S)
            except queue.Empty:
                if speak:
                    shown = time.monotonic()
                    yield step
                continue
            if kind == "error":
                raise value
            if kind == "result":
                yield value
                return
            step = value
            if until is None and time.monotonic() - shown >= BEAT_S:
                shown = time.monotonic()
                yield step
    finally:
        over.set()
        with lock:
            if not ended:
                own.finishing = True
