"""Draw the sweep and the recovery probe: advantage by kind of misspelling, and forgetting.

Notable:

- Intervals are error bars, not filled bands: the page recolours strokes for its dark theme.
- kron is solid with filled marks, bpe dashed with open ones: colour alone never carries a meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from kronviz.figures.axes import SMALL, error_bars, name_line, plain_chart
from kronviz.figures.palette import NEUTRALS, arm_colour
from kronviz.probes.intervals import Interval
from kronviz.probes.recovery import Recovery
from kronviz.probes.robustness import LARGER_IS_STEADIER
from kronviz.probes.sweep import Sweep
from kronviz.typos import KINDS

ROW = 26
HEIGHT = 320
AXES = {
    "top1_kept": ("first choice kept, {} − bpe, share", 1),
    "kl_nats": ("KL, bpe − {}, nats", -1),
    "hidden_cosine": ("cosine, {} − bpe", 1),
    "logprob_drop_nats": ("log-prob drop, bpe − {}, nats", -1),
}
"""Axis titles of `advantages`, and the sign with which an advantage over bpe points right."""

_Row = tuple[str, dict[str, Interval]]
"""A kind of misspelling, and each arm's advantage over bpe."""


def advantages(result: Sweep, metric: str = "kl_nats") -> go.Figure:
    """Draw how much steadier than bpe each arm is for each kind, at the lowest strength.

    Args:
        metric: one of `robustness.METRICS`; an arm is steadier right of zero, bpe left of it.
    """
    title, sign = AXES[metric]
    assert (sign == 1) == (metric in LARGER_IS_STEADIER)
    strength = min(result.strengths, default=1)
    rows: list[_Row] = []
    for point in result.points:
        if point.strength == strength:
            gaps = [gap for gap in point.metric(metric).differences if gap.base == "bpe"]
            advantage = {gap.arm: _times(sign, gap.value) for gap in gaps}
            rows += [(KINDS[point.kind].label, advantage)] if advantage else []
    arms = list(rows[0][1]) if rows else ["kron"]
    rows.sort(key=lambda row: row[1][arms[0]].mean)
    figure = plain_chart(70 + ROW * max(len(rows), 4) * max(1, len(arms) - 1))
    figure.add_vline(x=0, line_width=1, line_color=NEUTRALS["edge"].light)
    if len(arms) == 1:
        # Of two arms, each row has the colour of the steadier one.
        sides = (
            ("bpe", -1, "bpe steadier"),
            ("", 0, "no difference"),
            (arms[0], 1, f"{arms[0]} steadier"),
        )
        for colour, side, words in sides:
            chosen = [r for r in rows if np.sign(r[1][arms[0]].mean) == side]
            figure.add_trace(_points(chosen, arms[0], colour, words))
    else:
        for arm in arms:
            figure.add_trace(_points(rows, arm, arm, arm))
        figure.update_layout(scattermode="group", scattergap=0.3, showlegend=True)
    right = f"{arms[0]} steadier →" if len(arms) == 1 else "steadier than bpe →"
    for edge, text in (("left", "← bpe steadier"), ("right", right)):
        figure.add_annotation(
            x=float(edge == "right"),
            y=1,
            xref="paper",
            yref="paper",
            xanchor=edge,
            yanchor="bottom",
            text=text,
            showarrow=False,
            font={"size": SMALL, "color": NEUTRALS["muted"].light},
        )
    figure.update_xaxes(title_text=title.format(arms[0] if len(arms) == 1 else "arm"))
    figure.update_yaxes(
        categoryorder="array", categoryarray=[label for label, _ in rows], automargin=True
    )
    figure.update_layout(hovermode="closest", margin={"l": 100, "t": 28})
    return figure


def _times(sign: int, value: Interval) -> Interval:
    return Interval(sign * value.mean, *sorted((sign * value.low, sign * value.high)))


def _points(rows: Sequence[_Row], arm: str, colour: str, name: str) -> go.Scatter:
    shown = [advantage[arm] for _, advantage in rows]
    return go.Scatter(
        x=[one.mean for one in shown],
        y=[label for label, _ in rows],
        mode="markers",
        name=name,
        orientation="h",
        marker=_marker(colour),
        error_x=error_bars(shown, arm_colour(colour).light, thickness=1.2),
        customdata=[(one.low, one.high) for one in shown],
        hovertemplate="%{x:.3f} (95%: %{customdata[0]:.3f} to %{customdata[1]:.3f})",
    )


def forgetting(result: Recovery) -> go.Figure:
    """Draw the mean KL between clean and misspelled runs by tokens after the misspelling."""
    figure = plain_chart(HEIGHT)
    for i, arm in enumerate(entry.arm for entry in result.arms):
        intervals = [point.arms[i].kl_nats for point in result.points]
        figure.add_trace(
            go.Scatter(
                x=[point.later for point in result.points],
                y=[interval.mean for interval in intervals],
                mode="lines+markers",
                name=arm,
                line={
                    "color": arm_colour(arm).light,
                    "width": 2.5,
                    "dash": "solid" if arm == "kron" else "7px,3px",
                },
                marker=_marker(arm),
                cliponaxis=False,
                error_y=error_bars(intervals, arm_colour(arm).light, thickness=1.2),
                hovertemplate="%{y:.3f} nats",
            )
        )
    if result.points:
        ends = sorted(
            ((a.kl_nats.mean, a.arm) for a in result.points[0].arms), key=lambda end: -end[0]
        )
        for place, (y, arm) in enumerate(ends):
            name_line(figure, arm, 0, y, xshift=10, yshift=8 * (len(ends) - 1) - 16 * place)
    figure.update_xaxes(title_text="tokens after the misspelling", dtick=4)
    figure.update_yaxes(title_text="KL(clean ‖ misspelled), nats", rangemode="tozero")
    return figure


def _marker(arm: str) -> dict[str, Any]:
    colour = arm_colour(arm).light
    fill = colour if arm == "kron" else NEUTRALS["paper"].light
    return {"size": 8, "color": fill, "line": {"color": colour, "width": 2}}
