"""The arms view: all input embeddings that were trained side by side, and which one wins where."""

from __future__ import annotations

import gradio as gr

from kronviz.app.components import (
    alert,
    box,
    element,
    html_part,
    reproduced,
    titled_plot,
)
from kronviz.app.context import Context
from kronviz.app.tabs.arms import view
from kronviz.checkpoint_files import FURTHER, CheckpointError
from kronviz.errors import InputError
from kronviz.figures import study as figures
from kronviz.probes.study import STUDIES, Study, studies
from kronviz.probes.training import training_evidence

COMMAND = "python -m kronviz.probes.study"


def build(context: Context) -> None:
    """Lay out the view. Call inside a `gr.Tab`."""
    try:
        listed = studies(STUDIES)
    except InputError as error:
        html_part(alert(str(error)))
        return
    if not listed:
        html_part(element("p", "No study of arms has been run yet.", class_="kv-caption"))
    for place, study in enumerate(listed):
        html_part(view.finding(study))
        _longer_runs(context, study)
        _study(study, place)


def _longer_runs(context: Context, study: Study) -> None:
    for name, predictor in context.predictors.items():
        if FURTHER not in name or predictor.tokenizer.name != study.vocabulary:
            continue
        try:
            evidence = training_evidence(context.folder(name))
        except CheckpointError:
            # The tab “Training” says what is wrong with that log.
            continue
        alike = [each for each in evidence.further if each.optimizer == study.optimizer]
        if any(curve.final_nats is not None for curve in alike):
            html_part(view.longer_run(evidence))


def _study(study: Study, place: int) -> None:
    with gr.Row(elem_classes="kv-plots"):
        for title, draw, caption in (
            ("Gain over the table", figures.differences, view.DIFFERENCES),
            ("As they learn", figures.curves, view.CURVES),
        ):
            titled_plot(draw(study), title, caption, f"{title}, {place + 1}")
    if study.gaps:
        title = "As runs get longer"
        with gr.Row(elem_classes="kv-plots"):
            titled_plot(
                figures.gaps(study), title, view.gaps_caption(study), f"{title}, {place + 1}"
            )
    html_part(
        element(
            "div",
            box(view.table_of(study), label="All arms"),
            *[view.other_runs(each) for each in study.others],
            *([view.costs_of(study, study.costs)] if study.costs else []),
            reproduced(COMMAND),
            class_="kv-evidence",
        )
    )
