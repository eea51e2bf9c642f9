"""Draw the inside of both networks by depth: the logit lens and the survey.

The colour is the arm's; the misspelled text is solid and the clean one dashed.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from kronviz.figures.axes import error_bars, not_yet, plain_chart, with_legend
from kronviz.figures.palette import NEUTRALS, arm_colour
from kronviz.probes.inside import Inside, Survey

HEIGHT = 310


def lens(report: Inside | None, target: str, what: str) -> go.Figure:
    """Draw the rank or probability of a token after every block, in both texts and all arms.

    Args:
        report: of two texts; an empty frame without.
        target: ``first`` (the clean text's first choice) or ``answer`` (the right answer).
        what: ``probs`` or ``ranks``.
    """
    curves = [
        (arm.arm, line)
        for arm in (report.arms if report else ())
        for line in arm.lens
        if line.target == target
    ]
    if not curves:
        why = "No right answer is given.<br>Type it above." if report else "Nothing is read yet."
        return not_yet(plain_chart(HEIGHT), why)
    depths = len(curves[0][1].probs)
    figure = _figure("probability" if what == "probs" else "rank (1 is likeliest)", depths)
    if what == "ranks":
        figure.update_yaxes(type="log", autorange="reversed", dtick=1)
    else:
        figure.update_yaxes(rangemode="tozero")
    for arm, line in curves:
        typo = line.text == "typo"
        name = f"{arm}, {'misspelled' if typo else 'clean'}: {line.token.strip()[:20]}"
        figure.add_trace(_line(arm, getattr(line, what), name, dashed=not typo))
    return figure


def survey(report: Survey | None, place: str) -> go.Figure:
    """Draw the share of the damage that restoring a place undoes, by block.

    Args:
        report: over many pairs; an empty frame without.
        place: a name in `kronviz.probes.inside.survey.PLACES`.
    """
    if report is None or not report.arms:
        return not_yet(plain_chart(HEIGHT), "Not measured yet.<br>Press Measure.")
    blocks = max(len(own.shares) for arm in report.arms for own in arm.places)
    figure = _figure("share of the damage undone", blocks, first=1)
    figure.update_yaxes(tickformat=".0%")
    figure.add_hline(y=0, line_width=1, line_color=NEUTRALS["edge"].light)
    for arm in report.arms:
        shares = next(own.shares for own in arm.places if own.place == place)
        trace = _line(arm.arm, [share.mean for share in shares], arm.arm, first=1)
        trace.error_y = error_bars(shares, arm_colour(arm.arm).light, width=3)
        trace.hovertemplate = "%{y:.1%}"
        figure.add_trace(trace)
    return figure


def _line(
    arm: str, values: Sequence[float], name: str, *, dashed: bool = False, first: int = 0
) -> go.Scatter:
    colour = arm_colour(arm).light
    return go.Scatter(
        x=list(range(first, first + len(values))),
        y=[round(value, 5) for value in values],
        name=name,
        mode="lines+markers",
        line={
            "color": colour,
            "width": 1.5 if dashed else 2.5,
            "dash": "6px,3px" if dashed else "solid",
        },
        marker={"symbol": "circle-open" if dashed else "circle", "size": 6, "color": colour},
        hovertemplate="%{y:.4~g}",
    )


def _figure(y_title: str, depths: int, first: int = 0) -> go.Figure:
    x_title = "after block" if first == 0 else "block"
    figure = plain_chart(HEIGHT, x_title=x_title, y_title=y_title)
    with_legend(figure)
    places = list(range(first, first + depths))
    figure.update_xaxes(
        showgrid=False,
        tickvals=places,
        ticktext=["input" if place == 0 else str(place) for place in places],
        range=[places[0] - 0.2, places[-1] + 0.2],
    )
    return figure
