"""The first tab: type misspelled text and watch both models answer.

Notable:

- One listener answers every change, typed or made by a button. A keystroke that arrives while an
  answer is under way waits as the last one; each answer carries the number of its question, and
  the page never draws an answer that is older than the one it shows.
- A keystroke is one request that any process can answer: it passes Gradio's queue by, and waits
  with those of other visitors in `serving`, where what waits together is read together.
- A page that is told that too many wait asks again by itself.
- `compare` is the same comparison for programs, under ``/compare``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr

from kronviz.app.components import (
    Answer,
    Markup,
    alert,
    beyond,
    element,
    html_part,
    join,
    typed,
    visible,
    well_formed,
)
from kronviz.app.context import Context
from kronviz.app.tabs.compare.view import refusal, result
from kronviz.predictor import Comparison, InputError, check_characters
from kronviz.results import to_dict
from kronviz.serving import BATCH, Busy, Overtaken
from kronviz.typos import KINDS, Kind, Misspelling, misspell

CLEAN, TYPO = "The capital of France is", "The captial of Frnace is"
EXAMPLES = (
    ("captial of Frnace", CLEAN, TYPO),
    ("one hunderd degrees", "Water boils at one hundred", "Watter boils at one hunderd"),
    ("sevn days", "There are seven days in a", "There are sevn days in a"),
    ("Teh sun", "The sun rises in the", "Teh sun rises in the"),
    ("libary", "She went to the library to read a", "She went to the libary to read a"),
    ("SHOUTED", "The opposite of hot is", "The OPPOSITE of hot is"),
    ("run together", "Plants need water and sunlight to", "Plants need waterand sunlight to"),
)
DEFAULT_KINDS = ("swap", "drop", "double", "insert", "neighbour")
MAX_EDITS = 8
_ASK = "(clean, typo, pair, asked) => window.kronviz.ask(clean, typo, pair)"
_RESTORE = "() => window.kronviz.restore()"
_NEWEST = (
    "${window.kronviz ? window.kronviz.newest(value)"
    " : /[?&](clean|typo)=/.test(location.search)"
    " ? value.replace('kv-result', 'kv-result kv-waiting') : value}"
)


def build(context: Context) -> None:
    """Lay the tab out and connect it. Call inside a `gr.Tab`."""
    with gr.Row(elem_id="kv-texts", equal_height=False):
        with gr.Column(min_width=280):
            clean = _textbox("Clean text", CLEAN, "kv-clean", "Spelled as it should be")
        with gr.Column(min_width=280):
            typo = _textbox("The same, misspelled", TYPO, "kv-typo", "Type it with mistakes")
    with gr.Row(elem_id="kv-tools"):
        button = gr.Button("Misspell it for me", variant="primary", elem_id="kv-misspell")
        html_part(_examples(), "kv-tries")
    with gr.Row(elem_id="kv-manner"):
        with gr.Accordion("Kinds, strength and seed", open=False, elem_id="kv-how"):
            kinds = gr.CheckboxGroup(
                [(_kind_label(kind), name) for name, kind in KINDS.items()],
                value=list(DEFAULT_KINDS),
                label="Kinds of misspelling",
            )
            with gr.Row(elem_classes="kv-lab-controls"):
                strength = gr.Slider(1, MAX_EDITS, 1, step=1, label="Misspellings")
                seed = gr.Number(1, label="Seed", precision=0, elem_classes="kv-lab-seed")
        edits = html_part(_report(), "kv-edited")
    pair = context.selector or gr.Radio(
        [context.default or ""], value=context.default, visible=False
    )
    asked = gr.Number(0, visible=False)
    again = gr.Button("Ask again", elem_id="kv-again", elem_classes="kv-gone")
    answer = gr.HTML(
        _answer(context, CLEAN, TYPO, None, 0),
        html_template=_NEWEST,
        js_on_load=None,
        apply_default_css=False,
        elem_id="kv-answer",
    )
    more = html_part(beyond(context.folder()), "kv-beyond")

    async def respond(
        clean: str, typo: str, pair: str | None, asked: float, request: gr.Request
    ) -> Any:
        texts = well_formed(clean or ""), well_formed(typo or "")
        found: Comparison | InputError
        try:
            waiting = context.comparisons(pair).submit(*texts, asker=request.session_hash)
            comparison = await asyncio.wrap_future(waiting)
            found = comparison
        except Overtaken:
            return gr.skip()
        except InputError as error:
            found = error
        return _drawn(context, found, int(asked))

    def spoil(
        clean: str, kinds: list[str], edits: int, seed: float | None
    ) -> tuple[Any, str, float]:
        number = int(seed or 0)
        clean = well_formed(clean or "")
        try:
            check_characters(clean)
            made = misspell(clean, kinds=tuple(kinds), edits=int(edits), seed=number)
        except ValueError as error:
            problem = alert(str(error), "kv-edits kv-problem")
            return gr.skip(), problem, number
        return made.text, _report(made), number + 1

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on(
        [clean.change, typo.change, pair.change, again.click],
        respond,
        [clean, typo, pair, asked],
        answer,
        js=_ASK,
        trigger_mode="always_last",
        queue=False,
        **quiet,
    )
    button.click(
        spoil,
        [clean, kinds, strength, seed],
        [typo, edits, seed],
        trigger_mode="once",
        queue=False,
        **quiet,
    )
    pair.change(
        lambda pair: beyond(context.folder(context.predictor(pair).pair)),
        pair,
        more,
        queue=False,
        **quiet,
    )
    blocks = gr.context.Context.root_block
    if isinstance(blocks, gr.Blocks):
        blocks.load(None, None, [clean, typo, pair], js=_RESTORE, api_visibility="private")
    gr.api(
        compare_endpoint(context),
        api_name="compare",
        concurrency_limit=BATCH,
        concurrency_id="compare",
    )


def compare_endpoint(context: Context) -> Callable[..., Awaitable[Answer]]:
    """The comparison as a function of plain strings for the API and for agents."""

    async def compare(clean: str, typo: str, pair: str = "") -> Answer:
        """Compare how two GPTs continue a clean and a misspelled text.

        The models differ only in their input embedding: "bpe" looks tokens up in a learned table,
        "kron" computes them from their bytes. The answer holds the tokens of both texts and, for
        each model, ten next tokens with their probability after either text, whether the first
        choice was kept, KL(clean || typo) in nats, the cosine of the final hidden states and the
        drop in log-probability of the clean text's first choice.

        Args:
            clean: The text as it should be spelled.
            typo: The same text, misspelled.
            pair: Which pair of models answers; empty for the default pair.
        """
        try:
            comparisons = context.comparisons(typed(pair or "", "pair"))
            waiting = comparisons.submit(typed(clean, "clean"), typed(typo, "typo"))
            comparison = await asyncio.wrap_future(waiting)
            return to_dict(comparison)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return compare


def _answer(context: Context, clean: str, typo: str, pair: str | None, asked: int) -> Markup:
    """What the page shows for two texts."""
    try:
        found: Comparison | InputError = context.comparisons(pair).compare(
            well_formed(clean or ""), well_formed(typo or "")
        )
    except InputError as error:
        found = error
    return _drawn(context, found, asked)


def _drawn(context: Context, found: Comparison | InputError, asked: int) -> Markup:
    if isinstance(found, Comparison):
        return result(found, asked)
    arms = context.predictor().arms
    if isinstance(found, Busy):
        sentence = (
            f"Many ask at this moment: number {found.place:,} in the queue. "
            "This page asks again by itself."
        )
        return refusal(sentence, arms, asked, again_s=found.seconds)
    return refusal(str(found), arms, asked)


def _textbox(label: str, value: str, identifier: str, placeholder: str) -> gr.Textbox:
    return gr.Textbox(
        value,
        label=label,
        placeholder=placeholder,
        lines=2,
        max_lines=6,
        elem_id=identifier,
        html_attributes=gr.InputHTMLAttributes(
            spellcheck=False, autocorrect="off", autocapitalize="off", autocomplete="off"
        ),
    )


def _examples() -> Markup:
    chips = [
        element(
            "button", name, type="button", class_="kv-example", data_clean=clean, data_typo=typo
        )
        for name, clean, typo in EXAMPLES
    ]
    return element(
        "div", element("span", "or try", class_="kv-quiet"), *chips, class_="kv-examples"
    )


def _kind_label(kind: Kind) -> str:
    """What a kind is called and what it does to a word."""
    return f"{kind.label}: {kind.example.rpartition(' → ')[2]}"


def _report(made: Misspelling | None = None) -> Markup:
    if made is None:
        said: object = "The button copies the clean text with mistakes in it."
    elif not made.edits:
        said = "Nothing in this text could be misspelled that way."
    else:
        items = [
            element("li", f"{KINDS[edit.kind].label} ", _changed(edit.before, edit.after))
            for edit in made.edits
        ]
        said = join([element("ul", *items), f" · seed {made.seed}"])
    return element("div", said, class_="kv-edits", role="status")


def _changed(before: str, after: str) -> Markup:
    sides = [
        element("bdi", visible(side.encode()) if side else "∅", class_="kv-piece")
        for side in (before, after)
    ]
    return join([sides[0], " → ", sides[1]])
