"""Draw the layered probe: shares and cosines by depth, ours beside the paper's.

Our values are lines with dots, kron's solid and bpe's dashed. The paper's are open diamonds on
dotted lines, at three depths of models of another size, and the legend labels them as the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from kronviz.figures.axes import error_bars, not_yet, plain_chart, with_legend
from kronviz.figures.palette import NEUTRALS, arm_colour
from kronviz.probes.intervals import Interval
from kronviz.probes.layers import LayerReport
from kronviz.published import LAYERS

HEIGHT = 290
ARMS = ("bpe", "kron")


def shares(report: LayerReport | None, share: str) -> go.Figure:
    """Draw one share of the nearest tokens by depth.

    Args:
        report: our values; without it, only the paper's are drawn.
        share: ``other_form``, ``holds_root`` or ``in_family``.
    """
    figure = _figure("share of the 10 nearest", report.depths if report else 3)
    figure.update_yaxes(range=[0, 1.02] if share == "other_form" else None, rangemode="tozero")
    for arm in ARMS:
        theirs = [float(figure.value or 0) for figure in LAYERS[share][arm]]
        figure.add_trace(_line(arm, theirs, f"{arm}, the paper’s", paper=True))
    for own in report.arms if report else ():
        if not own.depths:
            continue
        ours = [getattr(at, share) for at in own.depths]
        figure.add_trace(_line(own.arm, ours, f"{own.arm}, ours"))
    return figure


def cosines(report: LayerReport | None, kind: str) -> go.Figure:
    """Draw the mean cosine of one kind of pairs by depth, with its 95% interval and chance.

    Args:
        report: our values; an empty frame says why if there are none, or no such pairs.
        kind: ``typo``, ``ending`` or ``lookalike``.
    """
    if report is None:
        words = "Not measured yet; not in the paper.<br>Press Measure."
        return not_yet(plain_chart(HEIGHT), words)
    if not any(pairs.kind == kind for arm in report.arms for pairs in arm.pairs):
        stopped = "The run was stopped before it reached these pairs."
        words = stopped if report.read < report.tokens else "This vocabulary has no such pairs."
        return not_yet(plain_chart(HEIGHT), words)
    figure = _figure("mean cosine", report.depths)
    figure.update_yaxes(range=[-0.25, 1.02])
    figure.add_hline(y=0, line_width=1, line_color=NEUTRALS["edge"].light)
    for arm in report.arms:
        for pairs in arm.pairs:
            if pairs.kind == kind:
                chance = f"{arm.arm}, random pairs"
                figure.add_trace(_line(arm.arm, pairs.controls, chance, thin=True))
                trace = _line(arm.arm, pairs.cosines, f"{arm.arm}, {pairs.pairs:,} pairs")
                bars = [
                    Interval(c, c - m, c + m)
                    for c, m in zip(pairs.cosines, pairs.margins, strict=True)
                ]
                trace.error_y = error_bars(bars, arm_colour(arm.arm).light, width=3)
                figure.add_trace(trace)
    return figure


def _line(
    arm: str, values: Sequence[float], name: str, *, paper: bool = False, thin: bool = False
) -> go.Scatter:
    colour = arm_colour(arm).light
    dash = "2px,3px" if paper or thin else "solid" if arm == "kron" else "7px,3px"
    return go.Scatter(
        x=list(range(len(values))),
        y=[round(value, 4) for value in values],
        name=name,
        mode="lines" if thin else "lines+markers",
        showlegend=not thin,
        line={"color": colour, "width": 1.2 if paper or thin else 2.5, "dash": dash},
        marker={
            "symbol": "diamond-open" if paper else "circle",
            "size": 9 if paper else 6,
            "color": colour,
        },
        hovertemplate="%{y:.3f}",
    )


def _figure(y_title: str, depths: int) -> go.Figure:
    figure = plain_chart(HEIGHT, x_title="after block", y_title=y_title)
    with_legend(figure)
    names = ["input", *[str(depth) for depth in range(1, depths)]]
    figure.update_xaxes(
        showgrid=False,
        tickvals=list(range(depths)),
        ticktext=names,
        range=[-0.2, depths - 0.8],
    )
    return figure
