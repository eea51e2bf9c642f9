"""Measures how the arms rate the right answers of pairs, after the clean and misspelled texts.

Notable:

- The paper's four metrics measure how much a model's answer changes. A model that is always wrong
  may never change, so these metrics measure whether it is right.
- All arms and all differences are resampled over the same pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kronviz.metrics import AnswerMetrics
from kronviz.probes.intervals import ArmMean, Difference, bootstrap_intervals, differences, gaps
from kronviz.probes.outcomes import PairOutcome

MEASURES: dict[str, Callable[[AnswerMetrics], float]] = {
    "clean_first": lambda answer: float(answer.clean_rank == 1),
    "typo_first": lambda answer: float(answer.typo_rank == 1),
    "clean_logprob_nats": lambda answer: answer.clean_logprob,
    "typo_logprob_nats": lambda answer: answer.typo_logprob,
    "logprob_drop_nats": lambda answer: answer.clean_logprob - answer.typo_logprob,
    "clean_reciprocal_rank": lambda answer: 1 / answer.clean_rank,
    "typo_reciprocal_rank": lambda answer: 1 / answer.typo_rank,
}


@dataclass(frozen=True)
class AnswerRow:
    """One measure of the right answer, over the pairs that have one.

    Attributes:
        measure: a name in `MEASURES`. ``…_first`` is the share of pairs, 0 to 1, on which the right
            answer is the first choice; ``…_logprob_nats`` its mean log-probability;
            ``logprob_drop_nats`` how much of that is lost to the misspelling;
            ``…_reciprocal_rank`` the mean of 1/rank.
        arms: the mean of each arm.
        differences: the paired difference of every two arms.
    """

    measure: str
    arms: tuple[ArmMean, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class MedianRank:
    """An arm's median rank of the right answer, from 1, after the clean and misspelled texts."""

    arm: str
    clean: float
    typo: float


@dataclass(frozen=True)
class Answers:
    """How the right answers were rated; ``pairs`` is the number of pairs that have one."""

    pairs: int
    rows: tuple[AnswerRow, ...]
    medians: tuple[MedianRank, ...]

    def row(self, measure: str) -> AnswerRow:
        """Return the row of a measure."""
        return next(row for row in self.rows if row.measure == measure)


def answers(read: Sequence[PairOutcome], seed: int = 0) -> Answers | None:
    """Summarize how pairs with a right answer were rated; ``None`` if there are none."""
    rated = [[arm.answer for arm in outcome.arms if arm.answer] for outcome in read]
    rated = [arms for arms in rated if arms]
    if not rated:
        return None
    names = [arm.arm for arm in read[0].arms]
    columns = []
    for measure in MEASURES.values():
        values = np.array([[measure(answer) for answer in arms] for arms in rated])
        columns += [values, gaps(values)]
    intervals = iter(bootstrap_intervals(np.hstack(columns), seed))
    rows = [
        AnswerRow(
            measure,
            tuple(ArmMean(name, next(intervals)) for name in names),
            differences(names, intervals),
        )
        for measure in MEASURES
    ]
    medians = [
        MedianRank(
            names[i],
            float(np.median([arms[i].clean_rank for arms in rated])),
            float(np.median([arms[i].typo_rank for arms in rated])),
        )
        for i in range(len(names))
    ]
    return Answers(len(rated), tuple(rows), tuple(medians))
