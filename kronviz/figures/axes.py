"""Set up the plain look of every chart: ink on paper, faint grid, no frame, no toolbar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from kronviz.figures.palette import NEUTRALS, SANS, arm_colour
from kronviz.probes.intervals import Interval

SMALL = 12
"""Font size in a chart, in pixels."""


def not_yet(figure: go.Figure, words: str) -> go.Figure:
    """Turn a chart without data into a dashed frame with a text that says why it is empty."""
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(margin={"l": 1, "r": 1, "t": 12, "b": 12}, hovermode=False)
    frame = {"x0": 0, "x1": 1, "y0": 0, "y1": 1, "xref": "paper", "yref": "paper"}
    line = {"color": NEUTRALS["edge"].light, "width": 1, "dash": "4px,4px"}
    figure.add_shape(type="rect", line=line, **frame)
    figure.add_annotation(
        x=0.5, y=0.5, xref="paper", yref="paper", text=words, showarrow=False,
        font={"size": 14, "color": NEUTRALS["muted"].light},
    )  # fmt: skip
    return figure


def error_bars(
    intervals: Sequence[Interval],
    colour: str | None = None,
    *,
    thickness: float = 1,
    width: int = 0,
) -> dict[str, Any]:
    """Return ``error_x`` or ``error_y`` of a trace whose points are the means of intervals.

    Args:
        colour: by default the trace's.
        thickness, width: pixels of a bar, and of its ends.
    """
    return {
        "type": "data",
        "array": [round(one.high - one.mean, 5) for one in intervals],
        "arrayminus": [round(one.mean - one.low, 5) for one in intervals],
        "color": colour,
        "thickness": thickness,
        "width": width,
    }


def name_line(figure: go.Figure, arm: str, x: float, y: float, **place: Any) -> None:
    """Write an arm's name in its colour to the right of a point of its line.

    Args:
        place: further fields of the annotation, for example ``xshift`` in pixels.
    """
    figure.add_annotation(
        x=x, y=y, text=f"<b>{arm}</b>", showarrow=False, xanchor="left",
        font={"color": arm_colour(arm).light, "size": SMALL}, **place,
    )  # fmt: skip


def with_legend(figure: go.Figure) -> go.Figure:
    """Show the legend above the chart, in as many rows as it needs."""
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": SMALL}},
    )
    return figure


def plain_chart(
    height: int, *, x_title: str = "", y_title: str = "", right: int = 12, below: int = 48
) -> go.Figure:
    """Return an empty chart.

    Args:
        height: in pixels; the width follows the page.
        right, below: margins in pixels; the one below holds the ticks and the title.
    """
    muted = NEUTRALS["muted"].light
    font = {"family": SANS, "size": SMALL, "color": NEUTRALS["ink"].light}

    def axis(title: str) -> dict[str, Any]:
        small = {"size": SMALL, "color": muted}
        return {
            "showline": False,
            "zeroline": False,
            "gridcolor": NEUTRALS["line"].light,
            "tickfont": small,
            "fixedrange": True,
            "title": {"text": title, "font": small, "standoff": 8},
        }

    # All at once: each update of a figure takes as long again.
    layout = {
        "template": "none",
        "height": height,
        "margin": {"l": 56, "r": right, "t": 12, "b": below},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": font,
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": NEUTRALS["surface"].light,
            "bordercolor": NEUTRALS["edge"].light,
            "font": font,
        },
        "dragmode": False,
        "xaxis": axis(x_title),
        "yaxis": axis(y_title),
    }
    return go.Figure(layout=layout)
