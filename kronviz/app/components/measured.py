"""A view that opens with what is stored with the weights, and measures it again at a button."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import gradio as gr

from kronviz.app.components.html import Markup, element
from kronviz.app.components.links import remember
from kronviz.app.components.numbers import marked
from kronviz.app.components.parts import alert, html_part, progress_bar
from kronviz.app.components.run_controls import QUIET, in_queue, next_number, place_part, tell_place
from kronviz.app.components.runs import FINISHING, QUEUE, Runs, failure, lane, watched
from kronviz.app.server.queueing import leave_queue
from kronviz.progress import Progress, Step

Result = TypeVar("Result")
Stopped = Callable[[], bool]


class Again(NamedTuple):
    """The controls: two buttons, what is said beside them, the place in the queue and its clock."""

    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    place: gr.HTML
    clock: gr.Timer

    @classmethod
    def build(cls, label: str, identifier: str, said: str, **button: Any) -> Again:
        """Lay the controls out; their ids begin with ``identifier``.

        Args:
            said: what stands beside the buttons at first.
            button: more arguments of the first one.
        """
        return cls(
            gr.Button(label, elem_id=f"{identifier}-start", **button),
            gr.Button("Stop", interactive=False, elem_id=f"{identifier}-stop"),
            html_part(status_line(said), f"{identifier}-status"),
            *place_part(f"{identifier}-place"),
        )

    def connect(
        self,
        view: str,
        pair: gr.Radio,
        parts: list[Any],
        measure: Callable[[str | None, Stopped], Iterator[list[Any]]],
        opening: Callable[[str | None], list[Any]],
    ) -> None:
        """Let the first button start what the second stops, and show another pair's results.

        Args:
            view: its name in links.
            parts: show what is measured, after the status.
            measure: from a pair of models and whether it is to stop to what status and parts
                become, as `measuring` yields it.
            opening: from a pair of models to what status and parts show before anything is run.
        """
        runs, shown = Runs(), [self.status, *parts]

        def work(request: gr.Request, pair: str | None) -> Iterator[list[Any]]:
            visitor = str(request.session_hash)
            runs.begin(visitor)
            still = [gr.skip()] * len(shown)
            yield [*still, Markup(""), gr.Button(interactive=True)]
            for found in measure(pair, lambda: runs.stopped(visitor)):
                yield [*found, gr.skip(), gr.skip()]
            yield [*still, Markup(""), gr.Button(interactive=False)]

        def begin() -> tuple[Any, ...]:
            waiting = in_queue(next_number(QUEUE))
            return waiting, gr.Timer(1.0, active=True), gr.Button(interactive=True)

        async def end(request: gr.Request) -> tuple[Any, ...]:
            visitor = str(request.session_hash)
            runs.stop(visitor)
            if not await leave_queue(QUEUE, visitor, work, len(shown) + 2):
                return gr.skip(), gr.skip(), gr.skip()
            return Markup(""), gr.Timer(active=False), gr.Button(interactive=False)

        # First: the page asks for one listener's answer after another's.
        beside = [self.place, self.clock, self.stop]
        self.start.click(begin, None, beside, queue=False, **QUIET)
        self.start.click(
            work,
            pair,
            [*shown, self.place, self.stop],
            trigger_mode="once",
            concurrency_limit=1,
            concurrency_id=QUEUE,
            **QUIET,
        )
        self.stop.click(end, None, beside, queue=False, **QUIET)
        tell_place(self.place, self.clock, QUEUE, work)
        remember(view, {}, {"measured": self.start})
        pair.change(opening, pair, shown, queue=False, **QUIET)


def measuring(
    task: Callable[[Progress], Result],
    drawn: Callable[[Result], list[Any]],
    doing: str,
    counted: str,
    parts: int,
    stopped: Stopped,
) -> Iterator[list[Any]]:
    """Run a task and yield what the status and the parts become; these stay without a result.

    Args:
        drawn: the last status and the parts of a result.
        doing: what is under way, as a sentence without its end.
        counted: what the progress bar counts.
        parts: how many there are.
    """
    still = [gr.skip()] * parts
    try:
        yield [status_line(f"{doing} …", 0.0, counted), *still]
        for step in watched(task, stopped):
            if step is None:
                yield [status_line("Stopped before there was anything to keep."), *still]
            elif isinstance(step, Step):
                said = FINISHING if lane().finishing else f"{doing} … {step.share * 100:.0f}%"
                yield [status_line(said, step.share, counted), *still]
            else:
                yield drawn(step)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield [alert(failure(error), "kv-refused"), *still]


def status_line(said: str, share: float | None = None, counted: str = "") -> Markup:
    """Return what is under way, with a bar where a share of it is done."""
    if share is None:
        return element("p", marked(said), class_="kv-gen-status kv-quiet", role="status")
    line = element("p", marked(said), class_="kv-gen-status kv-quiet")
    return element("div", line, progress_bar(share, counted))
