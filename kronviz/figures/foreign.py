"""The two maps of a foreign table: its rows and the byte codes of the same tokens.

Notable:

- The table is drawn in the colour of ``bpe`` and with open marks, the code in that of ``kron`` and
  with filled ones: a learned table against bytes, as everywhere.
- Token texts come from a file, and Plotly reads a little HTML, so each is escaped before.
"""

from __future__ import annotations

import html
from collections.abc import Container
from typing import Any

import plotly.graph_objects as go

from kronviz.figures.axes import plain_chart
from kronviz.figures.palette import NEUTRALS, SANS, arm_colour
from kronviz.probes.foreign import Foreign, MapPoint

HEIGHT = 460
ARM = {"table": "bpe", "code": "kron"}
MAX_LABEL = 24


def token_map(report: Foreign | None, space: str) -> go.Figure:
    """One of the two maps.

    Args:
        report: with points; an empty frame without.
        space: ``table`` or ``code``.
    """
    figure = _frame()
    points = report.points if report else ()
    named = {asked.id for asked in report.asked} if report else set()
    figure.add_trace(_dots([p for p in points if not p.word], space))
    figure.add_trace(_dots([p for p in points if p.word], space, asked=True, named=named))
    return figure


def label(text: str) -> str:
    """A token's text as Plotly may show it: short, blanks visible, nothing taken for markup."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[: MAX_LABEL + 1])
    shown = shown if len(shown) <= MAX_LABEL else shown[: MAX_LABEL - 1] + "…"
    return html.escape(shown.replace(" ", "␣"), quote=False)


def _dots(
    points: list[MapPoint], space: str, *, asked: bool = False, named: Container[int] = ()
) -> go.Scatter:
    """The dots of some tokens; a label stands at those whose id is in ``named``."""
    colour = arm_colour(ARM[space]).light
    marker: dict[str, Any] = {"size": 4, "color": colour, "opacity": 0.45}
    if space == "table":
        marker = {
            "size": 5, "opacity": 0.6, "color": NEUTRALS["paper"].light,
            "line": {"color": colour, "width": 1},
        }  # fmt: skip
    if asked:
        ink = NEUTRALS["ink"].light
        marker = {"size": 8, "symbol": "diamond", "color": ink, "opacity": 1}
    return go.Scatter(
        x=[getattr(point, f"{space}_x") for point in points],
        y=[getattr(point, f"{space}_y") for point in points],
        mode="markers+text" if asked else "markers",
        text=[label(point.text) if point.id in named else "" for point in points],
        customdata=[(label(point.text), point.id) for point in points],
        textposition="top center",
        textfont={"family": SANS, "size": 12, "color": NEUTRALS["ink"].light},
        marker=marker,
        hovertemplate="%{customdata[0]}<br>id %{customdata[1]}<extra></extra>",
        cliponaxis=False,
    )


def _frame() -> go.Figure:
    figure = plain_chart(HEIGHT)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 12, "b": 8}, hovermode="closest")
    # Distances on a map mean little and axes nothing, so they are not drawn.
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
