"""Draw what an input embedding costs: memory, and the saving by size of the vocabulary.

Notable:

- Sizes span orders of magnitude, so they are dots on a logarithmic axis, not bars, whose length
  would mean nothing there. Each dot has its number beside it.
- Names are above their dots, inside the figure, so that they fit on a phone.
- The paper's figures are open diamonds and labelled as the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from kronviz.accounting import SIZES, InputCost, saved_share
from kronviz.figures.axes import plain_chart, with_legend
from kronviz.figures.palette import MONO, NEUTRALS, arm_colour
from kronviz.published import SAVINGS

ROW = 54
HEIGHT = 330
CURVE = [round(2 ** (i / 6)) for i in range(12 * 6, 20 * 6 + 1)]
"""Vocabulary sizes of a curve: 4,096 to 1,048,576 tokens."""
UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def size(count: float) -> str:
    """Return a number of bytes in decimal units with three digits: ``520916`` is ``521 kB``."""
    for unit, scale in UNITS:
        if count >= scale * 0.9995:
            return f"{_digits(count / scale)} {unit}"
    return f"{count:.0f} bytes"


def duration(milliseconds: float) -> str:
    """Return a time in a suitable unit with three digits."""
    if milliseconds >= 999.5:
        return f"{_digits(milliseconds / 1000)} s"
    if milliseconds >= 0.9995:
        return f"{_digits(milliseconds)} ms"
    return f"{_digits(milliseconds * 1000)} µs"


def _digits(value: float) -> str:
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def memory(cost: InputCost) -> go.Figure:
    """Draw the memory that each needs: bpe's table, kron's parts and the reference's."""
    return _dots(
        [
            ("bpe: the table", "bpe", cost.table_bytes, False),
            ("kron: the projection", "kron", cost.projection_bytes, False),
            ("kron: every token’s bytes, end to end", "kron", cost.ragged_bytes, False),
            ("the reference: the same bytes, padded", "reference", cost.padded_bytes, True),
            ("the reference, cached: dense codes", "reference", cost.dense_code_bytes, True),
        ],
        size,
    )


def savings(cost: InputCost) -> go.Figure:
    """Draw the share of input parameters saved by vocabulary size, with the paper's points."""
    ink, muted, kron = (
        NEUTRALS["ink"].light,
        NEUTRALS["muted"].light,
        arm_colour("kron").light,
    )
    figure = _figure(HEIGHT)
    figure.update_layout(margin_l=68)
    figure.add_hline(y=0, line_width=1, line_color=NEUTRALS["edge"].light)
    others = sorted({point.pos_dim for point in SAVINGS} - {cost.pos_dim})
    for pos_dim in (*others, cost.pos_dim):
        own = pos_dim == cost.pos_dim
        figure.add_trace(
            go.Scatter(
                x=CURVE,
                y=[100 * saved_share(count, pos_dim) for count in CURVE],
                mode="lines",
                name=f"P = {pos_dim}",
                line={
                    "color": kron if own else NEUTRALS["edge"].light,
                    "width": 2.5 if own else 1.2,
                    "dash": "solid" if own else "2px,3px",
                },
                hovertemplate="%{x:,} tokens: %{y:.1f}%" if own else None,
                hoverinfo=None if own else "skip",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=list(SIZES.values()),
            y=[100 * saved_share(count, cost.pos_dim) for count in SIZES.values()],
            mode="markers",
            name="GPT-2, cl100k, o200k",
            marker={"size": 6, "color": kron},
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[cost.n_vocab],
            y=[100 * max(cost.parameters_saved, -0.5)],
            mode="markers",
            name="yours",
            marker={"size": 13, "color": kron, "line": {"color": ink, "width": 2}},
            hovertemplate=f"{cost.n_vocab:,} tokens, P = {cost.pos_dim}: "
            f"{100 * cost.parameters_saved:.1f}%",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[point.n_vocab for point in SAVINGS],
            y=[100 * point.share for point in SAVINGS],
            mode="markers",
            name="the paper’s",
            marker={"symbol": "diamond-open", "size": 11, "color": ink, "line": {"width": 2}},
            customdata=[[point.text, point.pos_dim, point.where] for point in SAVINGS],
            hovertemplate="the paper’s: %{customdata[0]}, P = %{customdata[1]} (%{customdata[2]})",
        )
    )
    with_legend(figure)
    figure.update_xaxes(type="log", range=[3.61, 6.02], title_text="tokens in the vocabulary")
    figure.update_xaxes(tickvals=[1e4, 1e5, 1e6], ticktext=["10,000", "100,000", "1,000,000"])
    figure.update_yaxes(range=[-50, 103], ticksuffix="%", title_text="input parameters saved")
    figure.add_annotation(
        x=1,
        y=-3,
        xref="paper",
        yanchor="top",
        xanchor="right",
        text="below the line, kron has more",
        showarrow=False,
        font={"size": 12, "color": muted},
    )
    return figure


def _dots(
    rows: Sequence[tuple[str, str, float, bool]], written: Callable[[float], str]
) -> go.Figure:
    """Draw rows of (name, arm, value, hollow) on a logarithmic axis, the first on top."""
    figure = _figure(ROW * max(len(rows), 4) + 56)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 12, "b": 48}, hovermode=False)
    figure.update_yaxes(visible=False, range=[len(rows) - 0.6, -0.72])
    figure.update_xaxes(visible=False)
    if not rows:
        return figure
    low, high = (edge([row[2] for row in rows]) for edge in (min, max))
    low, high = max(low, 1e-6), max(high, low * 10, 1e-5)
    # Room on the right for the longest label, which is beside its dot.
    span = math.log10(high) - math.log10(low)
    figure.update_xaxes(
        type="log", range=[math.log10(low) - 0.06 * span, math.log10(high) + 0.45 * span]
    )
    decades = range(math.ceil(math.log10(low)), math.floor(math.log10(high) + 0.45 * span) + 1)
    shown = decades[:: max(1, math.ceil(len(decades) / 5))]
    figure.update_xaxes(
        visible=True,
        showgrid=True,
        gridcolor=NEUTRALS["line"].light,
        tickvals=[10.0**power for power in shown],
        ticktext=[written(10.0**power) for power in shown],
        title_text="logarithmic: each step multiplies",
    )
    for place, (name, arm, value, hollow) in enumerate(rows):
        colour = arm_colour(arm).light
        figure.add_shape(
            type="line",
            x0=0,
            x1=1,
            xref="paper",
            y0=place + 0.36,
            y1=place + 0.36,
            line={"color": NEUTRALS["line"].light, "width": 1},
            layer="below",
        )
        figure.add_trace(
            go.Scatter(
                x=[max(value, low)],
                y=[place],
                mode="markers+text",
                text=[f"  {written(value)}"],
                textposition="middle right",
                textfont={"family": MONO, "size": 13, "color": NEUTRALS["ink"].light},
                marker={
                    "size": 12,
                    "color": NEUTRALS["paper"].light if hollow else colour,
                    "line": {"color": colour, "width": 2},
                },
                name=name,
                cliponaxis=False,
            )
        )
        figure.add_annotation(
            x=0,
            xref="paper",
            y=place,
            yshift=20,
            text=name,
            showarrow=False,
            xanchor="left",
            font={"size": 12, "color": NEUTRALS["muted"].light},
        )
    return figure


def _figure(height: int) -> go.Figure:
    figure = plain_chart(height, right=16)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(showgrid=False)
    return figure
