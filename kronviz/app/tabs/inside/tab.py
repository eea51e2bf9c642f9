"""The view “Inside”: one misspelling followed through both networks.

Notable:

- It shares its two texts with Compare: a text typed in one view appears in the other. Nothing is
  computed while the view is hidden.
- An answer comes in parts, with the chosen map first, and ends early if the visitor asks for
  something else. Results for two texts are kept for a while, so that another map or measure costs
  only what is new.
- `api` has the same results for programs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from kronviz.app.components import (
    QUIET,
    Depending,
    Fields,
    answers,
    choice,
    declare,
    element,
    failure,
    html_part,
    plot,
    remember,
    still_there,
    textbox,
)
from kronviz.app.context import Context
from kronviz.app.tabs.inside import view
from kronviz.app.tabs.inside.api import add_endpoints
from kronviz.figures import inside as figures
from kronviz.predictor import Predictor, clean_text
from kronviz.probes.inside import Followed
from kronviz.probes.inside.report import BYTES
from kronviz.progress import Stopped
from kronviz.settings import declared, setting

QUEUE = "inside"
AT_ONCE = 2
KEPT = 16
TARGETS = {"first": "Clean first choice", "answer": "Right answer"}
_ASK = "(...values) => window.kronvizInside.ask(...values)"
_TAKE = "(...texts) => window.kronvizInside.taken(...texts)"
_NEWEST = "${window.kronvizInside ? window.kronvizInside.newest(value) : value}"
_LENS = (("probs", "Probability"), ("ranks", "Rank"))


@dataclass(frozen=True)
class Shown:
    """The choices of what the page shows of a report."""

    thing: str = setting("residual", "Taken from the clean run", choices=view.THINGS)
    measure: str = setting("kl", "Damage measured by", choices=view.MEASURES)
    target: str = setting("first", "Token followed", choices=TARGETS)


def build(context: Context) -> None:
    """Lay out the view and connect it. Call inside a `gr.Tab`."""
    fields = Fields(Shown)
    shared = [context.shared[name] for name in ("clean", "typo", "right")]
    with gr.Row(elem_id="kv-inside-texts"):
        labels = ("Clean text", 5), ("The same, misspelled", 5), ("Right answer", 2)
        texts = []
        for other, (label, scale) in zip(shared, labels, strict=True):
            with gr.Column(min_width=120 if scale == 2 else 280, scale=scale):
                name = str(other.elem_id).removeprefix("kv-")
                texts.append(textbox(label, other.value, f"kv-inside-{name}", "", most=6))
    with gr.Row(elem_id="kv-inside-tools"):
        thing = _radio(fields, "thing", view.THINGS)
        measure = _radio(fields, "measure", view.MEASURES)
    asked = gr.Number(0, visible=False)
    page = gr.HTML(
        view.waiting(),
        html_template=_NEWEST,
        js_on_load=None,
        apply_default_css=False,
        elem_id="kv-inside-answer",
    )
    answers([page])
    html_part(
        element(
            "div",
            element("h2", "Logit lens", class_="kv-heading"),
            element(
                "p",
                "What the model would predict if it stopped after a block: the residual stream at "
                "the last token, through the model’s own final norm and output head. The models "
                "were trained for the last block only.",
                class_="kv-caption",
            ),
            class_="kv-ins-lens",
        )
    )
    target = _radio(fields, "target", TARGETS)
    plots = []
    with gr.Row(elem_classes="kv-lay-plots"):
        for what, title in _LENS:
            with gr.Column(min_width=300):
                figure = figures.lens(None, "first", what)
                plots.append(plot(figure, title))
    pair = context.pair_field()

    known = _Known()
    opening = [str(other.value or "") for other in shared]
    context.warming.append(
        lambda: known.followed(context.predictor(), *opening).report((thing.value, BYTES))
    )

    def respond(
        clean: str,
        typo: str,
        answer: str,
        thing: str,
        measure: str,
        target: str,
        pair: str | None,
        asked: float,
        request: gr.Request,
    ) -> Iterator[list[Any]]:
        number, visitor = int(asked or 0), str(request.session_hash)
        if number < 0:
            yield [gr.skip()] * 3
            return
        known.asks(visitor, number)
        there = still_there(visitor)

        def wanted(*_: object) -> bool:
            return known.is_newest(visitor, number) and there()

        try:
            followed = known.followed(context.predictor(pair), clean, typo, answer)
            drawn = False
            for parts in ((thing,), (thing, BYTES)):
                if not known.is_newest(visitor, number):
                    return
                there()
                report = followed.report(parts, wanted)
                pictures: list[Any] = [
                    gr.skip() if drawn else figures.lens(report, target, what) for what, _ in _LENS
                ]
                yield [view.answer(report, thing, measure, number), *pictures]
                drawn = True
        except (Stopped, GeneratorExit):
            return
        except BaseException as error:
            empty = [figures.lens(None, target, what) for what, _ in _LENS]
            yield [view.refusal(failure(error), number), *empty]

    for control, other in zip(texts, shared, strict=True):
        control.input(None, control, other, js="(text) => text", **QUIET)
        other.change(None, shared, texts, js=_TAKE, **QUIET)  # type: ignore[attr-defined]
    inputs = [*texts, thing, measure, target, pair, asked]
    events = [control.change for control in inputs[:-1]]  # type: ignore[attr-defined]
    if context.tab is not None:
        context.tab.select(None, shared, texts, js=_TAKE, **QUIET)
        events.append(context.tab.select)
    gr.on(
        events,
        respond,
        inputs,
        [page, *plots],
        js=_ASK,
        concurrency_limit=AT_ONCE,
        concurrency_id=QUEUE,
        trigger_mode="multiple",
        **QUIET,
    )
    remember(context.links, "inside", fields.named, {})
    heads = Depending(lambda values: choice(_heads(context.linked(values))))
    declare(context.links, "inside", {"inside.head": heads})
    add_endpoints(context)


def _heads(predictor: Predictor) -> list[str]:
    """Return the names of all heads of a pair of models that a link may choose."""
    shapes = [model.config for model in predictor.arms.values()]
    blocks = range(1, 1 + max(shape.n_layer for shape in shapes))
    heads = range(1, 1 + max(shape.n_head for shape in shapes))
    return ["mean", *map(str, blocks), *(f"{block}.{head}" for block in blocks for head in heads)]


class _Known:
    """The last question of each visitor, and the results for the most recent texts."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, int] = OrderedDict()
        self._followed: OrderedDict[tuple[object, ...], Followed] = OrderedDict()
        self._lock = threading.Lock()

    def asks(self, visitor: str, number: int) -> None:
        """Note a visitor's question."""
        with self._lock:
            self._asked[visitor] = max(number, self._asked.get(visitor, 0))
            self._asked.move_to_end(visitor)
            while len(self._asked) > 1_000:
                self._asked.popitem(last=False)

    def is_newest(self, visitor: str, number: int) -> bool:
        """Return whether a question is the visitor's latest."""
        return self._asked.get(visitor, number) <= number

    def followed(self, predictor: Predictor, clean: str, typo: str, answer: str) -> Followed:
        """Return the results for two texts, with all parts computed so far.

        Raises:
            InputError: the texts cannot be traced.
        """
        texts = [clean_text(text or "") for text in (clean, typo, answer)]
        key = (predictor.pair, *sorted(predictor.fingerprints.items()), *texts)
        with self._lock:
            result = self._followed.get(key)
        if result is None:
            result = Followed(predictor, *texts)
        with self._lock:
            result = self._followed.setdefault(key, result)
            self._followed.move_to_end(key)
            while len(self._followed) > KEPT:
                self._followed.popitem(last=False)
        return result


def _radio(fields: Fields[Shown], name: str, titles: dict[str, str]) -> gr.Radio:
    choices = [(title, choice) for choice, title in titles.items()]
    label = declared(Shown)[name][2].help
    return fields(name, label, choices=choices, elem_id=f"kv-inside-{name}")
