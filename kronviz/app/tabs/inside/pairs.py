"""The view “Over many pairs”: where in each network the damage of a misspelling is undone.

The view opens with the result stored with the weights; a button repeats the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from kronviz.app.components import (
    Again,
    Markup,
    arm_name,
    box,
    downloads,
    element,
    html_part,
    join,
    listing,
    measuring,
    number,
    readable_run,
    status_line,
    table,
    titled_plot,
)
from kronviz.app.context import Context
from kronviz.figures import inside as figures
from kronviz.probes.inside import Survey, survey
from kronviz.probes.inside.command import survey_rows
from kronviz.probes.inside.survey import ArmSurvey, PlaceShares
from kronviz.probes.intervals import Interval
from kronviz.probes.pairs import load_pairs
from kronviz.probes.stored_runs import INSIDE, SEED

PLACES = {
    "word": (
        "The misspelled word",
        "The residual stream at all pieces of the word, before each block. Where the line falls, "
        "the damage has moved on to later tokens.",
    ),
    "last": (
        "The last token",
        "The residual stream where the next word is predicted. Where the line rises, the damage "
        "has arrived.",
    ),
    "attention": (
        "Attention at the word",
        "What attention adds at the word’s pieces in one block. High values mean that the "
        "misspelling changes this block’s attention most.",
    ),
    "mlp": ("MLP at the word", "The same for what the MLP of one block adds."),
}
_HALF = 0.5


def build(context: Context) -> None:
    """Lay out the view and connect it. Call inside a `gr.Tab`."""
    opening = _stored(context, context.default)
    finding = html_part(_finding(opening), "kv-ins-pairs-finding")
    plots = []
    for row in (("word", "last"), ("attention", "mlp")):
        with gr.Row(elem_classes="kv-lay-plots"):
            for place in row:
                title, caption = PLACES[place]
                figure = figures.survey(opening, place)
                plots.append(titled_plot(figure, title, caption, heading="h3"))
    with gr.Row(elem_id="kv-ins-pairs-tools", elem_classes="kv-lab-buttons"):
        again = Again.build("Measure again", "kv-ins-pairs", _hint(opening))
    details = html_part(_details(opening), "kv-ins-pairs-details")
    parts = [finding, details, *plots]

    def shown(pair: str | None) -> list[Any]:
        survey = _stored(context, pair)
        return [status_line(_hint(survey)), *_drawn(survey)]

    again.connect(
        context.links,
        context.redrawn,
        "inside-pairs",
        context.pair_field(),
        parts,
        lambda pair, stopped: _measured(context, pair, stopped),
        shown,
    )


def _stored(context: Context, pair: str | None) -> Survey | None:
    """Return the stored survey of the pair; ``None`` if it is of other models."""
    stored = readable_run(context.folder(pair), INSIDE)
    arms = set(context.predictor(pair).arms)
    return stored.report if stored and {arm.arm for arm in stored.report.arms} == arms else None


def _measured(
    context: Context, pair: str | None, stopped: Callable[[], bool]
) -> Iterator[list[Any]]:
    return measuring(
        lambda tell: survey(context.predictor(pair), load_pairs(), seed=SEED, progress=tell),
        lambda result: [status_line(_ended(result)), *_drawn(result)],
        "Patching every pair in each model",
        "Pairs patched",
        2 + len(PLACES),
        stopped,
    )


def _drawn(result: Survey | None) -> list[Any]:
    return [
        _finding(result),
        _details(result),
        *[figures.survey(result, place) for place in PLACES],
    ]


def _hint(result: Survey | None) -> str:
    if result is None:
        return (
            "Patches 320 pairs in each model: a few minutes on two cores. “Stop” keeps what was "
            "read."
        )
    return f"{result.used:,} pairs, measured once and stored with the weights."


def _ended(result: Survey) -> str:
    if result.done < result.asked:
        return f"Stopped after {result.seconds:.1f} s: {result.done:,} of {result.asked:,} pairs."
    return f"Took {result.seconds:.1f} s."


def _finding(result: Survey | None) -> Markup:
    if result is None or not result.arms:
        return element("p", "These models have not been measured yet.", class_="kv-finding")
    said = [join([_half(arm), " in ", arm_name(arm.arm)]) for arm in result.arms]
    parts: list[object] = [
        "Half of the damage has left the misspelled word ", listing(said), ". ", *_differ(result)
    ]  # fmt: skip
    return element("p", *parts, class_="kv-finding", role="status")


def _half(arm: ArmSurvey) -> str:
    shares = _shares(arm.places, "word")
    below = [block for block, share in enumerate(shares, 1) if share.mean < _HALF]
    return f"before block {below[0]}" if below else "after the last block"


def _differ(result: Survey) -> Iterator[object]:
    """Yield a sentence on whether the arms differ, at the block where they differ most."""
    for index, difference in enumerate(result.differences):
        shares = _shares(difference.places, "word")
        clear = [share for share in shares if share.low > 0 or share.high < 0]
        if index:
            yield " "
        if not clear:
            yield join(
                [
                    "Between ",
                    arm_name(difference.arm),
                    " and ",
                    arm_name(difference.other),
                    " no block differs by more than chance.",
                ]
            )
            continue
        most = max(clear, key=lambda share: abs(share.mean))
        block = shares.index(most) + 1
        yield join(
            [
                arm_name(difference.arm),
                " − ",
                arm_name(difference.other),
                f" before block {block}: ",
                number(100 * most.mean, 1, sign=True),
                " points [",
                number(100 * most.low, 1, sign=True),
                ", ",
                number(100 * most.high, 1, sign=True),
                f"]; {len(clear)} of {len(shares)} intervals exclude 0.",
            ]
        )


def _shares(places: tuple[PlaceShares, ...], name: str) -> tuple[Interval, ...]:
    return next(own.shares for own in places if own.place == name)


def _details(result: Survey | None) -> Markup:
    if result is None or not result.arms:
        return element("div")
    blocks = max(len(own.shares) for arm in result.arms for own in arm.places)
    rows = []
    named = [(arm_name(arm.arm), arm.places, False) for arm in result.arms]
    named += [
        (join([arm_name(own.arm), " − ", arm_name(own.other)]), own.places, True)
        for own in result.differences
    ]
    for place, (title, _) in PLACES.items():
        for name, places, signed in named:
            cells = [_interval(share, signed) for share in _shares(places, place)]
            rows.append(
                element(
                    "tr",
                    element("th", title, scope="row"),
                    element("th", name, scope="row"),
                    *cells,
                )
            )
    titles = ["Restored", "Model", *[f"block {block}" for block in range(1, blocks + 1)]]
    joining = [
        join(
            [
                arm_name(arm.arm),
                ": ",
                ", ".join(f"{h.block}·{h.head} ({h.share * 100:.0f}%)" for h in arm.joining),
            ]
        )
        for arm in result.arms
        if arm.joining
    ]
    command = f"python -m kronviz.probes inside-pairs --pair {result.pair} --seed {result.seed}"
    return element(
        "div",
        box(
            table(
                "Share of the damage undone in percent, with 95% intervals over the pairs",
                titles,
                rows,
                name="share of the damage undone",
                class_="kv-table kv-ins-shares",
            ),
            label="Share of the damage undone",
        ),
        element("p", "Heads that most join the pieces of a word (block·head): ", join(
            join(["; " if index else "", one]) for index, one in enumerate(joining)
        ), ".") if joining else "",
        element(
            "p",
            f"{result.used:,} of {result.asked:,} pairs count. A share is of the mean damage: ",
            "1 − Σ KL(clean ‖ patched) / Σ KL(clean ‖ misspelled). Pairs are resampled together "
            "for all models. ",
            "Reproduce with ",
            element("code", command),
            class_="kv-command",
        ),
        downloads("inside-pairs", result, survey_rows(result)),
        class_="kv-lay-page",
    )  # fmt: skip


def _interval(share: Interval, signed: bool) -> Markup:
    bounds = [number(100 * value, 1, sign=signed) for value in (share.low, share.high)]
    return element(
        "td",
        number(100 * share.mean, 1, sign=signed),
        element("small", bounds[0], " to ", bounds[1]),
    )
