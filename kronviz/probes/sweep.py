"""Measure every kind of misspelling at every strength: where does the byte code help or hurt?

Notable:

- Sentences are read one by one with all kinds and strengths, so a stopped run has every curve,
  from fewer sentences.
- A text that allows fewer edits than requested is left out: each point says how many texts it is
  based on.

    python -m kronviz.probes sweep --pair tiny --count 40 --json sweep.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kronviz.predictor import InputError, Predictor
from kronviz.probes.outcomes import PairOutcome, fitted, outcomes
from kronviz.probes.pairs import Pair, PairSet, load_pairs, misspelled
from kronviz.probes.robustness import (
    MetricRow,
    MisspellingSettings,
    metric_rows,
    not_too_many,
)
from kronviz.progress import Progress, asking, gather
from kronviz.settings import check, narrowed, refuse_idle, setting
from kronviz.strings import whole_number
from kronviz.typos import KINDS

MAX_STRENGTH = 8


@dataclass(frozen=True)
class SweepPoint:
    """One kind at one strength.

    Attributes:
        strength: misspellings in a text, all of this kind.
        texts: sentences that allow so many misspellings of this kind.
        metrics: the four metrics over those texts, with 95% intervals.
    """

    kind: str
    strength: int
    texts: int
    metrics: tuple[MetricRow, ...]

    def metric(self, name: str) -> MetricRow:
        """Return the row of a metric."""
        return next(row for row in self.metrics if row.metric == name)


@dataclass(frozen=True)
class Sweep:
    """Curves over strength, one per kind. ``asked`` and ``done`` count misspelled texts."""

    pair: str
    seed: int
    sentences: int
    kinds: tuple[str, ...]
    strengths: tuple[int, ...]
    asked: int
    done: int
    points: tuple[SweepPoint, ...]
    problems: tuple[str, ...]
    seconds: float

    def curve(self, kind: str) -> tuple[SweepPoint, ...]:
        """Return the points of a kind, weakest first."""
        return tuple(point for point in self.points if point.kind == kind)


@dataclass(frozen=True)
class SweepSettings:
    """The settings of the sweep."""

    sentences: tuple[str, ...] = setting((), "Clean sentences; empty for our own", lines=True)
    kinds: tuple[str, ...] = setting(tuple(KINDS), "Kinds of misspelling", choices=KINDS)
    strengths: tuple[int, ...] = setting(
        (1, 2, 3, 4), "Misspellings in a sentence", low=1, high=MAX_STRENGTH
    )
    count: int = setting(40, "How many of our own sentences", low=1, high=320)
    seed: int = narrowed(MisspellingSettings, "seed")


def sweep(
    predictor: Predictor,
    settings: SweepSettings = SweepSettings(),
    progress: Progress | None = None,
) -> Sweep:
    """Misspell sentences with every kind and strength and read them with every arm.

    Args:
        progress: called after each batch; a stopped run returns what was read.

    Raises:
        InputError: a setting is invalid.
    """
    jobs = sweep_jobs(predictor, settings, progress)
    return sweep_of(predictor, jobs, seed=settings.seed, progress=progress)


def sweep_of(
    predictor: Predictor,
    jobs: PairSet,
    *,
    seed: int = SweepSettings.seed,
    progress: Progress | None = None,
) -> Sweep:
    """Read the texts of `sweep_jobs` with every arm; other arguments as for `sweep`."""
    return gather(
        outcomes(predictor, jobs.pairs),
        len(jobs.pairs),
        lambda read, seconds: summarise_sweep(predictor, jobs, read, seed=seed, seconds=seconds),
        progress,
    )


def our_sentences(count: int = SweepSettings.count) -> tuple[str, ...]:
    """Return ``count`` clean sentences of our own pairs, spread evenly over the categories.

    Raises:
        InputError: there are fewer than that.
    """
    pairs = load_pairs().pairs
    count = whole_number(count, "count", 1, len(pairs))
    return tuple(pairs[i * len(pairs) // count].clean for i in range(count))


def sweep_jobs(
    predictor: Predictor, settings: SweepSettings, progress: Progress | None = None
) -> PairSet:
    """Return every text of a sweep as a pair: category is the kind, the id ends in the strength.

    Args:
        progress: as for `kronviz.progress.asking`.

    Raises:
        InputError: a setting is invalid.
    """
    check(settings)
    if settings.sentences:
        refuse_idle(settings, ["count"], "our own sentences instead of yours")
    lines = not_too_many(settings.sentences or our_sentences(settings.count), "sentences")
    if not lines:
        raise InputError("There are no sentences; type at least one.")
    if not settings.strengths:
        raise InputError(f"No strength is chosen; give whole numbers from 1 to {MAX_STRENGTH}.")
    if not settings.kinds:
        raise InputError(f"No kind of misspelling is chosen; choose from {', '.join(KINDS)}.")
    whole = fitted(
        predictor,
        PairSet(tuple(Pair(str(i), "", line, line) for i, line in enumerate(lines, 1))),
    )
    variants: list[Pair] = []
    for clean in asking(whole.pairs, progress, 1):
        variants += _variants(clean, settings)
    return replace(fitted(predictor, PairSet(tuple(variants)), progress), problems=whole.problems)


def _variants(clean: Pair, settings: SweepSettings) -> Iterator[Pair]:
    for kind in dict.fromkeys(settings.kinds):
        for strength in dict.fromkeys(settings.strengths):
            draw = settings.seed + int(clean.id) - 1
            made = misspelled(clean.clean, (kind,), edits=strength, seed=draw)
            if len(made.edits) == strength:
                at = f"{clean.id}/{strength}"
                yield replace(clean, id=at, category=kind, typo=made.text)


def summarise_sweep(
    predictor: Predictor,
    jobs: PairSet,
    read: Sequence[PairOutcome],
    *,
    seed: int = SweepSettings.seed,
    seconds: float = 0.0,
) -> Sweep:
    """Return the curves of what was read of the jobs so far."""
    grouped: dict[tuple[str, int], list[PairOutcome]] = {}
    for pair in jobs.pairs:
        grouped.setdefault((pair.category, _strength(pair.id)), [])
    for outcome in read:
        grouped[outcome.category, _strength(outcome.id)].append(outcome)
    points = [
        SweepPoint(kind, strength, len(group), metric_rows([o.arms for o in group], seed))
        for (kind, strength), group in grouped.items()
        if group
    ]
    return Sweep(
        pair=predictor.pair,
        seed=seed,
        sentences=len({outcome.clean for outcome in read}),
        kinds=tuple(dict.fromkeys(kind for kind, _ in grouped)),
        strengths=tuple(sorted({strength for _, strength in grouped})),
        asked=len(jobs.pairs),
        done=len(read),
        points=tuple(sorted(points, key=lambda p: (list(KINDS).index(p.kind), p.strength))),
        problems=jobs.problems,
        seconds=seconds,
    )


def _strength(identifier: str) -> int:
    return int(identifier.rpartition("/")[2])
