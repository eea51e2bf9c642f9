"""What hundreds of texts say, under the answer to one: the kept spelling test as two bars.

The run that `kronviz.probes.kept` keeps with a pair's weights; nothing stands here for weights that
it was not measured on.
"""

from __future__ import annotations

from pathlib import Path

from kronviz.app.components.html import Markup, element, join
from kronviz.app.components.numbers import number
from kronviz.app.components.pieces import arm_name, listing
from kronviz.checkpoint import CheckpointError
from kronviz.probes.kept import KeptRobustness, kept
from kronviz.probes.robustness import ArmMean


def kept_run(pair_dir: Path) -> KeptRobustness | None:
    """The kept spelling test of a pair; ``None`` where there is none that can be read."""
    try:
        return kept(pair_dir)
    except CheckpointError:
        return None


def beyond(pair_dir: Path) -> Markup:
    """First choices kept over all our pairs, a bar for each model; nothing without a kept run."""
    found = kept_run(pair_dir)
    row = found.report.metric("top1_kept") if found else None
    if found is None or row is None or not row.arms:
        return element("div")
    shares = [
        join([arm_name(arm.arm), " on ", number(arm.value.mean, 0, percent=True)])
        for arm in sorted(row.arms, key=lambda arm: -arm.value.mean)
    ]
    return element(
        "section",
        element("h2", "Beyond one sentence", class_="kv-heading"),
        element(
            "p",
            "Over ",
            number(found.report.done),
            " misspelled texts, the first choice stays with ",
            listing(shares, " and with "),
            ".",
            class_="kv-finding kv-smaller",
        ),
        element("div", *[_bar(arm) for arm in row.arms], class_="kv-beyond-bars"),
        element(
            "p",
            "Share of first choices kept, with its 95 % interval. ",
            element(
                "a",
                "See every measure, and which misspellings hurt most",
                href="?tab=robustness",
                data_opens="robustness",
            ),
            class_="kv-quiet",
        ),
        class_="kv-beyond",
    )


def _bar(arm: ArmMean) -> Markup:
    """One model's share as a bar, its interval as a line over the bar's end."""
    value = arm.value
    return element(
        "div",
        arm_name(arm.arm),
        element(
            "span",
            element("span", class_="kv-beyond-bar", style=f"--p: {value.mean:.4f}"),
            element(
                "span",
                class_="kv-beyond-interval",
                style=f"--low: {value.low:.4f}; --high: {value.high:.4f}",
            ),
            class_="kv-beyond-track",
            aria_hidden="true",
        ),
        element(
            "span",
            number(value.mean, 1, percent=True),
            element(
                "span",
                " [",
                number(value.low, 1, percent=True),
                " to ",
                number(value.high, 1, percent=True),
                "]",
                class_="kv-about-interval",
            ),
            class_="kv-beyond-number",
        ),
        class_="kv-beyond-row",
        data_arm=arm.arm,
    )
