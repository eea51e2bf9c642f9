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
from kronviz.probes.training import TrainingEvidence, training_evidence

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
    longer = _longer_runs(context)
    for place, study in enumerate(listed):
        html_part(view.finding(study))
        for evidence in longer.get((study.vocabulary, study.optimizer), ()):
            html_part(view.longer_run(evidence))
        _study(study, place)


def _longer_runs(context: Context) -> dict[tuple[str, str | None], list[TrainingEvidence]]:
    """Return how the sets with further arms were trained, by vocabulary and optimizer."""
    found: dict[tuple[str, str | None], list[TrainingEvidence]] = {}
    for name, predictor in context.predictors.items():
        if FURTHER not in name:
            continue
        try:
            evidence = training_evidence(context.folder(name))
        except CheckpointError:
            # The tab “Training” says what is wrong with that log.
            continue
        ended = [curve for curve in evidence.further if curve.final_nats is not None]
        for optimizer in {curve.optimizer for curve in ended}:
            found.setdefault((predictor.tokenizer.name, optimizer), []).append(evidence)
    return found


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
