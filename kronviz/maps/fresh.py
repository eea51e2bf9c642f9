"""Lays out typed words by UMAP on their own, without the tokens of the vocabulary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from kronviz.maps.lookup import SideSettings, word_vectors
from kronviz.maps.spaces import ask, space_of
from kronviz.maps.umap_layout import layout
from kronviz.maps.words import checked_words
from kronviz.predictor import InputError, Predictor
from kronviz.progress import Progress, part
from kronviz.strings import readable

FEWEST = 5
NEIGHBORS = 8


@dataclass(frozen=True)
class FreshSide:
    """Words laid out in one space.

    Attributes:
        points: x and y, 0 to 1, right and up, in the order of the words.
        basis: how each word got its vector, as in `kronviz.maps.lookup.Standing`.
    """

    space: str
    arm: str
    title: str
    points: tuple[tuple[float, float], ...]
    basis: tuple[str, ...]


@dataclass(frozen=True)
class FreshLayout:
    """Words laid out in two spaces."""

    pair: str
    words: tuple[str, ...]
    sides: tuple[FreshSide, ...]
    seconds: float


def lay_out_words(
    words: Sequence[str],
    predictor: Predictor,
    left: str = SideSettings.left,
    right: str = SideSettings.right,
    progress: Progress | None = None,
) -> FreshLayout:
    """Lay out typed words by UMAP on these words alone.

    The first call takes some seconds more, to import and compile umap-learn.

    Args:
        progress: called with the share done.

    Raises:
        InputError: there are fewer than five words, or an argument is invalid.
        Stopped: ``progress`` returned ``False``.
    """
    started = time.perf_counter()
    data = checked_words(words)
    if len(data) < FEWEST:
        raise InputError(
            f"A layout needs at least {FEWEST} words and there are {len(data)}; add some."
        )
    sides = []
    for number, name in enumerate((left, right)):
        space = space_of(predictor, name)
        vectors = word_vectors(predictor, name, data)
        basis = ask(predictor, space, data).basis

        flat = layout(vectors, neighbors=NEIGHBORS, progress=part(progress, number / 2, 0.5))
        low, high = flat.min(0), flat.max(0)
        unit = ((flat - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5).clip(0, 1)
        points = tuple((float(x), float(y)) for x, y in unit)
        sides.append(FreshSide(name, space.arm, space.title, points, basis))
    texts = tuple(map(readable, data))
    return FreshLayout(predictor.pair, texts, tuple(sides), time.perf_counter() - started)
