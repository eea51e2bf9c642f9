"""The byte view as Plotly figures, for notebooks and for saving: the grid, and the walk of an edit.

Notable:

- The page draws the same results in HTML of its own, which fits a phone and follows typing; these
  figures hold the same numbers.
- A label is one character and never a typed string, so that nothing typed can act as markup.

>>> from kronviz.probes.byteview import encode
>>> grid(encode("run")).write_html("run.html")  # doctest: +SKIP
"""

from __future__ import annotations

import unicodedata
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kronviz.figures.palette import MONO, NEUTRALS, SANS, arm_colour
from kronviz.probes.byteview import ByteView
from kronviz.probes.editwalk import EDIT_KINDS, EditWalk

ROW_PIXELS = 34
BAR_PIXELS = 120
SERIES = (
    ("code", "code_cosine", "square"),
    ("kron", "kron_centred", "circle"),
    ("bpe", "bpe_centred", "diamond"),
)
"""Each series of the walk with its field of `EditPoint` and its marker."""


def grid(view: ByteView) -> go.Figure:
    """The lit cells over byte value and position, below what each adds to kron's embedding."""
    used = sorted({cell.byte for cell in view.cells}, reverse=True)
    rows = {byte: row for row, byte in enumerate(used)}
    places = [cell.position for cell in view.cells]
    height = max(len(used), 1) * ROW_PIXELS
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.04,
        row_heights=[BAR_PIXELS, height],
    )
    shares = [cell.contribution.share * 100 for cell in view.cells if cell.contribution]
    if shares:
        figure.add_trace(
            go.Bar(
                x=places,
                y=shares,
                marker_color=arm_colour("kron").light,
                hovertemplate="position %{x}: %{y:.1f}% of kron’s embedding<extra></extra>",
            ),
            row=1,
            col=1,
        )
    figure.add_trace(
        go.Scatter(
            x=places,
            y=[rows[cell.byte] for cell in view.cells],
            mode="markers+text",
            marker={"symbol": "square", "size": 26, "color": NEUTRALS["ink"].light},
            text=[_sign(cell.character, cell.hex, cell.parts) for cell in view.cells],
            textfont={"family": MONO, "size": 13, "color": NEUTRALS["paper"].light},
            customdata=[(cell.hex, cell.index) for cell in view.cells],
            hovertemplate="position %{x}, byte %{customdata[0]}, cell %{customdata[1]:,}"
            "<extra></extra>",
        ),
        row=2,
        col=1,
    )
    if view.cut_hex:
        figure.add_vline(
            x=view.length + 0.5, line_dash="dash", line_width=2, line_color=NEUTRALS["ink"].light
        )
    _dress(figure, BAR_PIXELS + height + 90)
    figure.update_xaxes(range=[0.5, view.pos_dim + 0.5], dtick=1, showgrid=False)
    figure.update_xaxes(title_text="position", row=2, col=1)
    figure.update_yaxes(title_text="share, %", row=1, col=1)
    figure.update_yaxes(
        title_text="byte",
        tickvals=list(rows.values()),
        ticktext=[f"{byte:02x}" for byte in rows],
        range=[-0.5, len(used) - 0.5],
        row=2,
        col=1,
    )
    return figure


def edit_falls(walk: EditWalk) -> go.Figure:
    """Similarity to the whole string by the place of an edit, a panel for each kind of edit."""
    kinds = [kind for kind in EDIT_KINDS if any(point.kind == kind for point in walk.points)]
    columns = 3
    lines = max(-(-len(kinds) // columns), 1)
    figure = make_subplots(
        rows=lines,
        cols=columns,
        shared_yaxes=True,
        subplot_titles=[EDIT_KINDS[kind].label for kind in kinds],
        vertical_spacing=0.24 / lines,
    )
    for number, kind in enumerate(kinds):
        for name, field, symbol in SERIES:
            drawn = [
                (point.position, getattr(point, field))
                for point in walk.points
                if point.kind == kind and getattr(point, field) is not None
            ]
            if not drawn:
                continue
            figure.add_trace(
                go.Scatter(
                    x=[place for place, _ in drawn],
                    y=[cosine for _, cosine in drawn],
                    name=name if name == "code" else f"{name}, centred",
                    legendgroup=name,
                    showlegend=number == 0,
                    mode="markers" if name == "bpe" else "lines+markers",
                    line={"color": arm_colour(name).light, "width": 1.5},
                    marker={"symbol": symbol, "size": 7, "color": arm_colour(name).light},
                    hovertemplate=f"{name} at place %{{x}}: %{{y:.3f}}<extra></extra>",
                ),
                row=number // columns + 1,
                col=number % columns + 1,
            )
    _dress(figure, lines * 220 + 40)
    letters = [_sign(character, "", 1) for character in walk.characters]
    figure.update_xaxes(
        tickvals=list(range(1, len(letters) + 1)),
        ticktext=letters,
        range=[0.5, len(letters) + 1.5],
        showgrid=False,
    )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.12})
    return figure


def _sign(character: str, hex_: str, parts: int) -> str:
    """One byte's label: its character if that can be seen, else the byte."""
    if parts > 1 or not character:
        return hex_
    if character == " ":
        return "␣"
    if unicodedata.category(character)[0] in "CZ":
        return hex_ or f"{ord(character):02x}"
    return {"<": "&lt;", "&": "&amp;"}.get(character, character)


def _dress(figure: go.Figure, height: int) -> None:
    axis: dict[str, Any] = {
        "showline": False,
        "zeroline": False,
        "gridcolor": NEUTRALS["line"].light,
        "tickfont": {"family": MONO, "size": 12, "color": NEUTRALS["muted"].light},
        "title": {"font": {"size": 12, "color": NEUTRALS["muted"].light}},
    }
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": 32, "b": 52},
        paper_bgcolor=NEUTRALS["paper"].light,
        plot_bgcolor=NEUTRALS["surface"].light,
        font={"family": SANS, "size": 13, "color": NEUTRALS["ink"].light},
        showlegend=False,
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
