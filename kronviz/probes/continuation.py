"""Measures the loss on a text's true continuation after a misspelled context.

    python -m kronviz.probes continuation --pair tiny --text val.jsonl.xz --half verdict

Notable:

- The scored tokens are clean and the same after every context and for every arm, so all differences
  are paired; see `kronviz.passages`.
- Passages are read in blocks, each with every condition and arm, so that a stopped run has all
  figures, from fewer passages.
- The score is H-Net's (arXiv 2507.07955, section 3.2), applied to loss instead of accuracy: the
  percentage of the gain over chance that is left after the perturbation. In H-Net, chance is a
  quarter of the answers: 100 · (perturbed − 0.25) / max(clean − 0.25, 0). Here it is the loss on
  the same tokens without a context: 100 · (none − perturbed) / (none − clean).
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kronviz.errors import InputError, count
from kronviz.lines import documents
from kronviz.model import parameter_count
from kronviz.passages import (
    ALL,
    CLEAN,
    CONTEXT,
    CONTINUATION,
    COUNT,
    HALVES,
    MISSPELLED,
    NONE,
    PERTURBED,
    Condition,
    PassageError,
    Passages,
    losses,
    passages,
)
from kronviz.predictor import Predictor
from kronviz.probes.intervals import (
    RESAMPLES,
    Difference,
    Interval,
    bootstrap_intervals,
    clear_ratios,
    columns,
    differences,
    gaps,
    ratio_intervals,
)
from kronviz.probes.outcomes import BATCH_FLOP
from kronviz.progress import Progress, goes_on
from kronviz.settings import add_arguments as add_settings
from kronviz.settings import check, from_options, setting
from kronviz.typos import DEFAULT_KINDS, KINDS

SETS: dict[str, tuple[Condition, ...]] = {
    "misspelled": (CLEAN, *MISSPELLED),
    "perturbed": (CLEAN, *PERTURBED, NONE),
    "all": ALL,
}
"""Sets of conditions; a score needs `CLEAN` and `NONE`."""
MEAN = "mean of the five"
"""The kind of the row with the mean loss over the five perturbations."""
BLOCK = 5
"""Most passages that are read at once in one condition."""

Losses = Mapping[str, Mapping[Condition, NDArray[np.float64]]]
"""Nats per token of each passage, ``(passages,)``, by arm and condition."""


@dataclass(frozen=True)
class ContinuationArm:
    """One arm in one condition.

    Attributes:
        nats: loss in nats per token.
        bits_per_byte: the same in bits per byte of the continuations.
        rise_nats: the loss minus that after the clean context, paired by passage.
        score: percentage of the context's benefit that is left, see the module's notes; ``None`` if
            the loss without a context was not measured.
    """

    arm: str
    nats: Interval
    bits_per_byte: Interval
    rise_nats: Interval
    score: Interval | None


@dataclass(frozen=True)
class ContinuationRow:
    """All arms in one condition.

    Attributes:
        kind, share: see `kronviz.passages.Condition`; `MEAN` for the five perturbations together.
        misspelled: share of the words that were really misspelled; ``None`` for other kinds.
        cut: number of contexts of which only the end fits the models.
        differences: of the losses of every two arms, in nats per token, paired by passage.
    """

    kind: str
    share: float
    misspelled: float | None
    cut: int
    arms: tuple[ContinuationArm, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Continuation:
    """The figures of a run, finished or stopped.

    Attributes:
        pair: name of the pair of models.
        text, text_sha256: name of the text's file, and the hash of its documents, joined by NUL.
        half: half of the text, see `kronviz.passages.HALVES`; ``None`` for the whole.
        passages_sha256: hash of the passages' clean text, by which runs can be compared.
        asked, done: number of passages to be read, and of those that were read.
        context, continuation: number of clean tokens in each.
    """

    pair: str
    text: str
    text_sha256: str
    half: str | None
    passages_sha256: str
    seed: int
    resamples: int
    asked: int
    done: int
    context: int
    continuation: int
    rows: tuple[ContinuationRow, ...]
    problems: tuple[str, ...]
    seconds: float

    def row(self, kind: str, share: float = 0.0) -> ContinuationRow:
        """Return the row of a condition."""
        return next(row for row in self.rows if (row.kind, row.share) == (kind, share))


@dataclass(frozen=True)
class ContinuationSettings:
    """The settings of the probe, apart from the text."""

    count: int = setting(
        COUNT, "Passages to cut from the text", low=1, high=1_000_000, option="--passages"
    )
    context: int = setting(CONTEXT, "Clean tokens before the cut", low=1, high=1_000_000)
    tokens: int = setting(
        CONTINUATION, "Tokens after the cut that are scored", low=1, high=1_000_000
    )
    conditions: str = setting(
        "misspelled",
        "What is done to the contexts; perturbed means AntSpeak, Drop, RandomCase, Repeat and "
        "UpperCase",
        choices=SETS,
        option="--set",
    )
    kinds: tuple[str, ...] = setting(DEFAULT_KINDS, "Kinds of misspellings", choices=KINDS)
    seed: int = setting(0, "Seed of the passages, the misspellings and the bootstrap")


def continuation(
    predictor: Predictor, text: Path, *arguments: Any, **options: Any
) -> tuple[Continuation, Losses]:
    """Read passages of a file with every arm; the rest as for `continuation_of`."""
    return continuation_of(predictor, list(documents(text)), text.name, *arguments, **options)


def continuation_of(
    predictor: Predictor,
    documents: Sequence[str],
    name: str,
    settings: ContinuationSettings = ContinuationSettings(),
    *,
    half: str | None = None,
    progress: Progress | None = None,
) -> tuple[Continuation, Losses]:
    """Read passages of documents with every arm.

    Args:
        name: the text's name, for the result.
        half: half of the documents, see `kronviz.passages.HALVES`; ``None`` for all.
        progress: called after each block of passages; a stopped run returns what was read.

    Returns:
        The figures, and the losses from which they were computed.

    Raises:
        InputError: the text or a setting is invalid.
    """
    started = time.perf_counter()
    check(settings)
    try:
        made = passages(
            documents,
            predictor.tokenizer.name,
            count=settings.count,
            context=settings.context,
            continuation=settings.tokens,
            conditions=SETS[settings.conditions],
            kinds=settings.kinds,
            seed=settings.seed,
            half=half,
            progress=progress,
        )
        by_arm = read(predictor, made, progress)
    except PassageError as error:
        raise InputError(str(error)) from None
    problems = list(predictor.problems)
    if len(made) < settings.count:
        problems.append(
            f"The text has only {len(made):,} of the {settings.count:,} passages asked for."
        )
    result = report(predictor, made, by_arm, name, documents, seconds=time.perf_counter() - started)
    return replace(result, problems=tuple(problems)), by_arm


def report(
    predictor: Predictor,
    made: Passages,
    by_arm: Losses,
    name: str,
    documents: Sequence[str],
    *,
    seconds: float = 0.0,
) -> Continuation:
    """Return the result for measured losses; ``name`` and ``documents`` are the text's."""
    return Continuation(
        pair=predictor.pair,
        text=name,
        text_sha256=hashlib.sha256("\0".join(documents).encode()).hexdigest(),
        half=made.half,
        passages_sha256=made.texts,
        seed=made.seed,
        resamples=RESAMPLES,
        asked=len(made),
        done=len(next(iter(by_arm.values()))[CLEAN]),
        context=len(made.contexts[CLEAN][0]),
        continuation=made.targets.shape[1],
        rows=summarise(made, by_arm, predictor.n_ctx, made.seed),
        problems=(),
        seconds=seconds,
    )


def read(predictor: Predictor, made: Passages, progress: Progress | None = None) -> Losses:
    """Return the losses of every arm in every condition, for the passages read until a stop."""
    parts: dict[str, dict[Condition, list[NDArray[np.float64]]]] = {
        arm: {condition: [] for condition in made.contexts} for arm in predictor.arms
    }
    length = len(made.contexts[CLEAN][0]) + made.targets.shape[1]
    largest = max(map(parameter_count, predictor.arms.values()))
    size = max(1, min(BLOCK, int(BATCH_FLOP / (2 * largest * length))))
    edges = [0, *range(1, len(made), size), len(made)]
    for start, end in pairwise(edges):
        block = made.part(start, end)
        measured: list[tuple[list[NDArray[np.float64]], NDArray[np.float64]]] = []
        for arm, model in predictor.arms.items():
            for condition, blocks in parts[arm].items():
                # The first passage is always read, because an empty run has no result.
                if not goes_on(progress, start, len(made)) and start:
                    return _joined(parts)
                measured.append((blocks, losses(model, block, condition)))
        for blocks, own in measured:
            blocks.append(own)
        if not goes_on(progress, end, len(made)):
            break
    return _joined(parts)


def _joined(parts: Mapping[str, Mapping[Condition, list[NDArray[np.float64]]]]) -> Losses:
    return {
        arm: {condition: np.concatenate(blocks) for condition, blocks in by_condition.items()}
        for arm, by_condition in parts.items()
    }


def summarise(
    made: Passages, by_arm: Losses, n_ctx: int, seed: int = ContinuationSettings.seed
) -> tuple[ContinuationRow, ...]:
    """Return means, paired differences and scores with intervals, one row for each condition.

    Args:
        by_arm: losses of the first passages, or of all; at least the clean context of each arm.
        n_ctx: number of tokens that the models read.
    """
    rows: list[tuple[Condition, tuple[Condition, ...]]]
    rows = [(at, (at,)) for at in made.contexts if at != NONE]
    if set(PERTURBED) <= set(made.contexts):
        rows.append((Condition(MEAN), PERTURBED))
    return tuple(_row(made, by_arm, name, over, n_ctx, seed) for name, over in rows)


def _row(
    made: Passages,
    by_arm: Losses,
    condition: Condition,
    over: Sequence[Condition],
    n_ctx: int,
    seed: int,
) -> ContinuationRow:
    arms = list(by_arm)
    nats = np.stack([np.mean([by_arm[arm][at] for at in over], 0) for arm in arms], 1)
    clean = np.stack([by_arm[arm][CLEAN] for arm in arms], 1)
    done = len(nats)
    n = len(arms)
    intervals = bootstrap_intervals(np.hstack([nats, nats - clean, gaps(nats)]), seed)
    bits = nats * made.targets.shape[1] / np.log(2)
    sizes = np.broadcast_to(made.bytes[:done, None], bits.shape)
    scores: Sequence[Interval | None] = [None] * n
    if NONE in made.contexts and condition != CLEAN:
        none = np.stack([by_arm[arm][NONE] for arm in arms], 1)
        # Without a clear benefit of the context there is no share of it to keep.
        scores = clear_ratios(100 * (none - nats), none - clean, seed)
    return ContinuationRow(
        kind=condition.kind,
        share=condition.share,
        misspelled=made.misspelled[condition] if condition.share else None,
        cut=sum(made.part(0, done).cut(at, n_ctx) for at in over),
        arms=tuple(
            map(
                ContinuationArm,
                arms,
                intervals[:n],
                ratio_intervals(bits, sizes, seed),
                intervals[n : 2 * n],
                scores,
            )
        ),
        differences=differences(arms, intervals[2 * n :]),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the probe's arguments to a command line."""
    parser.add_argument(
        "--text", type=Path, required=True, help="a text not trained on, or JSON Lines; also .xz"
    )
    parser.add_argument("--half", choices=HALVES, help="half of the documents, chosen by hash")
    add_settings(parser, ContinuationSettings)
    parser.add_argument("--losses", type=Path, metavar="FILE", help="write all losses, as npz")


def run(
    predictor: Predictor, options: argparse.Namespace, progress: Progress | None
) -> Continuation:
    """Run the probe of a command line, and write each passage's losses if it asks for them."""
    asked = from_options(ContinuationSettings, options)
    result, by_arm = continuation(
        predictor, options.text, asked, half=options.half, progress=progress
    )
    if options.losses:
        arrays = {f"{arm}/{at}": nats for arm, by in by_arm.items() for at, nats in by.items()}
        np.savez_compressed(options.losses, **arrays)  # type: ignore[arg-type]
    return result


def lines(result: Continuation) -> Iterator[str]:
    """Return a result as lines to print."""
    yield from result.problems
    half = f", {result.half} half" if result.half else ""
    yield (
        f"pair {result.pair}, {result.text}{half}, "
        f"{result.done} of {count(result.asked, 'passage')}, "
        f"{count(result.continuation, 'token')} after {result.context}, seed {result.seed}"
    )
    for row in result.rows:
        real = "" if row.misspelled is None else f" ({row.misspelled:.1%} of the words)"
        cut = f" ({count(row.cut, 'context')} cut)" if row.cut else ""
        yield f"{Condition(row.kind, row.share)}{real}{cut}"
        for arm in row.arms:
            score = f", score {arm.score}" if arm.score else ""
            yield (
                f"  {arm.arm}: {arm.nats} nats, {arm.bits_per_byte} bits per byte, "
                f"{arm.rise_nats} over clean{score}"
            )
        for difference in row.differences:
            yield f"  {difference.arm} − {difference.base}: {difference.value} nats"
    yield f"{result.seconds:.1f} s"


def table(result: Continuation) -> list[dict[str, object]]:
    """Return a result as flat rows, one for each condition and arm."""
    return [
        {
            "kind": row.kind,
            "share": row.share,
            "misspelled": row.misspelled,
            "cut": row.cut,
            "arm": arm.arm,
            **columns("nats", arm.nats),
            **columns("bits_per_byte", arm.bits_per_byte),
            **columns("rise_nats", arm.rise_nats),
            **columns("score", arm.score),
        }
        for row in result.rows
        for arm in row.arms
    ]
