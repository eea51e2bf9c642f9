"""A view that opens with the stored result of a measurement and can repeat the measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import gradio as gr

from kronviz.app.components.html import Markup, element
from kronviz.app.components.links import Links, remember
from kronviz.app.components.numbers import marked
from kronviz.app.components.parts import alert, html_part, progress_bar
from kronviz.app.components.redrawn import Redrawn
from kronviz.app.components.run_controls import QUIET, in_queue, next_number, place_part, tell_place
from kronviz.app.components.runs import FINISHING, QUEUE, Runs, failure, lane, watched
from kronviz.app.server.queueing import leave_queue
from kronviz.progress import Progress, Step

Result = TypeVar("Result")
Stopped = Callable[[], bool]


class Again(NamedTuple):
    """The controls: two buttons, the status, the place in the queue and its clock."""

    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    place: gr.HTML
    clock: gr.Timer

    @classmethod
    def build(cls, label: str, identifier: str, said: str, **button: Any) -> Again:
        """Lay the controls out; their ids begin with ``identifier``.

        Args:
            said: the initial status.
            button: more arguments of the first button.
        """
        return cls(
            gr.Button(label, elem_id=f"{identifier}-start", **button),
            gr.Button("Stop", interactive=False, elem_id=f"{identifier}-stop"),
            html_part(status_line(said), f"{identifier}-status"),
            *place_part(f"{identifier}-place"),
        )

    def connect(
        self,
        links: Links,
        redrawn: Redrawn,
        view: str,
        pair: gr.Radio,
        parts: list[Any],
        measure: Callable[[str | None, Stopped], Iterator[list[Any]]],
        opening: Callable[[str | None], list[Any]],
    ) -> None:
        """Let the buttons start and stop a measurement, and show the results of a new pair.

        Args:
            links: where the view declares what a link may contain.
            redrawn: what is drawn anew when other models are chosen.
            view: its name in links.
            parts: components that show the result, after the status.
            measure: maps a pair of models and a stop flag to updates of the status and the parts,
                see `measuring`.
            opening: maps a pair of models to the initial status and parts.
        """
        runs, shown = Runs(), [self.status, *parts]

        def work(request: gr.Request, pair: str | None) -> Iterator[list[Any]]:
            visitor = str(request.session_hash)
            runs.begin(visitor)
            still = [gr.skip()] * len(shown)
            yield [*still, Markup(""), gr.Button(interactive=True)]
            for updates in measure(pair, lambda: runs.stopped(visitor)):
                yield [*updates, gr.skip(), gr.skip()]
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

        # First, because the page requests the answers of its listeners one after another.
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
        remember(links, view, {}, {"measured": self.start})
        redrawn.add(opening, shown)


def measuring(
    task: Callable[[Progress], Result],
    drawn: Callable[[Result], list[Any]],
    doing: str,
    counted: str,
    parts: int,
    stopped: Stopped,
) -> Iterator[list[Any]]:
    """Run a task and yield updates of the status and the parts; without a result the parts stay.

    After an error they show the result so far.

    Args:
        drawn: maps a result to the final status and the parts.
        doing: the activity, as a sentence without its full stop.
        counted: what the progress bar counts.
        parts: number of parts.
    """
    still = [gr.skip()] * parts
    last = Step(0, 1)

    def heard(tell: Progress) -> Result:
        def hear(step: Step) -> object:
            nonlocal last
            last = step
            return tell(step)

        return task(hear)

    try:
        yield [status_line(f"{doing} …", 0.0, counted), *still]
        for step in watched(heard, stopped):
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
        partial = last.so_far() if last.so_far and last.done else None
        shown = still if partial is None else drawn(partial)[1:]
        yield [alert(failure(error), "kv-refused"), *shown]


def status_line(said: str, share: float | None = None, counted: str = "") -> Markup:
    """Return the status, with a progress bar if a share of the work is done."""
    if share is None:
        return element("p", marked(said), class_="kv-gen-status kv-quiet", role="status")
    line = element("p", marked(said), class_="kv-gen-status kv-quiet")
    return element("div", line, progress_bar(share, counted))
