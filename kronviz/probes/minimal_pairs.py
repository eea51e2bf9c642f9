"""Score minimal pairs: is the grammatical sentence more probable than the ungrammatical one?

    python -m kronviz.probes minimal-pairs --pair tiny --file adjunct_island.jsonl

Notable:

- The file is BLiMP's (arXiv 1912.00582): JSON Lines with ``sentence_good`` and ``sentence_bad``,
  and optionally ``field``, ``linguistics_term`` or ``UID``. A line may also be ``good | bad``.
- Sentences are scored as lm-evaluation-harness scores them: an end-of-text token, a space before
  the first word, and the sum of the log-probabilities of all tokens. `kronviz.probes.harness` runs
  the harness itself.
- Perturbations change only what the two sentences have in common, in the same way in both; the
  words that differ, which are what is judged, stay.
- The score is H-Net's (arXiv 2507.07955) with a chance level of one half:
  100 · (perturbed − 0.5) / max(clean − 0.5, 0).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kronviz.errors import InputError, count
from kronviz.lines import decode_text, read_bytes
from kronviz.model import parameter_count
from kronviz.passages import CLEAN, PERTURBED, Condition
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
)
from kronviz.probes.outcomes import BATCH_FLOP, batch_sizes
from kronviz.probes.pairs import misspelled
from kronviz.progress import Progress, asking, goes_on
from kronviz.scoring import Ids, score
from kronviz.settings import setting
from kronviz.typos import DEFAULT_KINDS
from kronviz.typos.noise import PERTURBATIONS, perturb

MAX_BYTES, MAX_PAIRS, MAX_CHARS = 40_000_000, 100_000, 2_000
CONDITIONS = (CLEAN, Condition("synthetic", 0.3), Condition("human", 0.3), *PERTURBED)
MAX_ASKED = 1_000
"""Most pairs in one call of the API."""
CHANCE = 0.5
_PHENOMENON = ("UID", "linguistics_term", "field")


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences that differ only in what makes one of them ungrammatical."""

    good: str
    bad: str
    phenomenon: str = ""


@dataclass(frozen=True)
class MinimalArm:
    """One arm in one condition.

    Attributes:
        accuracy: share of the pairs, 0 to 1, whose good sentence is more probable.
        score: percentage of the clean accuracy above chance that remains, see the module's notes;
            ``None`` for the clean sentences, and if the interval of their accuracy is not above
            chance.
    """

    arm: str
    accuracy: Interval
    score: Interval | None


@dataclass(frozen=True)
class MinimalRow:
    """All arms in one condition; differences are of accuracies, pair by pair."""

    kind: str
    share: float
    arms: tuple[MinimalArm, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Phenomenon:
    """Accuracies on clean sentences, by arm, over the pairs of one phenomenon."""

    name: str
    pairs: int
    accuracies: dict[str, float]


@dataclass(frozen=True)
class MinimalPairs:
    """The figures of a run, finished or stopped; ``asked`` and ``done`` count pairs."""

    pair: str
    file: str
    seed: int
    resamples: int
    asked: int
    done: int
    rows: tuple[MinimalRow, ...]
    phenomena: tuple[Phenomenon, ...]
    problems: tuple[str, ...]
    seconds: float


def read_pairs(path: Path) -> tuple[MinimalPair, ...]:
    """Read minimal pairs from a file in BLiMP's format.

    Raises:
        InputError: the file cannot be read or is too large, or a line is not a pair.
    """
    return parse_pairs(decode_text(read_bytes(path, MAX_BYTES), path.name), path.name)


def parse_pairs(text: str, name: str, most: int = MAX_PAIRS) -> tuple[MinimalPair, ...]:
    """Read minimal pairs from text: BLiMP's JSON Lines, or ``good | bad`` on each line.

    Args:
        name: of the text, for error messages.
        most: pairs allowed.

    Raises:
        InputError: a line is not a pair, or there are none or too many.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(filled) <= most:
        raise InputError(f"{name} has {len(filled):,} pairs; give 1 to {most:,}.")
    return tuple(_pair(line, f"{name}, line {number}") for number, line in filled)


@dataclass(frozen=True)
class MinimalPairSettings:
    """The minimal pairs to judge."""

    sentences: tuple[str, ...] = setting(
        ...,
        f'Pairs, 1 to {MAX_ASKED:,}, each as "good | bad" or as a JSON object with '
        '"sentence_good" and "sentence_bad", as in BLiMP',
        link="pairs",
    )
    seed: int = setting(0, "Seed of the perturbations and of the bootstrap")


def minimal_pairs(
    predictor: Predictor,
    pairs: Sequence[MinimalPair],
    name: str = "",
    *,
    conditions: Sequence[Condition] = CONDITIONS,
    seed: int = MinimalPairSettings.seed,
    progress: Progress | None = None,
) -> MinimalPairs:
    """Judge minimal pairs with every arm, clean and perturbed.

    Args:
        name: of the file, for the result.
        conditions: the first of them clean; see `kronviz.passages.Condition`.
        progress: called after each block of pairs; a stopped run returns what was read.

    Raises:
        InputError: no sentence fits the models, or the human misspellings are not available.
    """
    started = time.perf_counter()

    def encode(text: str) -> Ids:
        # As the harness does, with a space before the first word.
        return tuple(predictor.tokenizer.encode(f" {text}"))

    fitting, problems = [], list(predictor.problems)
    for number, pair in enumerate(asking(pairs, progress)):
        ids = [
            tuple(map(encode, _perturbed(pair, condition, seed + number)))
            for condition in conditions
        ]
        if max(len(one) for both in ids for one in both) <= predictor.n_ctx:
            fitting.append((pair, ids))
    if len(fitting) < len(pairs):
        left = len(pairs) - len(fitting)
        problems.append(f"Left out, as too long once perturbed: {count(left, 'pair')}.")
    if not fitting:
        raise InputError("No pair of sentences fits the models; give shorter ones.")
    right: dict[str, list[NDArray[np.float64]]] = {arm: [] for arm in predictor.arms}
    done = 0

    def so_far() -> MinimalPairs:
        table = {arm: np.concatenate(blocks) for arm, blocks in right.items()}
        return MinimalPairs(
            pair=predictor.pair,
            file=name,
            seed=seed,
            resamples=RESAMPLES,
            asked=len(fitting),
            done=done,
            rows=tuple(_row(table, i, at, seed) for i, at in enumerate(conditions)),
            phenomena=_phenomena([pair for pair, _ in fitting[:done]], table),
            problems=tuple(problems),
            seconds=time.perf_counter() - started,
        )

    for size in batch_sizes(predictor, [_tokens(ids) for _, ids in fitting]):
        block = [ids for _, ids in fitting[done : done + size]]
        judged = {}
        for arm in right:
            judged[arm] = _judged(predictor, arm, block, progress)
        for arm, own in judged.items():
            right[arm].append(own)
        done += size
        if not goes_on(progress, done, len(fitting), so_far):
            break
    return so_far()


def _tokens(ids: Sequence[tuple[Ids, ...]]) -> int:
    return sum(len(sentence) for both in ids for sentence in both)


def _judged(
    predictor: Predictor,
    arm: str,
    block: Sequence[Sequence[tuple[Ids, ...]]],
    progress: Progress | None,
) -> NDArray[np.float64]:
    """Return 1 where the good sentence is more probable, else 0: ``(pairs, conditions)``."""
    start = (predictor.tokenizer.eot_id,)
    texts = [(start, one) for ids in block for both in ids for one in both]
    model = predictor.arms[arm]
    tokens = int(BATCH_FLOP / (2 * parameter_count(model)))
    scores = score(model, texts, tokens=tokens, progress=progress)
    logprobs = scores.logprobs.reshape(len(block), -1, 2)
    return (logprobs[..., 0] > logprobs[..., 1]).astype(np.float64)


def _row(
    table: dict[str, NDArray[np.float64]], column: int, condition: Condition, seed: int
) -> MinimalRow:
    arms, n = list(table), len(table)
    right = np.stack([table[arm][:, column] for arm in arms], 1)
    clean = np.stack([table[arm][:, 0] for arm in arms], 1)
    intervals = bootstrap_intervals(np.hstack([right, gaps(right)]), seed)
    scores: list[Interval | None] = [None] * n
    if column:
        scores = clear_ratios(100 * (right - CHANCE), clean - CHANCE, seed)
    return MinimalRow(
        condition.kind,
        condition.share,
        tuple(map(MinimalArm, arms, intervals[:n], scores)),
        differences(arms, intervals[n:]),
    )


def _phenomena(
    pairs: Sequence[MinimalPair], table: dict[str, NDArray[np.float64]]
) -> tuple[Phenomenon, ...]:
    grouped: dict[str, list[int]] = {}
    for i, pair in enumerate(pairs):
        grouped.setdefault(pair.phenomenon, []).append(i)
    return tuple(
        Phenomenon(name, len(rows), {arm: float(v[rows, 0].mean()) for arm, v in table.items()})
        for name, rows in grouped.items()
        if name
    )


def _perturbed(pair: MinimalPair, condition: Condition, seed: int) -> tuple[str, str]:
    """Return both sentences, with what they have in common perturbed in the same way."""
    if condition == CLEAN:
        return pair.good, pair.bad
    good, bad = pair.good.split(" "), pair.bad.split(" ")
    most = min(len(good), len(bad))
    first = next((i for i in range(most) if good[i] != bad[i]), most)
    last = next((i for i in range(most - first) if good[-1 - i] != bad[-1 - i]), most - first)
    before = _noisy(" ".join(good[:first]), condition, seed)
    behind = _noisy(" ".join(good[len(good) - last :]), condition, seed + 1)

    def joined(words: Sequence[str]) -> str:
        middle = " ".join(words[first : len(words) - last])
        return " ".join(part for part in (before, middle, behind) if part)

    return joined(good), joined(bad)


def _noisy(text: str, condition: Condition, seed: int) -> str:
    if condition.kind in PERTURBATIONS:
        return perturb(text, condition.kind, seed)
    kinds = DEFAULT_KINDS if condition.kind == "synthetic" else (condition.kind,)
    return misspelled(text, kinds, seed=seed, share=condition.share).text


def _pair(line: str, place: str) -> MinimalPair:
    row: dict[str, Any] = {}
    if not line.lstrip().startswith("{") and line.count("|") == 1:
        good, bad = (part.strip() for part in line.split("|"))
    else:
        try:
            row = json.loads(line)
            good, bad = row["sentence_good"], row["sentence_bad"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(
                f'{place}: give a JSON object with "sentence_good" and "sentence_bad", or two '
                "sentences with a | between them."
            ) from None
    for text in (good, bad):
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_CHARS:
            raise InputError(f"{place}: a sentence must be text of 1 to {MAX_CHARS:,} characters.")
    if good == bad:
        raise InputError(f"{place}: the two sentences are the same; they must differ.")
    phenomenon = next((row[key] for key in _PHENOMENON if isinstance(row.get(key), str)), "")
    return MinimalPair(good, bad, phenomenon[:80])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the probe's arguments to a command line."""
    # Not from the settings: a BLiMP file is larger than any setting's text may be.
    parser.add_argument("--file", type=Path, required=True, help="JSON Lines in BLiMP's format")


def run(
    predictor: Predictor, options: argparse.Namespace, progress: Progress | None
) -> MinimalPairs:
    """Run the probe as the command line asks."""
    pairs = read_pairs(options.file)
    return minimal_pairs(predictor, pairs, options.file.name, seed=options.seed, progress=progress)


def lines(result: MinimalPairs) -> Iterator[str]:
    """Yield a result as lines to print."""
    yield from result.problems
    yield f"pair {result.pair}, {result.file}, {result.done} of {result.asked} pairs"
    for row in result.rows:
        yield f"{Condition(row.kind, row.share)}"
        for arm in row.arms:
            left = f", score {arm.score}" if arm.score else ""
            yield f"  {arm.arm}: accuracy {arm.accuracy}{left}"
        for gap in row.differences:
            yield f"  {gap.arm} − {gap.base}: {gap.value}"
    yield f"{result.seconds:.1f} s"


def table(result: MinimalPairs) -> list[dict[str, object]]:
    """Return a result as flat rows, one for each condition and arm."""
    return [
        {
            "kind": row.kind,
            "share": row.share,
            "arm": arm.arm,
            **columns("accuracy", arm.accuracy),
            **columns("score", arm.score),
        }
        for row in result.rows
        for arm in row.arms
    ]
