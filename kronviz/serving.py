"""Serves comparisons to many visitors: waiting questions form one batch, equal ones are read once.

Notable:

- One thread reads for everybody. Questions queue while it is busy; then it takes all of them, up to
  `BATCH`. It never waits for a batch to fill.
- A question whose asker has left, or has asked a newer one, is dropped before it is read.
- Answers are cached by question, least recently used first out. They depend on nothing else, so
  several processes need not share a cache.
- If the wait would be too long, a question is refused at once, with its place in the queue.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import torch

from kronviz.predictor import Comparison, InputError, Predictor, cores

BATCH = 16
WAITING = 500
KEPT = 512
PATIENCE_S = 4.0
_SLOWEST_S, _WEIGHT = 0.02, 0.2
"""Initial estimate of the seconds per comparison, and the weight of a new batch in their mean."""

Question = tuple[str, str, str]


class Busy(InputError):
    """Too many questions are waiting.

    Attributes:
        place: the place that this question would have in the queue, from 1.
        seconds: the estimated time until it would be read.
    """

    def __init__(self, place: int, seconds: float):
        super().__init__(
            f"Busy: this would be number {place:,} in the queue, about {max(seconds, 1):.0f} s "
            "from now; ask again then."
        )
        self.place, self.seconds = place, seconds


class Overtaken(Exception):
    """The same asker asked a newer question before this one was read."""


@dataclass
class _Waiting:
    """A waiting question, and the futures of those who asked it."""

    question: Question
    answers: list[Future[Comparison]] = field(default_factory=list)


class Comparisons:
    """The comparisons of one pair of models, for many askers.

    Args:
        predictor: computes them; only one thread ever calls it.
        batch: most questions in a batch.
        waiting: most questions that may wait.
        kept: most answers in the cache.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        batch: int = BATCH,
        waiting: int = WAITING,
        kept: int = KEPT,
    ):
        self.predictor = predictor
        self._batch, self._limit, self._cache_limit = batch, waiting, kept
        self._queue: deque[_Waiting] = deque()
        self._open: dict[Question, _Waiting] = {}
        self._newest: dict[str, Future[Comparison]] = {}
        self._cache: OrderedDict[Question, Comparison] = OrderedDict()
        self._reading = 0
        self._each_s = _SLOWEST_S
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def compare(self, clean: str, typo: str, answer: str = "") -> Comparison:
        """Compare like `Predictor.compare`, in one batch with other waiting questions.

        Raises:
            InputError: a text is empty or too long.
            Busy: too many questions are waiting.
        """
        return self.submit(clean, typo, answer=answer).result()

    def submit(
        self, clean: str, typo: str, asker: str | None = None, *, answer: str = ""
    ) -> Future[Comparison]:
        """Ask without waiting.

        Args:
            asker: who asks; a newer question of the same asker replaces an older one, which then
                raises `Overtaken`.
            answer: what should follow both texts; empty if unknown.

        Raises:
            Busy: too many questions are waiting.
        """
        future: Future[Comparison] = Future()
        question = clean, typo, answer
        with self._changed:
            if asker is not None:
                self._overtake(asker)
            if question in self._cache:
                self._cache.move_to_end(question)
                future.set_result(self._cache[question])
                return future
            same = self._open.get(question)
            if same is None:
                self._admit()
                same = self._open[question] = _Waiting(question)
                self._queue.append(same)
                self._changed.notify()
            same.answers.append(future)
            if asker is not None:
                self._remember(asker, future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="compare", daemon=True)
                self._thread.start()
        return future

    @property
    def ahead(self) -> int:
        """Return the number of questions that would be read before a new one."""
        return len(self._queue) + self._reading

    def _admit(self) -> None:
        seconds = self.ahead * self._each_s
        if len(self._queue) >= self._limit or seconds > PATIENCE_S:
            raise Busy(self.ahead + 1, seconds)

    def _overtake(self, asker: str) -> None:
        if (older := self._newest.pop(asker, None)) is not None:
            _settle(older, Overtaken())

    def _remember(self, asker: str, answer: Future[Comparison]) -> None:
        """Remember a future as its asker's newest, until it is done."""
        self._newest[asker] = answer

        def forget(_: Future[Comparison]) -> None:
            with self._changed:
                if self._newest.get(asker) is answer:
                    del self._newest[asker]

        answer.add_done_callback(forget)

    def _work(self) -> None:
        while True:
            batch = self._take()
            started = time.perf_counter()
            self._answer(batch)
            each_s = (time.perf_counter() - started) / len(batch)
            self._each_s += _WEIGHT * (each_s - self._each_s)

    def _take(self) -> list[_Waiting]:
        """Wait for questions; return the next batch, without those that nobody waits for."""
        with self._changed:
            batch: list[_Waiting] = []
            self._reading = 0
            while not batch:
                self._changed.wait_for(lambda: self._queue)
                while self._queue and len(batch) < self._batch:
                    waiting = self._queue.popleft()
                    if all(answer.done() for answer in waiting.answers):
                        del self._open[waiting.question]
                    else:
                        batch.append(waiting)
            self._reading = len(batch)
            return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        answers: list[Comparison | Exception] = []
        try:
            answers += self.predictor.compare_many([waiting.question for waiting in batch])
        except BaseException as error:
            # Whatever a text breaks, the one thread that reads for everybody must survive.
            if len(batch) > 1:
                # One bad text must not cost the others their answers.
                for waiting in batch:
                    self._answer([waiting])
                return
            answers = [error if isinstance(error, Exception) else RuntimeError(repr(error))]
        with self._changed:
            for waiting, answer in zip(batch, answers, strict=True):
                del self._open[waiting.question]
                if isinstance(answer, Comparison):
                    self._cache[waiting.question] = answer
            while len(self._cache) > self._cache_limit:
                self._cache.popitem(last=False)
        for waiting, answer in zip(batch, answers, strict=True):
            for future in waiting.answers:
                _settle(future, answer)


def share_cores() -> int:
    """Give PyTorch half of the cores, unless ``OMP_NUM_THREADS`` is set; return its thread count.

    The other cores answer requests. OpenMP threads that share a core busy-wait for each other, and
    a batch then takes many times as long as with one thread.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, cores() // 2))
    return torch.get_num_threads()


def _settle(future: Future[Comparison], answer: Comparison | Exception) -> None:
    # The asker may cancel, or ask again, at this very moment.
    with contextlib.suppress(InvalidStateError):
        if isinstance(answer, Comparison):
            future.set_result(answer)
        else:
            future.set_exception(answer)
