"""The two sections of Robustness with curves: every kind of misspelling, and forgetting.

Each opens with the result stored with the pair's weights; its button measures again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from kronviz.app.components import (
    METRIC_NAMES,
    QUIET,
    Fields,
    Markup,
    Runs,
    buttons,
    connect,
    empty,
    head,
    html_part,
    plot,
    readable_run,
    running,
)
from kronviz.app.context import Context
from kronviz.app.tabs.robustness import sweep as lab_sweep
from kronviz.figures.robustness import advantages, forgetting
from kronviz.probes import recovery, sweep
from kronviz.probes.robustness import METRICS
from kronviz.probes.stored_runs import RECOVERY, SWEEP

Section = tuple[Mapping[str, gr.components.Component], gr.Button]
"""The controls of a section by name, and its run button."""
Drawn = tuple[go.Figure | None, Markup, Markup]
"""A chart, what stands below it, and the finding, which stands above it."""


def sweep_opening(context: Context, models: str | None, metric: str) -> Drawn:
    """Return the initial curves, stored with the weights."""
    stored = readable_run(context.folder(models), SWEEP)
    if stored is None:
        said = empty(
            "No curve yet. A sweep reads about 2,500 misspelled texts with each model; it can be "
            "cancelled at any time and keeps what it has."
        )
        return None, Markup(""), said
    drawn = lab_sweep.sweep_view(stored.report, metric, stored.command)
    return advantages(stored.report, metric), *drawn


def recovery_opening(context: Context, models: str | None) -> Drawn:
    """Return the initial curve, stored with the weights."""
    stored = readable_run(context.folder(models), RECOVERY)
    if stored is None:
        said = empty(
            f"No curve yet. {len(recovery.our_passages())} passages of about fifty words are read "
            "clean and misspelled, and compared at every token after the misspelling."
        )
        return None, Markup(""), said
    return forgetting(stored.report), *lab_sweep.recovery_view(stored.report, stored.command)


def _changed(figure: go.Figure | None, *drawn: Markup) -> tuple[Any, ...]:
    """Return a listener's answer, with the plot hidden if there is no figure."""
    return gr.Plot(figure, visible=figure is not None), *drawn


def sweep_section(context: Context, runs: Runs, pair: gr.Radio) -> Section:
    """Lay out the sweep over kinds and strengths of misspelling, and connect it."""
    head(
        "Where the byte code helps, and where it hurts",
        "Every kind of misspelling, gentle to strong, over the same clean sentences. A "
        "substituted letter is a small step in bytes; an inserted or deleted one moves all bytes "
        "that follow.",
    )
    fields = Fields(sweep.SweepSettings)
    with gr.Row(elem_classes="kv-lab-controls"):
        metric = gr.Radio(
            [(METRIC_NAMES[name][0], name) for name in METRICS],
            value="kl_nats",
            label="Measured by",
        )
        stored = readable_run(context.folder(context.default), SWEEP)
        fields(
            "count",
            "Sentences, from our pairs",
            minimum=10,
            step=10,
            # The stored curves below were measured on this many.
            **({"value": stored.report.sentences} if stored else {}),
        )
        fields.seed()
    with gr.Accordion("Kinds of misspelling", open=False, elem_classes="kv-lab-fold"):
        fields.kinds()
    press = buttons("Run the sweep", "kv-lab-sweep")

    figure, below, above = sweep_opening(context, context.default, "kl_nats")
    said = html_part(above, "kv-lab-curves-said")
    chart = plot(figure, "Advantage by kind", visible=figure is not None)
    shown = [chart, html_part(below, "kv-lab-curves"), said]

    def steps(metric: str, models: str | None, *rest: Any) -> Iterator[tuple[Any, ...]]:
        *values, visitor = rest
        predictor, asked = context.predictor(models), fields.read(values)
        jobs = sweep.sweep_jobs(predictor, asked)
        stages = runs.stages(
            visitor,
            ("sweep", predictor.pair, jobs, asked.seed),
            lambda tell: sweep.sweep_of(predictor, jobs, seed=asked.seed, progress=tell),
            len(jobs.pairs),
            partial=False,
        )
        for stage in stages:
            if stage.result is None:
                yield stage, gr.Plot(visible=False), Markup(""), running(stage, "text")
            else:
                runs.keep(("sweep on page", visitor, models), stage.result)
                picture = gr.Plot(advantages(stage.result, metric), visible=True)
                yield stage, picture, *lab_sweep.sweep_view(stage.result, metric)

    connect(runs, press, steps, [metric, pair, *fields.controls], shown)

    def measured_by(metric: str, models: str | None, request: gr.Request) -> tuple[Any, ...]:
        last = runs.found(("sweep on page", f"{press.run.elem_id}/{request.session_hash}", models))
        if last is None:
            return _changed(*sweep_opening(context, models, metric))
        return gr.Plot(advantages(last, metric)), *lab_sweep.sweep_view(last, metric)

    context.redrawn.add(
        lambda models, metric: _changed(*sweep_opening(context, models, metric)),
        shown,
        metric,
    )
    metric.input(measured_by, [metric, pair], shown, queue=False, **QUIET)
    return {"metric": metric, **fields.named}, press.run


def recovery_section(context: Context, runs: Runs, pair: gr.Radio) -> Section:
    """Lay out the section on forgetting a misspelling, and connect it."""
    head(
        "How long a typo is remembered",
        "One word in the first half of a passage is misspelled. Every correct word that follows "
        "should weaken its effect. How soon does it fade?",
    )
    fields = Fields(recovery.RecoverySettings)
    with gr.Row(elem_classes="kv-lab-controls"):
        fields("repeats", "Misspellings of each passage")
        fields.seed()
    press = buttons("Run the passages", "kv-lab-recovery")

    figure, below, above = recovery_opening(context, context.default)
    said = html_part(above, "kv-lab-forgetting-said")
    chart = plot(
        figure, "KL by token", visible=figure is not None, elem_classes="kv-plot kv-plot-narrow"
    )
    shown = [chart, html_part(below, "kv-lab-forgetting"), said]

    def steps(models: str | None, *rest: Any) -> Iterator[tuple[Any, ...]]:
        *values, visitor = rest
        predictor, asked = context.predictor(models), fields.read(values)
        stages = runs.stages(
            visitor,
            ("recovery", predictor.pair, asked),
            lambda tell: recovery.recovery(predictor, asked, tell),
            len(recovery.our_passages()),
            partial=False,
        )
        for stage in stages:
            if stage.result is None:
                yield stage, gr.Plot(visible=False), Markup(""), running(stage, "passage")
            else:
                picture = gr.Plot(forgetting(stage.result), visible=bool(stage.result.points))
                yield stage, picture, *lab_sweep.recovery_view(stage.result)

    connect(runs, press, steps, [pair, *fields.controls], shown)
    context.redrawn.add(lambda models: _changed(*recovery_opening(context, models)), shown)
    return fields.named, press.run
