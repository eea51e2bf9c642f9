"""Shared controls of long runs: buttons, seeds, the place in the queue, and how a run starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gradio as gr

from kronviz.app.components.html import Markup, element
from kronviz.app.components.numbers import marked
from kronviz.app.components.parts import html_part
from kronviz.app.components.results import progress, refused
from kronviz.app.components.runs import FINISHING, QUEUE, Runs, Stage, failure, lane
from kronviz.app.server.listening import WAITING
from kronviz.app.server.queueing import leave_queue, place_in_queue, waiting
from kronviz.predictor import InputError

_LEFT = "You left the queue; nothing was run."
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def running(stage: Stage[Any], noun: str) -> Markup:
    """Return the progress of a run that has no result yet."""
    return element(
        "div",
        progress(stage.done, stage.asked, True, noun),
        element("p", f"Reading every {noun} with each model …", class_="kv-finding", role="status"),
        class_="kv-lab-result",
    )


def empty(sentence: str) -> Markup:
    """Return the placeholder for a result before a run, or while it waits."""
    return element(
        "div",
        element("p", marked(sentence), class_="kv-lab-empty", role="status"),
        class_="kv-lab-result",
    )


class Controls(NamedTuple):
    """The two buttons of a run, the line with its place in the queue, and its clock."""

    run: gr.Button
    cancel: gr.Button
    place: gr.HTML
    clock: gr.Timer


def buttons(label: str, identifier: str) -> Controls:
    """Return the controls of a run, with buttons ``identifier`` and ``identifier-cancel``."""
    with gr.Row(elem_classes="kv-lab-buttons"):
        run = gr.Button(label, variant="primary", elem_id=identifier)
        cancel = gr.Button(
            "Cancel", variant="secondary", interactive=False, elem_id=f"{identifier}-cancel"
        )
        place, clock = place_part(f"{identifier}-place")
    return Controls(run, cancel, place, clock)


def place_part(identifier: str) -> tuple[gr.HTML, gr.Timer]:
    """Return the line with a place in the queue, and the clock that keeps it up to date."""
    return html_part(Markup(""), identifier), gr.Timer(1.0, active=False)


def tell_place(
    place: gr.HTML,
    clock: gr.Timer,
    queue: str,
    function: Callable[..., Any],
    expected: Callable[[str], bool] = lambda session: False,
) -> None:
    """Let a clock keep the line with a waiting run's place up to date.

    Args:
        function: function of the listener that waits in the queue.
        expected: tells whether the run of a session is about to enter the queue.
    """

    def tell(request: gr.Request) -> tuple[Any, ...]:
        session = str(request.session_hash)
        number = place_in_queue(queue, session, function)
        if number is not None:
            # Runs far back poll less often, because hundreds of them would be a load themselves.
            return in_queue(number), gr.Timer(1 + number / 8)
        if expected(session):
            return gr.skip(), gr.skip()
        return Markup(""), gr.Timer(active=False)

    clock.tick(tell, None, [place, clock], queue=False, **QUIET)


def next_number(queue: str) -> int:
    """Return the place that a new run would have in a queue; 0 if it would start at once."""
    before = waiting(queue)
    return before + 1 if before or lane().taken else 0


def in_queue(number: int) -> Markup:
    """Return a place in the queue as a sentence, empty for 0."""
    if not number:
        return Markup("")
    said = f"Number {number:,} in the queue. It starts by itself."
    return element("p", marked(said), class_="kv-quiet", role="status")


def _finishing() -> Markup:
    return element("p", FINISHING, class_="kv-quiet", role="status")


def connect(
    runs: Runs,
    controls: Controls,
    steps: Callable[..., Iterator[tuple[Any, ...]]],
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    """Let one button start a run and the other stop it; the last output shows messages."""
    run, cancel, place, clock = controls
    name = str(run.elem_id)
    others = len(outputs) - 1

    def known(session: object) -> str:
        return f"{name}/{session}"

    def begin(request: gr.Request) -> tuple[Any, ...]:
        visitor = known(request.session_hash)
        number = next_number(QUEUE)
        if number > WAITING:
            raise gr.Error(
                f"Busy: this would be number {number:,} in the queue; press again in a minute.",
                print_exception=False,
            )
        runs.begin(visitor)
        runs.expect(visitor)
        busy = gr.Button(interactive=False), gr.Button(interactive=True)
        return *busy, in_queue(number), gr.Timer(1.0, active=True)

    def work(request: gr.Request, *arguments: Any) -> Iterator[tuple[Any, ...]]:
        visitor = known(request.session_hash)
        runs.arrived(visitor)
        idle = gr.Button(interactive=True), gr.Button(interactive=False)
        busy = gr.Button(interactive=False), gr.Button(interactive=True)
        shown = False
        try:
            for stage, *outputs in steps(*arguments, visitor):
                shown = True
                if stage.running:
                    yield (*outputs, _finishing() if lane(QUEUE).finishing else Markup(""), *busy)
                else:
                    yield (*outputs, Markup(""), *idle)
        except GeneratorExit:
            raise
        except BaseException as error:
            said = refused(failure(error))
            if shown and not isinstance(error, InputError):
                # The result so far stays on the page.
                yield (*[gr.skip()] * (others + 1), said, *idle)
            else:
                yield (*[gr.skip()] * others, said, Markup(""), *idle)

    async def stop(request: gr.Request) -> tuple[Any, ...]:
        visitor = known(request.session_hash)
        runs.stop(visitor)
        session = str(request.session_hash)
        if not await leave_queue(QUEUE, session, work, len(outputs) + 3):
            return gr.skip(), gr.Button(interactive=False), gr.skip(), gr.skip()
        runs.arrived(visitor)
        said = element("p", _LEFT, class_="kv-quiet", role="status")
        idle = gr.Button(interactive=True), gr.Button(interactive=False)
        return *idle, said, gr.Timer(active=False)

    begun = run.click(
        begin, None, [run, cancel, place, clock], queue=False, trigger_mode="once", **QUIET
    )
    begun.success(
        work,
        inputs,
        [*outputs, place, run, cancel],
        concurrency_limit=1,
        concurrency_id=QUEUE,
        **QUIET,
    )
    cancel.click(stop, None, [run, cancel, place, clock], queue=False, **QUIET)
    tell_place(place, clock, QUEUE, work, lambda session: runs.expected(known(session)))
