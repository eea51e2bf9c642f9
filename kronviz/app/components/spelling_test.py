"""Show the results over hundreds of texts below the answer for one: which arm is ahead, and why.

Notable:

- The results are those that `kronviz.probes.stored_runs` and `stored_continuation` store with a
  pair's weights; they are shown only for the weights that they were measured on.
- An arm is ahead only if paired intervals exclude 0.
- A third arm that beats both others on the true continuation is named here, one click away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronviz.app.components.html import Markup, element, join
from kronviz.app.components.numbers import number
from kronviz.app.components.pieces import arm_name, count, listing
from kronviz.checkpoint_files import FURTHER, CheckpointError
from kronviz.probes.continuation import Continuation
from kronviz.probes.intervals import ArmMean, Difference
from kronviz.probes.stored_continuation import stored_continuation
from kronviz.probes.stored_runs import ROBUSTNESS, Kind, StoredRun, stored_run

SHARE = 0.15
"""Share of the words of a passage that are misspelled."""
KINDS = ("synthetic", "human")


@dataclass(frozen=True)
class Fact:
    """One measure over all texts.

    Attributes:
        title: title of the measure.
        arms: mean of each arm; the differences subtract the first arm.
        differences: the difference of every two arms.
        larger: whether larger values are better.
        points: whether values are shares, written in percent.
    """

    title: str
    arms: Sequence[ArmMean]
    differences: Sequence[Difference]
    larger: bool
    points: bool

    @property
    def ahead(self) -> str | None:
        """Name of the arm that is ahead of every other by an interval that excludes 0."""
        for arm in self.arms:
            own = [gap for gap in self.differences if arm.arm in (gap.arm, gap.base)]
            if own and all(_wins(arm.arm, gap, self.larger) for gap in own):
                return arm.arm
        return None

    def value(self, value: float, *, signed: bool = False) -> Markup:
        """Return a value of the measure as text."""
        if self.points:
            return number(value * 100 if signed else value, 1, percent=not signed, sign=signed)
        return number(value, 3, sign=signed)


def readable_run(pair_dir: Path, kind: Kind = ROBUSTNESS) -> StoredRun[Any] | None:
    """Return a measurement stored with a pair's weights; ``None`` if none can be read."""
    try:
        return stored_run(pair_dir, kind)
    except CheckpointError:
        return None


def readable_losses(pair_dir: Path) -> Continuation | None:
    """Return the stored losses on true continuations; ``None`` if none can be read."""
    try:
        continuation = stored_continuation(pair_dir)
    except CheckpointError:
        return None
    return continuation.misspelled if continuation else None


def facts(pair_dir: Path) -> tuple[list[Fact], str]:
    """Return the stored measures of a pair, and a description of the texts."""
    test, losses = readable_run(pair_dir), readable_losses(pair_dir)
    listed: list[Fact] = []
    over: list[str] = []
    if test and test.report.answers:
        right = test.report.answers.row("typo_first")
        listed.append(Fact("Right answer first", right.arms, right.differences, True, True))
    if losses:
        row = losses.row(KINDS[0], SHARE)
        means = [ArmMean(arm.arm, arm.nats) for arm in row.arms]
        listed.append(Fact("Loss on what follows", means, row.differences, False, False))
        over.append(f"{losses.done:,} passages")
    first_choice = test.report.metric("top1_kept") if test else None
    if test and first_choice and first_choice.arms and first_choice.difference:
        gap = Difference("kron", "bpe", first_choice.difference)
        pair = [arm for arm in first_choice.arms if arm.arm in (gap.arm, gap.base)]
        listed.append(Fact("First choice kept", pair, [gap], True, True))
        over.insert(0, count(test.report.done, "text"))
    return listed, ", ".join(over)


def all_pairs(pair_dir: Path, others: Mapping[str, tuple[Path, str]] | None = None) -> Markup:
    """Return the stored results over all our texts, one line per measure; empty without a run.

    Args:
        others: folder and size of the other models that can be chosen, by name.
    """
    listed, over = facts(pair_dir)
    third = _third({n: other for n, other in (others or {}).items() if other[0] != pair_dir})
    if not listed:
        return element("div", third)
    return element(
        "section",
        element(
            "p",
            element("span", "Which answers better? ", class_="kv-fact-values"),
            over,
            element("span", ", misspelled", class_="kv-fact-values"),
            element("span", " (kron − bpe)", class_="kv-fact-short") if _single(listed) else "",
            ": ",
            element("a", "All measures", href="?tab=robustness", data_opens="robustness"),
            element(
                "span",
                " · ",
                element("a", "Other embeddings", href="?tab=arms", data_opens="arms"),
                class_="kv-fact-values",
            ),
        ),
        element("ul", *map(_fact, listed)),
        third,
        aria_label="What all our texts say",
        class_="kv-beyond kv-beyond-pair" if _single(listed) else "kv-beyond",
    )


def _single(listed: Sequence[Fact]) -> bool:
    """Return whether each measure has one difference; a narrow page then names it once."""
    return all(len(fact.differences) == 1 for fact in listed)


def _fact(fact: Fact) -> Markup:
    ahead = fact.ahead
    verdict = join([arm_name(ahead), " ahead"]) if ahead else Markup("too close to call")
    values = [join([arm_name(arm.arm), " ", fact.value(arm.value.mean)]) for arm in fact.arms]
    base = fact.differences[0].base if fact.differences else ""
    gaps = [_gap(fact, gap) for gap in fact.differences if gap.base == base]
    return element(
        "li",
        element("span", f"{fact.title}: ", element("b", verdict)),
        " ",
        element(
            "span",
            element("span", listing(values, ", "), "; ", class_="kv-fact-values"),
            listing(gaps, ", "),
            class_="kv-fact-numbers",
        ),
    )


def _gap(fact: Fact, gap: Difference) -> Markup:
    """Return a difference with its 95% interval."""
    low, high = (fact.value(end, signed=True) for end in (gap.value.low, gap.value.high))
    unit = element("span", " points" if fact.points else " nats", class_="kv-fact-unit")
    interval = element("span", "[", low, ", ", high, "]", class_="kv-interval")
    mean = fact.value(gap.value.mean, signed=True)
    named = element("span", f"{gap.arm} − {gap.base} ", class_="kv-fact-name")
    return join([named, mean, unit, " ", interval])


def _wins(arm: str, gap: Difference, larger: bool) -> bool:
    """Return whether an arm is ahead in a difference of which it is a part."""
    up = (gap.arm == arm) == larger
    return gap.value.low > 0 if up else gap.value.high < 0


def _third(others: Mapping[str, tuple[Path, str]]) -> Markup:
    """Return a sentence about a third arm that beats both others, with a button to show it.

    It must lose less on the true continuation after keyboard slips and after human misspellings,
    each by paired intervals that exclude 0.
    """
    for name, (folder, size) in others.items():
        arm = name.partition(FURTHER)[2]
        losses = readable_losses(folder) if arm else None
        if losses is None:
            continue
        rows = [losses.row(kind, SHARE) for kind in KINDS]
        shown = [
            Fact("", [ArmMean(a.arm, a.nats) for a in row.arms], row.differences, False, False)
            for row in rows
        ]
        if any(fact.ahead != arm for fact in shown):
            continue
        gaps = [gap for gap in shown[0].differences if gap.arm == arm]
        return element(
            "p",
            "A third embedding, ",
            arm_name(arm),
            ", loses less than both",
            element(
                "span",
                f" at {size} parameters, over {losses.done:,} passages: ",
                listing([_gap(shown[0], gap) for gap in gaps], ", "),
                class_="kv-fact-values",
            ),
            ". ",
            element(
                "button",
                "Compare all three",
                type="button",
                class_="kv-textbutton",
                data_pair=name,
            ),
            class_="kv-third",
        )
    return Markup("")
