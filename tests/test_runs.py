"""Long runs: one at a time, stopped at once, never lost to an error."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from each import on_each
from markupsafe import Markup

from kronviz.app.components.endpoints import answer
from kronviz.app.components.runs import FINISHING, Runs, Stage, failure, lane, watched
from kronviz.errors import InputError
from kronviz.progress import Progress, Step, gather

KINDS = (MemoryError, RuntimeError, KeyboardInterrupt, SystemExit, RecursionError)


@pytest.fixture
def queue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue of the test's own, in which a second lasts 50 ms."""
    for name in ("BEAT_S", "SPEAK_S"):
        monkeypatch.setattr(f"kronviz.app.components.runs.{name}", 0.05)
    return request.node.name


def test_a_stopped_step_holds_the_lane_and_who_waits_can_cancel(queue: str) -> None:
    begun, go, stop = threading.Event(), threading.Event(), threading.Event()

    def deep(tell: Progress) -> str:
        begun.set()
        go.wait()
        return "done"

    first = watched(deep, stop.is_set, queue, grace=0.1)
    assert next(first) == Step(0, 1)
    assert begun.wait(10)
    stop.set()
    assert list(first) == [None]
    assert lane(queue).finishing
    # Nobody else begins meanwhile, however many come and go.
    for _ in range(2):
        given_up = threading.Event()
        waiting = watched(lambda tell: "never", given_up.is_set, queue)
        assert next(waiting) == Step(0, 1)
        given_up.set()
        assert list(waiting) == [None]
    third = watched(lambda tell: "third", lambda: False, queue)
    assert next(third) == Step(0, 1)
    go.set()
    assert list(third)[-1] == "third"
    assert not lane(queue).finishing
    assert lane(queue).alone(lambda: 5) == 5


def test_a_visitor_who_left_ends_a_run_at_its_next_word(queue: str) -> None:
    told, ended = threading.Event(), threading.Event()

    def task(tell: Progress) -> None:
        try:
            while True:
                tell(Step(1, 2))
                told.set()
        finally:
            ended.set()

    run = watched(task, lambda: False, queue)
    next(run)
    assert told.wait(10)
    run.close()
    assert ended.wait(10)
    assert lane(queue).alone(lambda: True)


def test_a_run_that_says_nothing_speaks_all_the_same(queue: str) -> None:
    go = threading.Event()
    run = watched(lambda tell: go.wait(), lambda: False, queue)
    assert [next(run), next(run)] == [Step(0, 1), Step(0, 1)]
    go.set()
    assert next(run) is True


@on_each("kind", KINDS)
def test_whatever_a_run_raises_what_it_read_stays(kind: type[BaseException], queue: str) -> None:
    def batches() -> Iterator[list[int]]:
        yield [1, 2]
        raise kind("boom /secret/path")

    runs = Runs()
    shown: list[Stage] = []
    stages = runs.stages(
        "v",
        "key",
        lambda tell: gather(batches(), 5, lambda read, _: sum(read), tell),
        5,
        queue=queue,
    )
    with pytest.raises(kind):
        shown.extend(stages)
    assert (shown[-1].result, shown[-1].done, shown[-1].running) == (3, 2, False)
    assert runs.found("key") is None
    assert lane(queue).alone(lambda: True)
    with pytest.raises(kind):
        list(watched(lambda tell: next(b := batches()) and next(b), lambda: False, queue))
    assert lane(queue).alone(lambda: True)


PARTIAL = {
    "kv-echo-run", "kv-lab-run", "kv-lab-every", "kv-lab-sweep", "kv-lab-recovery",
    "kv-lab-minimal", "kv-table-run", "kv-ins-pairs-stop", "kv-lay-stop",
}  # fmt: skip
"""The buttons of the long runs that have results before their end."""


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_an_error_in_the_middle_of_a_run_leaves_its_results_on_the_page(
    app: gr.Blocks, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(task: Callable[[Progress], object], *rest: Any, **named: Any) -> Iterator[Any]:
        def broken(tell: Progress) -> object:
            told = 0

            def hear(step: Step) -> object:
                nonlocal told
                goes_on = tell(step)
                told += step.done > 0
                if told == 3 or step.done == step.total:
                    raise kind("boom /secret/path")
                return goes_on

            return task(hear)

        return watched(broken, *rest, **named)

    for module in ("components.runs", "components.measured", "tabs.your_model.tab"):
        monkeypatch.setattr(f"kronviz.app.{module}.watched", raising)
    passages = tuple(f"The sun rises in the east and sets in the west, {n} times." for n in "abcd")
    monkeypatch.setattr("kronviz.probes.recovery.our_passages", lambda: passages)
    # Other tests may have measured the layers of the same models.
    monkeypatch.setattr("kronviz.probes.layers._done", {})
    seen = set()
    for function in app.fns.values():
        names = [str(part.elem_id) for part in function.outputs]
        if not PARTIAL & {*names} or not inspect.isgeneratorfunction(function.fn):
            continue
        # Texts that no other test has asked about, for finished results are kept.
        values = [
            f"{part.value} today" if isinstance(part, gr.Textbox) and part.value else part.value
            for part in function.inputs
        ]
        visitor = SimpleNamespace(session_hash=f"{kind.__name__}{function._id}")
        shown: dict[str, Any] = {}
        for update in function.fn(visitor, *values):
            changed = {n: v for n, v in zip(names, update, strict=True) if v != gr.skip()}
            shown |= changed
        said = " ".join(str(value) for value in shown.values() if isinstance(value, Markup))
        assert re.search("ended early|not enough memory", said), names
        assert "secret" not in said
        assert not re.search("(Measuring|Reading|Patching|Looking)[^.]* …", said), names
        # Results are long; sentences and buttons are not.
        assert max(len(str(value)) for value in shown.values()) > 3_000, names
        (button,) = PARTIAL & {*names}
        assert shown[button].interactive is not button.endswith("-stop")
        if f"{button}-cancel" in names:
            assert shown[f"{button}-cancel"].interactive is False
        seen.add(button)
    assert seen == PARTIAL


def test_an_error_is_one_sentence() -> None:
    for kind in KINDS:
        said = failure(kind("boom /secret/path"))
        assert said.endswith(".")
        assert "secret" not in said

        def ask(kind: type[BaseException] = kind) -> object:
            raise kind("boom /secret/path")

        with pytest.raises(Exception, match=r"This ended early|not enough memory") as caught:
            answer(ask)
        assert "secret" not in str(caught.value)
    assert failure(InputError("Give more.")) == "Give more."
    assert FINISHING.endswith(".")
