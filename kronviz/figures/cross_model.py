"""Draw two maps of a model's embedding table: its rows, and the byte codes of the same tokens.

Notable:

- The table has the colour of ``bpe`` and open marks, the code that of ``kron`` and filled ones: a
  learned table against bytes, as in every figure.
- Token texts come from a file and Plotly interprets some HTML, so each text is escaped.
- A name is placed on the side of its mark where it covers least of other names and marks.
"""

from __future__ import annotations

import html
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from kronviz.figures.axes import plain_chart
from kronviz.figures.palette import NEUTRALS, SANS, arm_colour
from kronviz.probes.cross_model import CrossModelReport, MapPoint

HEIGHT = 460
ARM = {"table": "bpe", "code": "kron"}
MAX_LABEL = 24
WIDTH = 400
"""Assumed width of a map in pixels, for placing names; on a phone it is a little less."""
TEXT = 12
MARK = 8
SIDES = {
    f"{row} {column}": (across, up)
    for row, up in (("top", 1), ("bottom", -1), ("middle", 0))
    for column, across in (("center", 0), ("right", 1), ("left", -1))
    if (across, up) != (0, 0)
}
"""Plotly's names for the sides of a mark, as (right, up) from -1 to 1. The first is preferred."""


def token_map(report: CrossModelReport | None, space: str) -> go.Figure:
    """Draw one of the two maps.

    Args:
        report: the points to draw; an empty frame without.
        space: ``table`` or ``code``.
    """
    figure = _frame()
    points = report.points if report else ()
    named = {asked.id for asked in report.asked} if report else set()
    figure.add_trace(_dots([p for p in points if not p.word], space))
    words = [p for p in points if p.word]
    figure.add_trace(_dots(words, space, asked=True, named=named))
    if words:
        places = [_place(point, space) for point in points]
        extent = [max(max(along) - min(along), 1e-9) for along in zip(*places, strict=True)]
        marks = figure.data[1]
        marks.textposition = sides(
            [_place(word, space) for word in words], marks.text, (extent[0], extent[1])
        )
    return figure


def _place(point: MapPoint, space: str) -> tuple[float, float]:
    return getattr(point, f"{space}_x"), getattr(point, f"{space}_y")


def label(text: str) -> str:
    """Return a token's text for Plotly: short, with visible spaces and escaped HTML."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[: MAX_LABEL + 1])
    shown = shown if len(shown) <= MAX_LABEL else shown[: MAX_LABEL - 1] + "…"
    return html.escape(shown.replace(" ", "␣"), quote=False)


def isolated(text: str) -> str:
    """Return a label that keeps its own text direction, so that its ellipsis stays at its end."""
    return f"\u2068{text}\u2069" if text else ""


def sides(
    places: Sequence[tuple[float, float]], names: Sequence[str], extent: tuple[float, float]
) -> list[str]:
    """Return the side of its mark for each name, as Plotly's ``textposition``.

    Args:
        places: the (x, y) of all marks, in the map's own unit.
        names: the names of all marks; an empty one is not drawn.
        extent: width and height of the map in the same unit.
    """
    scales = WIDTH / extent[0], HEIGHT / extent[1]
    marks = [_Box(x * scales[0], y * scales[1], MARK, MARK) for x, y in places]
    taken, chosen = list(marks), []
    for mark, name in zip(marks, names, strict=True):
        if not name:
            chosen.append(next(iter(SIDES)))
            continue
        width = 0.6 * TEXT * len(name)
        boxes = {
            side: _Box(
                mark.x + across * (width + MARK) / 2,
                mark.y + up * (TEXT + MARK) / 2,
                width,
                TEXT,
            )
            for side, (across, up) in SIDES.items()
        }
        side = min(boxes, key=lambda side: sum(boxes[side].covers(other) for other in taken))
        taken.append(boxes[side])
        chosen.append(side)
    return chosen


@dataclass(frozen=True)
class _Box:
    """A rectangle centred on ``(x, y)``, in pixels."""

    x: float
    y: float
    width: float
    height: float

    def covers(self, other: _Box) -> float:
        """Return the area of the overlap."""
        across = (self.width + other.width) / 2 - abs(self.x - other.x)
        up = (self.height + other.height) / 2 - abs(self.y - other.y)
        width, height = min(self.width, other.width), min(self.height, other.height)
        return max(0.0, min(across, width)) * max(0.0, min(up, height))


def _dots(
    points: list[MapPoint], space: str, *, asked: bool = False, named: Container[int] = ()
) -> go.Scatter:
    """Return the dots of some tokens; those whose id is in ``named`` have a label."""
    colour = arm_colour(ARM[space]).light
    marker: dict[str, Any] = {"size": 4, "color": colour, "opacity": 0.45}
    if space == "table":
        marker = {
            "size": 5, "opacity": 0.6, "color": NEUTRALS["paper"].light,
            "line": {"color": colour, "width": 1},
        }  # fmt: skip
    if asked:
        ink = NEUTRALS["ink"].light
        marker = {"size": MARK, "symbol": "diamond", "color": ink, "opacity": 1}
    return go.Scatter(
        x=[_place(point, space)[0] for point in points],
        y=[_place(point, space)[1] for point in points],
        mode="markers+text" if asked else "markers",
        text=[isolated(label(point.text)) if point.id in named else "" for point in points],
        customdata=[(isolated(label(point.text)), point.id) for point in points],
        textfont={"family": SANS, "size": TEXT, "color": NEUTRALS["ink"].light},
        marker=marker,
        hovertemplate="%{customdata[0]}<br>id %{customdata[1]}<extra></extra>",
        cliponaxis=False,
    )


def _frame() -> go.Figure:
    figure = plain_chart(HEIGHT)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 12, "b": 8}, hovermode="closest")
    # Distances on a map mean little and its axes nothing, so the axes are not drawn.
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
