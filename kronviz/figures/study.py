"""Draw a study of many arms: each one's gain over the better table, by training tokens."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from kronviz.figures.axes import error_bars, not_yet, plain_chart, with_legend
from kronviz.figures.palette import NEUTRALS, arm_colour
from kronviz.probes.study import CLEAN, MISSPELLED, Study

ROW, HEIGHT = 32, 380
SYMBOLS = {CLEAN: "circle-open", MISSPELLED[0]: "circle", MISSPELLED[1]: "diamond"}
NAMES = {
    CLEAN: "clean context",
    MISSPELLED[0]: "15% of the words misspelled",
    MISSPELLED[1]: "15%, people’s misspellings",
}
"""Names of the conditions in the legend."""


def differences(study: Study) -> go.Figure:
    """Draw each arm's loss on true continuations minus the table's, with 95% intervals."""
    arms = [arm for arm in study.arms if any(m.difference for m in arm.measured)]
    if not arms:
        return not_yet(plain_chart(HEIGHT), "Not measured yet.")
    title = f"loss − {study.table}’s, nats per token"
    # A legend of three rows, as on a phone, needs this much above a single arm.
    figure = plain_chart(max(200, 110 + ROW * len(arms)), x_title=title)
    order = [arm.arm for arm in reversed(arms)]
    for place, (condition, symbol) in enumerate(SYMBOLS.items()):
        rows = [(arm, arm.at(condition)) for arm in arms]
        shown = [(arm, m.difference) for arm, m in rows if m is not None and m.difference]
        shift = (1 - place) * 0.22
        figure.add_trace(
            go.Scatter(
                x=[d.mean for _, d in shown],
                y=[order.index(arm.arm) + shift for arm, _ in shown],
                error_x=error_bars([d for _, d in shown], NEUTRALS["edge"].light),
                mode="markers",
                name=NAMES[condition],
                marker={
                    "symbol": symbol,
                    "size": 9,
                    "color": [arm_colour(arm.arm).light for arm, _ in shown],
                    "line": {"width": 1.5},
                },
                text=[arm.arm for arm, _ in shown],
                hovertemplate="%{text}, " + NAMES[condition] + ": %{x:+.3f} nats<extra></extra>",
            )
        )
    figure.add_vline(x=0, line_width=1, line_color=NEUTRALS["edge"].light)
    figure.update_layout(
        hovermode="closest",
        margin={"l": 108},
    )
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=order, range=[-0.6, len(order) - 0.4]
    )
    return with_legend(figure)


def gaps(study: Study) -> go.Figure:
    """Draw each arm's loss minus the table's by tokens per run, with 95% intervals: on the
    validation text, and after misspelled contexts where that was measured.
    """
    title = f"loss − {study.table}’s, nats per token"
    figure = plain_chart(HEIGHT, x_title="tokens per run", y_title=title)
    for arm in study.gaps:
        for points, dash, after, shift in (
            (arm.points, "solid", "", 1),
            (arm.misspelled, "dot", ", misspelled", 1.03),
        ):
            if points:
                line = _line(arm.arm, [(tokens, d.mean) for tokens, d in points])
                # Apart, so that no interval covers another.
                line.x = [tokens * shift for tokens in line.customdata]
                line.error_y = error_bars([d for _, d in points], arm_colour(arm.arm).light)
                line.line.dash, line.name = dash, arm.arm + after
                figure.add_trace(line)
    figure.add_hline(y=0, line_width=1, line_color=NEUTRALS["edge"].light)
    budgets = sorted({tokens for arm in study.gaps for tokens, _ in arm.points})
    labels = [f"{tokens / 1e6:.1f}M" for tokens in budgets]
    figure.update_xaxes(type="log", tickvals=budgets, ticktext=labels, showgrid=False)
    figure.update_layout(hovermode="closest")
    return with_legend(figure)


def curves(study: Study) -> go.Figure:
    """Draw each arm's validation loss minus the table's with the same seeds, by tokens read."""
    title = f"validation loss − {study.table}’s, nats per token"
    height = max(HEIGHT, 110 + ROW * len(study.arms))
    figure = plain_chart(height, x_title="tokens read", y_title=title)
    figure.update_xaxes(tickformat="~s", showgrid=False)
    table = study.arm(study.table)
    for arm in study.arms:
        if table is not None and arm is not table:
            figure.add_trace(_line(arm.arm, arm.curve_from(table)))
    figure.add_hline(y=0, line_width=1, line_color=NEUTRALS["edge"].light)
    figure.update_layout(hovermode="closest")
    return with_legend(figure)


def _line(arm: str, points: Sequence[tuple[int, float]]) -> go.Scatter:
    """Return an arm's differences by tokens."""
    tokens = [tokens for tokens, _ in points]
    return go.Scatter(
        x=tokens,
        customdata=tokens,
        y=[gap for _, gap in points],
        name=arm,
        mode="lines+markers",
        line={"color": arm_colour(arm).light, "width": 2},
        marker={"size": 5},
        hovertemplate=f"{arm}, " + "%{customdata:,} tokens: %{y:+.3f} nats<extra></extra>",
    )
