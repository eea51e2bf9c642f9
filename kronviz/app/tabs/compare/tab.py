"""The first tab: type misspelled text and watch both models answer.

Notable:

- One listener answers every change, typed or made by a button. Of the keystrokes that arrive during
  an answer only the last one waits. Each answer carries the number of its question, and the page
  never draws an answer older than the one it shows.
- A keystroke is one request that any process can answer. It bypasses Gradio's queue and waits with
  those of other visitors in `serving`, which reads waiting requests together.
- If too many wait, the page asks again by itself.
- `compare` is the same comparison for programs, under ``/compare``.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from kronviz.app.components import (
    PAIR,
    QUIET,
    Answer,
    Fields,
    Markup,
    add_endpoint,
    alert,
    all_pairs,
    answers,
    arm_name,
    clean_text,
    element,
    html_part,
    info,
    join,
    marked,
    optional,
    readable_run,
    reproduced,
    textbox,
    visible,
)
from kronviz.app.context import Context
from kronviz.app.explain import explained
from kronviz.app.tabs.compare.picture import picture
from kronviz.app.tabs.compare.still import FIELDS, INTRO, MANNER, MISSPELL, still
from kronviz.app.tabs.compare.view import refusal, result
from kronviz.predictor import Comparison, InputError, check_characters
from kronviz.probes.examples import Example
from kronviz.probes.input_words import input_words
from kronviz.probes.inside import InsideSettings
from kronviz.probes.pairs import load_pairs
from kronviz.probes.robustness import MisspellingSettings
from kronviz.results import to_dict
from kronviz.serving import BATCH, Busy, Overtaken
from kronviz.settings import endpoint, narrowed, setting
from kronviz.typos import KINDS, Misspelling, misspell

EVERY = 46
COMPARE = """Compare how two GPTs continue a clean and a misspelled text.

The models differ only in their input embedding: "bpe" looks tokens up in a learned table, "kron"
computes them from their bytes. The answer holds the tokens of both texts and, for each model, ten
next tokens with their probability after either text, whether the first choice was kept, KL(clean ||
typo) in nats, the cosine of the final hidden states, the drop in log-probability of the clean
text's first choice, and the probability of the right answer where one is given."""
STORE_COMMAND = "python -m kronviz.probes.stored_runs checkpoints/"
_ASK = "(...values) => window.kronviz.ask(...values)"
_TYPE = "(made) => { window.kronviz.misspelled(made); }"
_RESTORE = "() => window.kronviz.restore()"
_NEWEST = (
    "${window.kronviz ? window.kronviz.newest(value)"
    " : /[?&](clean|typo|answer)=/.test(location.search)"
    " ? value.replace('kv-result', 'kv-result kv-waiting') : value}"
)


@dataclass(frozen=True)
class CompareSettings:
    """The texts to compare."""

    clean: str = setting(..., "The text as it should be spelled")
    typo: str = narrowed(InsideSettings, "typo")
    answer: str = setting("", "The word that should follow both texts; empty if that is not known")


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    examples, rule = first_examples(context)
    opening, manner = examples[0], Fields(MisspellingSettings)
    html_part(element("p", INTRO, class_="kv-intro"))
    fields = []
    with gr.Row(elem_id="kv-texts", equal_height=False):
        given = (("clean", opening.clean), ("typo", opening.typo), ("right", opening.answer))
        for (name, text), (label, hint, scale) in zip(given, FIELDS, strict=True):
            with gr.Column(min_width=120 if scale == 2 else 280, scale=scale):
                fields.append(textbox(label, text, f"kv-{name}", hint, most=6))
    clean, typo, right = fields
    context.shared.update(clean=clean, typo=typo, right=right)
    with gr.Row(elem_id="kv-tools"):
        button = gr.Button(MISSPELL, variant="primary", elem_id="kv-misspell")
        tries = html_part(_examples(examples, rule), "kv-tries")
    with gr.Row(elem_id="kv-manner"):
        with gr.Accordion(MANNER, open=False, elem_id="kv-how"):
            manner.kinds()
            with gr.Row(elem_classes="kv-lab-controls"):
                manner("edits", "Misspellings", minimum=1)
                seed = manner.seed()
        edits = html_part(element("div", class_="kv-edits", role="status"), "kv-edited")
    html_part(picture(), "kv-now")
    pair = context.pair_field()
    asked = gr.Number(0, visible=False)
    made_text = gr.Textbox(visible=False)
    again = gr.Button("Ask again", elem_id="kv-again", elem_classes="kv-gone")
    answer = gr.HTML(
        _first_answer(context, opening),
        html_template=_NEWEST,
        js_on_load=None,
        apply_default_css=False,
        elem_id="kv-answer",
    )
    answers([answer])
    said = html_part(_about_examples(context, rule), "kv-rule")

    def redraw(pair: str) -> tuple[Markup, Markup]:
        examples, rule = first_examples(context, pair)
        return _examples(examples, rule), _about_examples(context, rule, pair)

    context.redrawn.add(redraw, [tries, said])

    async def respond(
        clean: str, typo: str, right: str, pair: str | None, asked: float, request: gr.Request
    ) -> Any:
        texts = clean_text(clean or ""), clean_text(typo or "")
        answer = clean_text(right or "")
        outcome: Comparison | InputError
        try:
            waiting = context.comparisons(pair).submit(
                *texts, asker=request.session_hash, answer=answer
            )
            comparison = await asyncio.wrap_future(waiting)
            outcome = comparison
        except Overtaken:
            return gr.skip()
        except InputError as error:
            outcome = error
        return _drawn(context, outcome, int(asked), pair)

    def misspelled(clean: str, *values: Any) -> tuple[Any, str, Any]:
        clean = clean_text(clean or "")
        try:
            asked = manner.read(values)
            check_characters(clean)
            made = misspell(clean, kinds=asked.kinds, edits=asked.edits, seed=asked.seed)
        except ValueError as error:
            return "", alert(str(error), "kv-edits kv-problem"), gr.skip()
        return made.text, _report(made), asked.seed + 1

    gr.on(
        [clean.change, typo.change, right.change, pair.change, again.click],
        respond,
        [clean, typo, right, pair, asked],
        answer,
        js=_ASK,
        trigger_mode="always_last",
        queue=False,
        **QUIET,
    )
    button.click(
        misspelled,
        [clean, *manner.controls],
        [made_text, edits, seed],
        trigger_mode="once",
        queue=False,
        **QUIET,
    ).then(None, made_text, None, js=_TYPE, api_visibility="private")
    gr.on(None, None, None, [clean, typo, right, pair], js=_RESTORE, api_visibility="private")
    add_endpoint(compare_endpoint(context), "compare", limit=BATCH)


def first_view(context: Context) -> Markup:
    """Return the tab as it is shown until the app has loaded."""
    examples, rule = first_examples(context)
    return still(examples[0], _examples(examples, rule), _first_answer(context, examples[0]))


def compare_endpoint(context: Context) -> Callable[..., Awaitable[Answer]]:
    """Return the endpoint for comparisons of plain strings, for the API and for agents."""

    async def compare(settings: Callable[[], CompareSettings], pair: str = "") -> Answer:
        try:
            asked, comparisons = settings(), context.comparisons(optional(pair, "pair"))
            waiting = comparisons.submit(asked.clean, asked.typo, answer=asked.answer)
            comparison = await asyncio.wrap_future(waiting)
            return to_dict(comparison)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    order = "clean typo pair answer".split()
    return endpoint(CompareSettings, compare, "compare", COMPARE, PAIR, order)


def first_examples(context: Context, pair: str | None = None) -> tuple[tuple[Example, ...], str]:
    """Return a pair's examples, the opening one first, and the rule by which they were chosen."""
    stored = readable_run(context.folder(pair))
    if stored is not None and stored.examples is not None:
        rule = f"{stored.examples.rule} The model whose loss rises less is ahead."
        return stored.examples.chosen, rule
    pairs = load_pairs().pairs[::EVERY]
    return (
        tuple(Example(pair.clean, pair.typo, pair.expected or "", 0.0) for pair in pairs),
        f"Every {EVERY}th pair of our test set; nothing is stored for these weights.",
    )


def _first_answer(context: Context, opening: Example) -> Markup:
    """Return the answer for the opening example."""
    return _answer(context, opening.clean, opening.typo, None, 0, opening.answer)


def _answer(
    context: Context, clean: str, typo: str, pair: str | None, asked: int, right: str = ""
) -> Markup:
    """Return the answer for two texts."""
    try:
        outcome: Comparison | InputError = context.comparisons(pair).compare(
            clean_text(clean or ""), clean_text(typo or ""), clean_text(right or "")
        )
    except InputError as error:
        outcome = error
    return _drawn(context, outcome, asked, pair)


def _drawn(
    context: Context, outcome: Comparison | InputError, asked: int, pair: str | None = None
) -> Markup:
    overall = _overall(context.folder(pair), _choices(context))
    if isinstance(outcome, Comparison):
        inputs = input_words(outcome, context.predictor(outcome.pair))
        return result(outcome, asked, inputs=inputs, overall=overall)
    arms = context.predictor().arms
    if isinstance(outcome, Busy):
        sentence = (
            f"Many visitors are asking right now: number {outcome.place:,} in the queue. "
            "This page asks again by itself."
        )
        return refusal(sentence, arms, asked, again_s=outcome.seconds, overall=overall)
    return refusal(str(outcome), arms, asked, overall=overall)


def _choices(context: Context) -> tuple[tuple[str, tuple[Path, str]], ...]:
    """Return name, folder and size of all models that can be chosen."""
    return tuple((name, (context.folder(name), size)) for name, size in context.sizes.items())


@functools.lru_cache(maxsize=8)
def _overall(folder: Path, known: tuple[tuple[str, tuple[Path, str]], ...]) -> Markup:
    return all_pairs(folder, dict(known))


def _examples(examples: Sequence[Example], rule: str) -> Markup:
    """Return a button for each example, with the arm that is ahead on it."""
    chips = [
        element(
            "button",
            element("span", _misspelled_word(example)),
            _ahead(example.difference_nats),
            type="button",
            class_="kv-example",
            data_clean=example.clean,
            data_typo=example.typo,
            data_answer=example.answer,
        )
        for example in examples
    ]
    return element(
        "div",
        element(
            "span",
            "examples, and who is ahead"
            if any(example.difference_nats for example in examples)
            else "examples",
            class_="kv-quiet",
        ),
        info("kv-tip-rule", "the rule for these examples", rule),
        *chips,
        element("button", "Undo", type="button", class_="kv-textbutton kv-undo", hidden=True),
        class_="kv-examples",
    )


def _ahead(difference_nats: float) -> Markup:
    """Say which model loses less to the misspelling; nothing if that was not measured."""
    if not difference_nats:
        return Markup("")
    ahead = "kron" if difference_nats < 0 else "bpe"
    return element(
        "span", arm_name(ahead), element("span", " ahead", class_="kv-hidden"), class_="kv-ahead"
    )


def _misspelled_word(example: Example) -> str:
    clean = set(example.clean.split())
    words = [word for word in example.typo.split() if word not in clean]
    return " ".join(words) or example.typo


def _about_examples(context: Context, rule: str, pair: str | None = None) -> Markup:
    chosen = element(
        "details",
        element("summary", "How these examples were chosen", class_="kv-more-link"),
        element("p", marked(rule)),
        reproduced(STORE_COMMAND + context.folder(pair).name),
        class_="kv-rule",
    )
    return join([chosen, explained("compare") or ""])


def _report(made: Misspelling) -> Markup:
    if not made.edits:
        said: object = "Nothing in this text could be misspelled that way."
    else:
        items = [
            element("li", f"{KINDS[edit.kind].label} ", _changed(edit.before, edit.after))
            for edit in made.edits
        ]
        said = join([element("ul", *items), f" · seed {made.seed}"])
    # The note disappears when the texts change.
    return element("div", said, class_="kv-edits", role="status", data_of=made.text)


def _changed(before: str, after: str) -> Markup:
    sides = [
        element("bdi", visible(side.encode()) if side else "∅", class_="kv-piece")
        for side in (before, after)
    ]
    return join([sides[0], " → ", sides[1]])
