"""The figures of the byte view hold the numbers of their results."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from kronviz.figures.byteview import edit_falls, grid
from kronviz.predictor import Predictor
from kronviz.probes.byteview import encode
from kronviz.probes.editwalk import edit_walk


def trace(figure: go.Figure, number: int) -> dict:
    return figure.to_dict()["data"][number]


@pytest.mark.parametrize("text", ["run", "naïve", "a<b>&\x07 c", "x" * 60])
def test_the_grid_holds_the_cells(text: str, small_predictor: Predictor) -> None:
    view = encode(text, small_predictor)
    figure = grid(view)
    bars, cells = trace(figure, 0), trace(figure, 1)
    assert list(bars["y"]) == [cell.contribution.share * 100 for cell in view.cells]
    assert list(cells["x"]) == [cell.position for cell in view.cells]
    used = sorted({cell.byte for cell in view.cells}, reverse=True)
    assert [used[row] for row in cells["y"]] == [cell.byte for cell in view.cells]
    assert all(label and "<" not in label for label in cells["text"])
    assert len(figure.to_dict()["layout"].get("shapes", [])) == bool(view.cut_hex) * 2


def test_without_a_trained_arm_there_are_no_bars() -> None:
    assert len(grid(encode("run")).data) == 1


def test_the_walk_holds_every_point(small_predictor: Predictor) -> None:
    walk = edit_walk(" the", small_predictor)
    drawn = [y for line in edit_falls(walk).data if line.name == "code" for y in line.y]
    assert drawn == [point.code_cosine for point in walk.points]
    assert edit_falls(edit_walk("1", kinds=["case"])).data == ()
