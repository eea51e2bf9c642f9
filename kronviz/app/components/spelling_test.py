"""What hundreds of texts say, under the answer to one: the kept spelling test in a sentence.

The run that `kronviz.probes.kept` keeps with a pair's weights; nothing stands here for weights that
it was not measured on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kronviz.app.components.html import Markup, element, join
from kronviz.app.components.numbers import number
from kronviz.app.components.pieces import arm_name, listing
from kronviz.checkpoint import CheckpointError
from kronviz.probes.intervals import ArmMean, Difference
from kronviz.probes.kept import KeptRobustness, kept


def kept_run(pair_dir: Path) -> KeptRobustness | None:
    """The kept spelling test of a pair; ``None`` where there is none that can be read."""
    try:
        return kept(pair_dir)
    except CheckpointError:
        return None


def beyond(pair_dir: Path) -> Markup:
    """Return what all our pairs say in one sentence; nothing without a kept run."""
    found = kept_run(pair_dir)
    row = found.report.metric("top1_kept") if found else None
    if found is None or row is None or not row.arms:
        return element("div")
    parts: list[object] = ["Over ", number(found.report.done), " misspelled texts: "]
    answers = found.report.answers
    if answers is not None:
        right = answers.row("typo_first")
        parts += ["right answer first, ", _shares(right.arms), *map(_gap, right.differences), "; "]
    parts += ["first choice kept, ", _shares(row.arms)]
    if row.difference is not None:
        parts.append(_gap(Difference("kron", "bpe", row.difference)))
    return element(
        "p",
        *parts,
        ". ",
        element(
            "a",
            "All measures",
            href="?tab=robustness",
            data_opens="robustness",
        ),
        class_="kv-beyond",
    )


def _shares(arms: Sequence[ArmMean]) -> Markup:
    said = [join([arm_name(arm.arm), " ", _percent(arm.value.mean)]) for arm in arms]
    return listing(said, ", ")


def _percent(share: float) -> Markup:
    return number(share, 1, percent=True)


def _gap(difference: Difference) -> Markup:
    """Return a difference in percentage points with its 95% interval."""
    value = difference.value
    low, high = (number(end * 100, 1, sign=True) for end in (value.low, value.high))
    interval = element("span", "[", low, ", ", high, "]", class_="kv-interval")
    named = f", {difference.arm} − {difference.base} "
    return join([named, number(value.mean * 100, 1, sign=True), " points ", interval])
