"""What the sections of the lab have in common: heads, buttons, seeds, how a run starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from kronviz.predictor import InputError
from kronviz.typos import KINDS
from kronviz.ui import robustness_view
from kronviz.ui.direct import runs_ahead
from kronviz.ui.html import Markup, element
from kronviz.ui.lab_runs import QUEUE, Runs, Stage
from kronviz.ui.numbers import marked

_WAITING = "Waiting for a free place …"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def running(stage: Stage[Any], noun: str) -> Markup:
    """A run that has no result yet: how far it is."""
    return element(
        "div",
        robustness_view.progress(stage.done, stage.asked, True, noun),
        element(
            "p", f"Reading every {noun} with both models …", class_="kv-finding", role="status"
        ),
        class_="kv-lab-result",
    )


def empty(sentence: str) -> Markup:
    """What stands where nothing was run yet, or where a run waits for its turn."""
    return element(
        "div",
        element("p", marked(sentence), class_="kv-lab-empty", role="status"),
        class_="kv-lab-result",
    )


def buttons(label: str, identifier: str) -> tuple[gr.Button, gr.Button]:
    """The two buttons of a run, named ``identifier`` and ``identifier-cancel``."""
    with gr.Row(elem_classes="kv-lab-buttons"):
        run = gr.Button(label, variant="primary", elem_id=identifier)
        cancel = gr.Button(
            "Cancel", variant="secondary", interactive=False, elem_id=f"{identifier}-cancel"
        )
    return run, cancel


def seed_part() -> gr.Number:
    """A field for a seed."""
    return gr.Number(1, label="Seed", precision=0, minimum=0, elem_classes="kv-lab-seed")


def kinds_part(chosen: tuple[str, ...], label: str) -> gr.CheckboxGroup:
    """Every kind of misspelling, those of ``chosen`` ticked."""
    return gr.CheckboxGroup(
        [
            (f"{kind.label}: {kind.example.rpartition(' → ')[2]}", name)
            for name, kind in KINDS.items()
        ],
        value=list(chosen),
        label=label,
        elem_classes="kv-lab-kinds",
    )


def connect(
    runs: Runs,
    run: gr.Button,
    cancel: gr.Button,
    steps: Callable[..., Iterator[tuple[Any, ...]]],
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    """Let a button start a run, another stop it; the last output is where sentences go."""
    name = str(run.elem_id)
    others = len(outputs) - 1

    def visitor(request: gr.Request) -> str:
        return f"{name}/{request.session_hash}"

    def begin(request: gr.Request) -> tuple[Any, ...]:
        runs.begin(visitor(request))
        ahead = runs_ahead(QUEUE)
        place = f"Number {ahead + 1} in the queue. It starts by itself." if ahead else _WAITING
        return gr.Button(interactive=False), gr.Button(interactive=True), empty(place)

    def work(request: gr.Request, *arguments: Any) -> Iterator[tuple[Any, ...]]:
        idle = gr.Button(interactive=True), gr.Button(interactive=False)
        busy = gr.Button(interactive=False), gr.Button(interactive=True)
        try:
            for stage, *found in steps(*arguments, visitor(request)):
                yield (*found, *(busy if stage.running else idle))
        except InputError as error:
            yield (*[gr.skip()] * others, robustness_view.refused(str(error)), *idle)

    def stop(request: gr.Request) -> Any:
        runs.stop(visitor(request))
        return gr.Button(interactive=False)

    run.click(
        begin, None, [run, cancel, outputs[-1]], queue=False, trigger_mode="once", **QUIET
    ).then(
        work,
        inputs,
        [*outputs, run, cancel],
        concurrency_limit=1,
        concurrency_id=QUEUE,
        **QUIET,
    )
    cancel.click(stop, None, cancel, queue=False, **QUIET)
