"""The training tab: the pair's logs beside the paper's figures.

The command under the table reproduces all our figures; the paper's are labelled as such, with their
places in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from kronviz.app.components import (
    Markup,
    alert,
    box,
    element,
    html_part,
    reproduced,
    titled_plot,
)
from kronviz.app.context import Context
from kronviz.app.tabs.training import folds as training_folds
from kronviz.app.tabs.training import view as training_view
from kronviz.checkpoint_files import CheckpointError
from kronviz.figures import training as figures
from kronviz.probes.training import TrainingEvidence, training_evidence

_PLOTS = (
    (
        "Loss",
        figures.losses,
        "Validation loss of the models as they read the same text in the same order, over the "
        "loss of each training batch (faint). bpe’s line is dashed.",
    ),
    (
        "The gap",
        figures.gap,
        "kron’s validation loss minus bpe’s at the same step. Below zero, kron is ahead. "
        "The band is the paper’s final gap, at another scale.",
    ),
    (
        "Norms",
        figures.norms,
        "Frobenius norm of what the input embedding learns, such as bpe’s table and kron’s "
        "projection, divided by its first logged value. Does the embedding keep its size during "
        "training?",
    ),
    (
        "Rare tokens",
        figures.by_rarity,
        "The gap on all validation text, by how often training has seen the token just read (●) or "
        "the next token (◇), with 95% intervals. Below zero, kron is better. A table learns a row "
        "only when its token occurs; a byte code shares everything it learns. Do bytes help with "
        "rare tokens?",
    ),
)


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    view = _view(context, context.default)
    finding = html_part(view.finding)
    plots = []
    with gr.Row(elem_id="kv-plots"):
        for (title, _, caption), picture in zip(_PLOTS, view.pictures, strict=True):
            plots.append(titled_plot(picture, title, caption))
    table = html_part(view.table)

    def redraw(pair: str) -> tuple[Any, ...]:
        view = _view(context, pair)
        return view.finding, view.table, *view.pictures

    context.redrawn.add(redraw, [finding, table, *plots])


@dataclass(frozen=True)
class _View:
    finding: Markup
    table: Markup
    pictures: list[go.Figure]


def _view(context: Context, pair: str | None) -> _View:
    name = pair or ""
    try:
        evidence = training_evidence(context.folder(name))
        problem = None if evidence.curves else f"The pair {name} has no training logs."
    except CheckpointError as error:
        evidence = TrainingEvidence(name, ())
        problem = str(error)
    pictures = [draw(evidence) for _, draw, _ in _PLOTS]
    if problem:
        return _View(element("div", alert(problem), class_="kv-evidence"), Markup(""), pictures)
    command = f"python -m kronviz.probes.training checkpoints/{name}"
    finding = element(
        "div",
        element("p", training_view.headline(evidence), class_="kv-finding"),
        class_="kv-evidence",
    )
    table = element(
        "div",
        element("p", training_view.differences(evidence)),
        box(training_view.figures(evidence), label="Training figures"),
        *([training_folds.rarity(evidence.rarity)] if evidence.rarity else []),
        *([training_folds.seeds(evidence.seeds)] if evidence.seeds else []),
        *([training_folds.rates(evidence.rates)] if evidence.rates else []),
        reproduced(command),
        class_="kv-evidence",
    )
    return _View(finding, table, pictures)
