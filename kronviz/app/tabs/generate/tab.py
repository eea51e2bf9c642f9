"""The tab “Generate”: both models continue a text, side by side, as they write it.

Notable:

- There are three modes: a clean text, the same misspelled, and a text with a slot for any string.
  Each mode keeps its own fields, so that switching loses nothing.
- A stop takes effect at the next token, or before the first; what was written stays.
- Writing has its own queue, so typing in another tab does not wait for it.
- `api` has the same continuations for programs.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from kronviz.app.components import (
    QUIET,
    Depending,
    Markup,
    alert,
    amount,
    clean_text,
    control,
    element,
    failure,
    html_part,
    leave_queue,
    more,
    place_part,
    refused,
    remember,
    tell_place,
    textbox,
)
from kronviz.app.context import Context
from kronviz.app.tabs.generate import echo
from kronviz.app.tabs.generate import view as generate_view
from kronviz.app.tabs.generate.api import add_endpoints, by_turns
from kronviz.generation import Sampler, side_by_side
from kronviz.predictor import InputError
from kronviz.settings import declared

PROMPTS = (
    ("king", "The king lived in a castle with his", "The knig lived in a castel with his"),
    ("tale", "Once upon a time there was a little", "Once apon a time there was a litle"),
    ("heart", "The heart pumps blood through the", "The haert pumps blod through the"),
    (
        "plants",
        "Plants make their food from sunlight and",
        "Plants make their food from sunligth and",
    ),
    ("captain", "The old captain looked out over the", "The old captian looked out over the"),
    ("forest", "In the middle of the forest stood a", "In the middel of the forrest stood a"),
    (
        "ice",
        "Water turns into ice when the temperature",
        "Water turns into ice when the temprature",
    ),
    (
        "teacher",
        "The teacher opened the book and began to",
        "The teecher opened the book and begun to",
    ),
    ("triangle", "A triangle has three sides and three", "A triangel has three sides and three"),
    ("window", "She sat down by the window and", "She sat down by the windwo and"),
    ("moon", "The moon moves around the earth because", "The moon moves arround the earth becuase"),
    ("letter", "He took the letter from his pocket and", "He took the leter from his pockt and"),
    ("cell", "Every cell in the body contains", "Every cell in the boddy containes"),
    ("ship", "The ship sailed slowly towards the", "The ship saild slowly twoards the"),
    ("equation", "To solve the equation we first", "To slove the equasion we first"),
    ("knock", "There was a knock at the door, and", "There was a konck at the door, and"),
    ("music", "The most important thing about music is", "The most importent thing about musik is"),
    ("war", "When the war was over, the people", "When the war was over, the poeple"),
    ("light", "Light travels faster than sound, so", "Light travells faster then sound, so"),
    ("brothers", "The two brothers had never seen a", "The two brohters had never seen a"),
)
SLOTS = (
    ("The engineers use {} to run their", "kubernetes"),
    ("A {} is a kind of", "glockenspiel"),
    ("The {} lives in the forest and eats", "quokka"),
    ("She put the {} on the table and", "frobnicator"),
    ("The king of {} sent a letter to", "Zyzzyvania"),
    ("They say that {} is the smell of rain on", "petrichor"),
)
_SHOWN_PROMPTS, _SHOWN_SLOTS = 5, 3
QUEUE = "generate"
PLACEHOLDER = "Type the beginning of a text"
_WAIT = 0.08
"""Seconds between two updates of a stream: faster than people read, slower than a page can draw."""
_FIRST_SECONDS = 1.5
_KNOBS = {
    "temperature": ("Temperature: 0 takes the likeliest", 0.05),
    "top_p": ("Top-p: share of the probability that is drawn from", 0.01),
    "max_tokens": ("Tokens to write", 1),
    "seed": ("Seed: the same seed, the same text", 1),
    "repeat_limit": ("Greedy after so many repeats of a token", 1),
}


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    with gr.Column(elem_id="kv-gen"):
        mode = gr.Radio(
            [(label, name) for name, label in generate_view.MODES.items()],
            value="clean",
            label="Prompt",
            elem_id="kv-gen-mode",
        )
        with gr.Row(elem_classes="kv-gen-unslotted"):
            prompt = textbox("Text to continue", PROMPTS[0][1], "kv-gen-prompt", PLACEHOLDER)
            typo = textbox("The same, misspelled", PROMPTS[0][2], "kv-gen-typo", PLACEHOLDER)
        with gr.Row(elem_classes="kv-gen-slotted"):
            slotted = textbox(
                "Text, with {} where the word goes", SLOTS[0][0], "kv-gen-slotted", PLACEHOLDER
            )
            string = textbox(
                "The word: any string at all", SLOTS[0][1], "kv-gen-string", PLACEHOLDER
            )
        with gr.Row(elem_id="kv-gen-tools"):
            start = gr.Button("Generate", variant="primary", elem_id="kv-gen-start")
            stop = gr.Button("Stop", interactive=False, elem_id="kv-gen-stop")
            status = html_part(generate_view.status(""), "kv-gen-status")
            place, clock = place_part("kv-gen-place")
        html_part(_examples(), "kv-gen-examples")
        with gr.Accordion(
            "Sampler: the paper’s, unless changed", open=False, elem_id="kv-gen-knobs"
        ):
            knobs = [_knob(name) for name in _KNOBS]
    answer = html_part(_first(context), "kv-gen-answer")
    pair = context.pair_field()
    fields = [mode, prompt, typo, slotted, string, *knobs]

    stops = _Stops()

    def begin(request: gr.Request) -> tuple[gr.Timer, gr.Button]:
        stops.begin(str(request.session_hash))
        return gr.Timer(1.0, active=True), gr.Button(interactive=True)

    def write(request: gr.Request, *state: Any) -> Iterator[tuple[Any, ...]]:
        stopped = stops.of(str(request.session_hash))
        # The last update resets the rest, so that a restart at once shows nothing of the old run.
        for answer, said, writing in _written(context, *state, stopped=stopped):
            yield answer, said, Markup(""), gr.Button(interactive=writing)

    async def end(request: gr.Request) -> tuple[Any, ...]:
        visitor = str(request.session_hash)
        stops.stop(visitor)
        if not await leave_queue(QUEUE, visitor, write, outputs=4):
            return gr.skip(), gr.skip(), gr.skip(), gr.Button(interactive=False)
        return _stopped(), Markup(""), gr.Timer(active=False), gr.Button(interactive=False)

    asked = [start.click, prompt.submit, typo.submit, slotted.submit, string.submit]
    # First, because the page requests the answers of its listeners one by one.
    gr.on(asked, begin, None, [clock, stop], queue=False, **QUIET)
    gr.on(
        asked,
        write,
        [*fields, pair],
        [answer, status, place, stop],
        trigger_mode="always_last",
        concurrency_limit=2,
        concurrency_id=QUEUE,
        **QUIET,
    )
    tell_place(place, clock, QUEUE, write)
    stop.click(end, None, [status, place, clock, stop], queue=False, **QUIET)
    texts = {"prompt": prompt, "misspelled": typo, "slotted": slotted, "string": string}
    parts = {"mode": mode, **texts, **dict(zip(_KNOBS, knobs, strict=True))}
    limits = declared(Sampler)["seed"][2]
    seed = Depending(lambda _: amount(limits.low, limits.high))
    remember(context.links, "generate", parts, {"": start}, depending={"seed": seed}, short=True)
    echo.build(context, pair)
    add_endpoints(context)


def _written(
    context: Context,
    mode: str,
    prompt: str,
    typo: str,
    slotted: str,
    string: str,
    *rest: Any,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Markup, Markup, bool]]:
    """Yield the page's content while the models write, and whether they continue."""
    *values, models = rest
    try:
        # An emptied field means its initial value.
        given = dict(zip(_KNOBS, values, strict=True))
        sampler = Sampler(**{name: value for name, value in given.items() if value is not None})
        texts = {"clean": [prompt], "typo": [prompt, typo], "slot": [slotted]}.get(mode, [prompt])
        generations = side_by_side(
            context.predictor(models),
            [clean_text(text or "") for text in texts],
            sampler,
            clean_text(string or "") if mode == "slot" else None,
        )
        drawn = 0.0
        if stopped():
            yield gr.skip(), _stopped(), False
            return
        for generation in by_turns(generations):
            if stopped() and not generation.finished:
                yield generate_view.view(generation, mode), _stopped(), False
                return
            if generation.finished or time.monotonic() - drawn > _WAIT:
                said = generate_view.progress(generation)
                yield generate_view.view(generation, mode), said, not generation.finished
                drawn = time.monotonic()
    except InputError as error:
        yield refused(str(error), "kv-gen-result"), generate_view.status(""), False
    except GeneratorExit:
        raise
    except BaseException as error:
        # The text so far stays on the page.
        yield gr.skip(), alert(failure(error), "kv-refused"), False


class _Stops:
    """Tracks which of a visitor's runs must stop: those requested before the last stop."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, list[int]] = OrderedDict()
        self._lock = threading.Lock()

    def _of(self, visitor: str) -> list[int]:
        with self._lock:
            counts = self._runs.setdefault(visitor, [0, 0])
            self._runs.move_to_end(visitor)
            while len(self._runs) > 1_000:
                self._runs.popitem(last=False)
        return counts

    def begin(self, visitor: str) -> None:
        """Note that a visitor requested another run."""
        self._of(visitor)[0] += 1

    def stop(self, visitor: str) -> None:
        """Stop all runs that a visitor has requested."""
        counts = self._of(visitor)
        counts[1] = counts[0]

    def of(self, visitor: str) -> Callable[[], bool]:
        """Return a function that tells whether the visitor's latest run must stop."""
        counts = self._of(visitor)
        number = counts[0]
        return lambda: counts[1] >= number > 0


def _stopped() -> Markup:
    return generate_view.status("Stopped. What was written stays.")


def _first(context: Context) -> Markup:
    """Return the continuation that the page opens with: one or two seconds of writing."""
    predictor = context.predictor()
    begun = time.monotonic()
    generations = side_by_side(predictor, [PROMPTS[0][1]])
    written = next(generations)
    while not written.finished and time.monotonic() - begun < _FIRST_SECONDS:
        written = next(generations)
    return generate_view.view(written, "clean")


def _knob(name: str) -> Any:
    label, step = _KNOBS[name]
    if name == "seed":
        return control(Sampler, name, label, minimum=None, elem_id="kv-gen-seed")
    return control(Sampler, name, label, step=step, elem_id=f"kv-gen-{name}")


def _examples() -> Markup:
    """Return two groups of examples, on one line if there is room; the others open below."""
    prompts = [_example(name, "prompt", clean, typo) for name, clean, typo in PROMPTS]
    slots = [_example(string, "slot", slotted, string) for slotted, string in SLOTS]
    rest = more(
        "More examples",
        _line("texts", prompts[_SHOWN_PROMPTS:]),
        _line("words", slots[_SHOWN_SLOTS:]),
        class_="kv-more kv-gen-rest",
    )
    return element(
        "div",
        _line("or try", prompts[:_SHOWN_PROMPTS]),
        _line("or a word no tokenizer has", slots[:_SHOWN_SLOTS]),
        rest,
        class_="kv-gen-tries",
    )


def _line(name: str, examples: list[Markup]) -> Markup:
    return element("div", element("span", name, class_="kv-quiet"), *examples, class_="kv-examples")


def _example(name: str, kind: str, first: str, second: str) -> Markup:
    return element(
        "button",
        element("bdi", name),
        type="button",
        class_="kv-gen-try",
        data_kind=kind,
        data_first=first,
        data_second=second,
    )
