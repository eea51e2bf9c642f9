"""Typed words laid out anew by UMAP, by themselves: a picture of these words and nothing else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kronviz.maps.lookup import LEFT, RIGHT, word_vectors
from kronviz.maps.spaces import ask, space_of
from kronviz.maps.umap_layout import layout
from kronviz.maps.words import checked_words
from kronviz.predictor import InputError, Predictor
from kronviz.strings import readable

FEWEST = 5
NEIGHBORS = 8


@dataclass(frozen=True)
class FreshSide:
    """Words laid out anew in one space.

    Attributes:
        points: right and up, 0 to 1, in the order of the words.
        basis: what stands for each word, as for `kronviz.maps.lookup.Standing`.
    """

    space: str
    arm: str
    title: str
    points: tuple[tuple[float, float], ...]
    basis: tuple[str, ...]


@dataclass(frozen=True)
class FreshLayout:
    """Words laid out anew in two spaces."""

    pair: str
    words: tuple[str, ...]
    sides: tuple[FreshSide, ...]
    seconds: float


def lay_out_words(
    words: Sequence[str], predictor: Predictor, left: str = LEFT, right: str = RIGHT
) -> FreshLayout:
    """Lay typed words out by UMAP on these words alone.

    The first call takes some seconds more, in which umap-learn is imported and compiled.

    Raises:
        InputError: there are fewer than five words, or an argument is of no use.
    """
    for step in lay_out_steps(words, predictor, left, right):
        if isinstance(step, FreshLayout):
            return step
    raise AssertionError


def lay_out_steps(
    words: Sequence[str], predictor: Predictor, left: str = LEFT, right: str = RIGHT
) -> Iterator[float | FreshLayout]:
    """`lay_out_words` step by step: shares that are done, at last the layout."""
    started = time.perf_counter()
    data = checked_words(words)
    if len(data) < FEWEST:
        raise InputError(
            f"A layout of its own takes at least {FEWEST} words; these are {len(data)}."
        )
    sides = []
    for number, name in enumerate((left, right)):
        space = space_of(predictor, name)
        vectors = word_vectors(predictor, name, data)
        basis = ask(predictor, space, data).basis
        flat = None
        for step in steps(lambda tell, v=vectors: layout(v, neighbors=NEIGHBORS, progress=tell)):  # type: ignore[misc]
            if isinstance(step, float):
                yield (number + step) / 2
            else:
                flat = step
        assert flat is not None
        low, high = flat.min(0), flat.max(0)
        unit = ((flat - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5).clip(0, 1)
        points = tuple((float(x), float(y)) for x, y in unit)
        sides.append(FreshSide(name, space.arm, space.title, points, basis))
    texts = tuple(map(readable, data))
    yield FreshLayout(predictor.pair, texts, tuple(sides), time.perf_counter() - started)


class _Stopped(Exception):
    """Nobody waits for the answer any more."""


def steps(work):  # type: ignore[no-untyped-def]
    """Run ``work(progress)`` aside and yield the shares that it tells, at last what it returns.

    Where the caller goes away, the work stops at its next word of progress.
    """
    told: queue.Queue = queue.Queue()
    left = threading.Event()

    def tell(share: float) -> None:
        if left.is_set():
            raise _Stopped
        told.put(float(share))

    def run() -> None:
        try:
            told.put((work(tell), None))
        except _Stopped:
            pass
        except Exception as error:
            told.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        while True:
            step = told.get()
            if isinstance(step, tuple):
                if step[1] is not None:
                    raise step[1]
                yield step[0]
                return
            yield step
    finally:
        left.set()
