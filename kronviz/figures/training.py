"""Draw the training of a pair: losses, their gap, norms.

Notable:

- Long logs are thinned to `POINTS` points per line, as many as a screen can show, which keeps the
  page small.
- The paper's gap is a labelled band, so that it is never mistaken for a curve of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from kronviz.figures.axes import error_bars, name_line, not_yet, plain_chart, with_legend
from kronviz.figures.palette import NEUTRALS, arm_colour
from kronviz.probes.intervals import Interval
from kronviz.probes.rarity import names
from kronviz.probes.training import TrainingCurve, TrainingEvidence
from kronviz.published import GAP_NATS

POINTS = 240
HEIGHT = 300
_NAME = 15
"""Pixels of a name's line."""


def losses(evidence: TrainingEvidence) -> go.Figure:
    """Draw each arm's validation loss by tokens read, over the loss of each training batch."""
    figure = _figure("loss, nats per token")
    for curve in evidence.curves:
        thin = _thinned(len(curve.tokens))
        figure.add_trace(
            _line(
                curve.arm,
                [curve.tokens[i] for i in thin],
                [curve.train_nats[i] for i in thin],
                f"{curve.arm}, training batch",
                width=1,
                opacity=0.35,
            )
        )
    for curve in evidence.curves:
        figure.add_trace(
            _line(
                curve.arm,
                curve.eval_tokens,
                curve.eval_nats,
                f"{curve.arm}, validation",
                dash=_dash(curve),
            )
        )
    ends = [(c.arm, c.eval_tokens[-1], c.eval_nats[-1]) for c in evidence.curves if c.eval_nats]
    highest = max((max(c.eval_nats) for c in evidence.curves if c.eval_nats), default=None)
    lowest = min((min(c.train_nats) for c in evidence.curves if c.train_nats), default=None)
    if highest is not None and lowest is not None:
        _name_ends(figure, ends, lowest - 0.1, highest + 0.3)
    return figure


def gap(evidence: TrainingEvidence) -> go.Figure:
    """Draw kron's validation loss minus bpe's, with the paper's final gap as a band."""
    figure = _figure("loss, kron − bpe, nats")
    low, high = -GAP_NATS.value - GAP_NATS.spread, -GAP_NATS.value + GAP_NATS.spread  # type: ignore[operator]
    figure.add_hrect(
        y0=low,
        y1=high,
        line_width=0,
        fillcolor=NEUTRALS["edge"].light,
        opacity=0.25,
    )
    figure.add_annotation(
        x=1,
        y=high,
        xref="paper",
        text="the paper’s final gap, GPT-2 124M",
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font={"color": NEUTRALS["muted"].light, "size": 12},
    )
    figure.add_hline(y=0, line_width=1, line_color=NEUTRALS["edge"].light)
    figure.add_trace(
        _line(
            "ink",
            [point.tokens for point in evidence.gaps],
            [point.nats for point in evidence.gaps],
            "ours",
        )
    )
    return figure


def norms(evidence: TrainingEvidence) -> go.Figure:
    """Draw the norm of what each input embedding learns, relative to its first logged value."""
    figure = _figure("norm, relative to the start")
    names = {"bpe": "bpe’s table", "kron": "kron’s projection"}
    for curve in evidence.curves:
        thin = [i for i in _thinned(len(curve.tokens)) if i < len(curve.norm_ratios)]
        figure.add_trace(
            _line(
                curve.arm,
                [curve.tokens[i] for i in thin],
                [curve.norm_ratios[i] for i in thin],
                names.get(curve.arm, curve.arm),
                dash=_dash(curve),
            )
        )
    ends = [(c.arm, c.tokens[-1], c.norm_ratios[-1]) for c in evidence.curves if c.norm_ratios]
    ratios = [ratio for c in evidence.curves for ratio in c.norm_ratios]
    if ratios:
        spare = 0.05 * (max(ratios) - min(ratios)) or 0.1
        _name_ends(figure, ends, min(ratios) - spare, max(ratios) + spare)
    return figure


def by_rarity(evidence: TrainingEvidence) -> go.Figure:
    """Draw the gap by how often the token just read, or to be predicted, was read in training."""
    if evidence.rarity is None:
        return not_yet(plain_chart(HEIGHT), "Not measured for this pair.")
    figure = plain_chart(HEIGHT, x_title="times read in training", y_title="loss, kron − bpe, nats")
    figure.update_xaxes(type="category", showgrid=False)
    figure.add_hline(y=0, line_width=1, line_color=NEUTRALS["edge"].light)
    for classes, name, colour, symbol in (
        (evidence.rarity.read, "the token just read", NEUTRALS["ink"], "circle"),
        (evidence.rarity.predicted, "the next token", NEUTRALS["muted"], "diamond-open"),
    ):
        figure.add_trace(
            go.Scatter(
                x=names([row.low for row in classes]),
                y=[round(row.gap, 5) for row in classes],
                error_y=error_bars(
                    [Interval(row.gap, row.gap_low, row.gap_high) for row in classes], thickness=1.5
                ),
                name=name,
                mode="lines+markers",
                line={"color": colour.light, "width": 1.5},
                marker={"symbol": symbol, "size": 8},
                hovertemplate="%{y:+.3f}",
            )
        )
    return with_legend(figure)


def _figure(y_title: str) -> go.Figure:
    figure = plain_chart(HEIGHT, x_title="tokens read", y_title=y_title)
    figure.update_xaxes(tickformat="~s", showgrid=False, rangemode="tozero")
    return figure


def _line(
    arm: str,
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    *,
    dash: str = "solid",
    width: float = 2.5,
    opacity: float = 1.0,
) -> go.Scatter:
    return go.Scatter(
        x=list(x),
        y=[round(value, 5) for value in y],
        name=name,
        mode="lines",
        opacity=opacity,
        line={"color": arm_colour(arm).light, "width": width, "dash": dash},
        hovertemplate="%{y:.4f}",
    )


def _name_ends(
    figure: go.Figure, ends: Sequence[tuple[str, float, float]], low: float, high: float
) -> None:
    """Show values from ``low`` to ``high``, and write each arm's name at the end of its line.

    Names of lines that end close together are moved apart.
    """
    figure.update_yaxes(range=[low, high])
    figure.update_xaxes(range=[0, max((x for _, x, _ in ends), default=1)])
    figure.update_layout(margin_r=20 + 8 * max((len(arm) for arm, _, _ in ends), default=3))
    margin = figure.layout.margin
    pixels = (figure.layout.height - margin.t - margin.b) / (high - low)
    lowest = float("inf")
    for arm, x, y in sorted(ends, key=lambda end: -end[2]):
        lowest = min(y * pixels, lowest - _NAME)
        name_line(figure, arm, x, y, xshift=4, yanchor="middle", yshift=lowest - y * pixels)


def _dash(curve: TrainingCurve) -> str:
    """Return the dash of an arm's line; colour alone must not carry a meaning."""
    return "7px,3px" if curve.arm == "bpe" else "solid"


def _thinned(length: int) -> list[int]:
    """Return at most `POINTS` + 1 indices spread over a length, including the last."""
    step = max(1, -(-length // POINTS))
    chosen = list(range(0, length, step))
    if length and chosen[-1] != length - 1:
        chosen.append(length - 1)
    return chosen
