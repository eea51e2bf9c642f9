"""Compute intervals for the paper's own spelling test from its published rows.

    python -m kronviz.probes paper

Notable:

- The paper gives means over 110 pairs (section 6.11). Its repository publishes each pair's figures
  (`theschoolofai/kronecker-embeddings`, ``probes/data/robustness_results.json``, Apache-2.0); those
  numbers, to five decimals and without any text, are in ``assets/published_robustness.csv``.
- We measured none of these figures; we only compute the intervals and the test.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from dataclasses import dataclass

from kronviz.metrics import PairMetrics
from kronviz.paths import ASSETS
from kronviz.probes.intervals import RESAMPLES, mcnemar_exact
from kronviz.probes.outcomes import ArmOutcome
from kronviz.probes.robustness import METRICS, McNemar, MetricRow, metric_rows

ROWS = ASSETS / "published_robustness.csv"
ARMS = ("bpe", "kron")
SEED = 1


@dataclass(frozen=True)
class PaperRobustness:
    """The paper's rows, summarised like ours: means, paired differences and intervals."""

    pairs: int
    seed: int
    resamples: int
    metrics: tuple[MetricRow, ...]
    mcnemar: McNemar

    def metric(self, name: str) -> MetricRow:
        """Return the row of a metric."""
        return next(row for row in self.metrics if row.metric == name)


@functools.cache
def paper_robustness(seed: int = SEED) -> PaperRobustness:
    """Return the intervals of the paper's published rows; the same seed gives the same figures."""
    with ROWS.open(newline="", encoding="utf-8") as file:
        read = [[_outcome(row, arm) for arm in ARMS] for row in csv.DictReader(file)]
    kept = [[arm.metrics.top1_kept for arm in arms] for arms in read]
    only_bpe, only_kron = kept.count([True, False]), kept.count([False, True])
    return PaperRobustness(
        pairs=len(read),
        seed=seed,
        resamples=RESAMPLES,
        metrics=metric_rows(read, seed),
        mcnemar=McNemar(
            both_kept=kept.count([True, True]),
            only_bpe=only_bpe,
            only_kron=only_kron,
            neither=kept.count([False, False]),
            p_value=mcnemar_exact(only_bpe, only_kron),
        ),
    )


def _outcome(row: dict[str, str], arm: str) -> ArmOutcome:
    kept, *others = (float(row[f"{arm}_{metric}"]) for metric in METRICS)
    return ArmOutcome(arm, "", "", PairMetrics(bool(kept), *others))


def lines(result: PaperRobustness) -> Iterator[str]:
    """Yield a result as lines to print."""
    yield f"the paper's {result.pairs} pairs, seed {result.seed}"
    for row in result.metrics:
        arms = "  ".join(f"{arm.arm} {arm.value}" for arm in row.arms)
        yield f"{row.metric}: {arms}"
        if row.difference:
            yield f"  kron − bpe {row.difference}"
    test = result.mcnemar
    yield (
        f"McNemar: only bpe kept {test.only_bpe}, only kron {test.only_kron}, "
        f"p = {test.p_value:.4g}"
    )


def table(result: PaperRobustness) -> list[dict[str, object]]:
    """Return a result as flat rows: one per metric and arm, and one per difference."""
    return [
        {"metric": row.metric, "arm": name, "mean": v.mean, "low": v.low, "high": v.high}
        for row in result.metrics
        for name, v in (
            *((arm.arm, arm.value) for arm in row.arms),
            *([("kron − bpe", row.difference)] if row.difference else []),
        )
    ]
