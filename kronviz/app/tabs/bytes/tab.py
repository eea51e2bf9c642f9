"""The tab “Byte view”: type any string and see what the model is given for it.

Notable:

- What follows typing (method, sheet, second string, walk) is one call, so that its parts never
  contradict each other. The search through a vocabulary comes after it and delays nothing.
- Each question has a number, and the page never draws an answer older than the one it shows,
  because typing and the slider have separate listeners whose answers may arrive in any order.
- The tab opens with an answer and sends nothing until somebody types. The page itself follows
  links: it opens the tab and fills in the fields as a person would.
- `api` has the same answers for programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from kronviz.app.components import (
    Depending,
    Line,
    Markup,
    Rule,
    alert,
    amount,
    answers,
    clean_text,
    control,
    element,
    head,
    hidden_text,
    html_part,
    join,
    naming_models,
    refused,
    remember,
    textbox,
    uncapped,
    visible,
)
from kronviz.app.context import Context
from kronviz.app.tabs.bytes import grid as bytes_grid
from kronviz.app.tabs.bytes import lists as bytes_lists
from kronviz.app.tabs.bytes import pair as bytes_pair
from kronviz.app.tabs.bytes import walk as bytes_walk
from kronviz.app.tabs.bytes.api import add_endpoints
from kronviz.app.tabs.bytes.method import picture
from kronviz.maps.neighbors import neighbors
from kronviz.predictor import InputError
from kronviz.probes.byteview import encode
from kronviz.probes.collisions import RULES, Collisions, CollisionSettings, collisions
from kronviz.probes.editwalk import EDIT_KINDS, edit_walk, last_place
from kronviz.probes.method import method
from kronviz.probes.stringpair import compare_strings
from kronviz.strings import DEFAULT_POS_DIM, MAX_BYTES, kron_embedding
from kronviz.tokenizer import VOCABULARIES

TEXT, SECOND, KIND, PLACE, OWN = " house", " horse", "insert", 1, "own"
POSITIONS = (8, 16, 32)
EXAMPLES = (
    " house",
    "run",
    " run",
    "naïve",
    "नमस्ते",
    "👩‍🚀",
    "\x07",
    "The quick brown fox jumps over the lazy dog and runs again.",
)
PAIRS = (
    (" house", " horse"),
    ("compute", "commute"),
    ("nation", "ration"),
    ("run", "runs"),
    ("code", "codes"),
    ("run", " run"),
    ("hundred", "hunderd"),
)
_ASK = "(...state) => window.kronvizBytes?.ask(state) ?? state"
_SHORT = 12


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    trained = kron_embedding(context.predictor())
    own = trained.pos_dim if trained else DEFAULT_POS_DIM
    sizes = sorted({*POSITIONS, own})
    first = _views(context, TEXT, SECOND, own, KIND, PLACE, None)

    drawn = _newest(first[0], "kv-byte-method")
    with gr.Row(elem_id="kv-byte-controls"):
        text = textbox("Any string", TEXT, "kv-byte-text", "Type a word")
        pos_dim = gr.Radio(
            [
                (f"{size}, as trained" if trained and size == own else str(size), size)
                for size in sizes
            ],
            value=own,
            label="Positions",
            elem_id="kv-byte-positions",
        )
        gr.Checkbox(False, label="All 256 rows", elem_id="kv-byte-rows", container=False)
    html_part(_tries([(text, None) for text in EXAMPLES]), "kv-byte-tries")
    pair = context.pair_field()
    sheet = _newest(first[1], "kv-byte-sheet")

    head(
        "What two strings share",
        "Two strings are similar only through the cells that they share. Nothing else counts.",
    )
    second = textbox("Second string", SECOND, "kv-byte-with", "Type another word")
    html_part(_tries(PAIRS), "kv-byte-pairs")
    both = _newest(first[2], "kv-byte-both")

    head(
        "One edit, at every place",
        "The code’s strength and its weakness: a substituted letter is a small step anywhere, but "
        "an inserted or deleted one moves every later byte to another position.",
    )
    with gr.Row(elem_id="kv-byte-walk-controls"):
        kind = gr.Radio(
            [(edit.label, name) for name, edit in EDIT_KINDS.items()],
            value=KIND,
            label="Kind of edit",
            elem_id="kv-byte-kind",
        )
        place = gr.Slider(
            1, len(TEXT) + 1, PLACE, step=1, label="Place of the edit", elem_id="kv-byte-place"
        )
    walk = _newest(first[3], "kv-byte-walk")

    head(
        "Nearest tokens",
        "The tokens of a vocabulary that are most similar to the string: by the code alone, by "
        "kron’s embeddings, and by the table that bpe learned.",
    )
    vocabulary = gr.Radio(
        [("the models’ own", OWN)] + [(bytes_lists.vocabulary_name(n), n) for n in VOCABULARIES],
        value=OWN,
        label="Vocabulary for the code’s search; the trained models search their own",
        elem_id="kv-byte-vocabulary",
    )
    near = _newest(_near(context, TEXT, own, OWN, None), "kv-byte-near")

    with gr.Accordion("Tokens that share a code", open=False, elem_id="kv-byte-collisions") as more:
        with gr.Row(elem_id="kv-byte-collision-controls"):
            listed = gr.Radio(
                [(bytes_lists.vocabulary_name(n), n) for n in VOCABULARIES],
                value=CollisionSettings.vocabulary,
                label="List the tokens of",
            )
            rule = control(
                CollisionSettings,
                "rule",
                "with bytes by",
                choices=[(rule.label, name) for name, rule in RULES.items()],
                value="reference",
            )
        shared = html_part(
            element("p", "Counting takes a few seconds the first time.", class_="kv-quiet"),
            "kv-byte-shared",
        )

    # A component instead of a state: the browser keeps it, so that any process can answer.
    unfolded = gr.Checkbox(False, label="Tokens that share a code", elem_classes="kv-gone")
    asked = gr.Number(0, visible=False)
    line, counting = Line("bytes"), Line("collisions", 1)

    def typed(*state: Any) -> tuple[Any, ...]:
        *asked, number = state
        *shown, slider = _views(context, *asked)
        return *(_numbered(view, number) for view in shown), slider

    def walked(text: str, second: str, *state: Any) -> Markup:
        *asked, number = state
        return _numbered(_walk(context, text, *asked)[0], number)

    def searched(*state: Any) -> Markup:
        *asked, number = state
        return _numbered(_near(context, *asked), number)

    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "trigger_mode": "always_last",
        "queue": False,
    }
    state, carry, read = uncapped(place, [text, second, pos_dim, kind, place, pair, asked])
    views_of, walk_of, near_of = line(read(typed)), line(read(walked)), line(searched)
    shared_of = counting(_shared)
    numbered: dict[str, Any] = {**quiet, "js": _ASK}
    placed = {**numbered, "js": f"(...state) => ({_ASK})(...({carry})(...state))"}
    views = [drawn, sheet, both, walk, place]
    where = [text, pos_dim, vocabulary, pair, asked]
    # One listener per event: two that always run last would restart each other forever.
    answered = gr.on([text.change, second.change, pos_dim.input], views_of, state, views, **placed)
    answered.then(near_of, where, near, **numbered)
    gr.on([kind.input, place.input], walk_of, state, walk, **placed)
    vocabulary.input(near_of, where, near, **numbered)
    switched = pair.change(views_of, state, views, **{**placed, "trigger_mode": "multiple"})
    of = hidden_text()
    of.render()
    named_near = line(naming_models(searched, where.index(pair)))
    switched = switched.then(named_near, where, [near, of], **numbered)
    answers([drawn, both, near], pair, of, switched)
    counted = [listed, rule, pos_dim]
    quiet["show_progress"] = "minimal"
    gr.on([more.expand, listed.input, rule.input], shared_of, counted, shared, **quiet)
    more.expand(lambda: True, None, unfolded, api_visibility="private", queue=False)
    more.collapse(lambda: False, None, unfolded, api_visibility="private", queue=False)
    pos_dim.change(
        counting(lambda unfolded, *state: _shared(*state) if unfolded else gr.skip()),
        [unfolded, *counted],
        shared,
        **quiet,
    )
    named: dict[str, Any] = {
        "text": text, "with": second, "positions": pos_dim, "edit": kind, "at": place,
        "vocabulary": vocabulary,
    }  # fmt: skip
    at = Depending(lambda values: _place_rule(_last_place(values, own, sizes)))
    followed = remember(context.links, "bytes", named, {}, depending={"at": at}, short=True)
    # The controls' own listeners hear only what a visitor changes.
    drawn_anew = followed.then(views_of, state, views, **{**placed, "trigger_mode": "multiple"})
    drawn_anew.then(near_of, where, near, **numbered)
    add_endpoints(context)


def _place_rule(last: int) -> Rule:
    """Return the rule of the edit's place, which raises the slider's maximum as well."""
    read = amount(1, last)

    def place(text: str) -> tuple[Any, str]:
        value, problem = read(text)
        return (value if problem else gr.update(value=value, maximum=max(last, 2))), problem

    return place


def _last_place(values: Mapping[str, str], own: int, sizes: Sequence[int]) -> int:
    """Return the last place at which the text of a link can be edited.

    Args:
        values: the entries of the link.
        own: the initial number of positions, ``sizes`` the ones to choose from.
    """
    size = next((size for size in sizes if str(size) == values.get("positions")), own)
    try:
        return last_place(clean_text(values.get("text", TEXT)), size)
    except InputError:
        return MAX_BYTES + 1  # The view says what is wrong with the text.


def _method(context: Context, text: str, models: str | None) -> Markup:
    """Return the picture of the method for a string, from bytes to vector."""
    try:
        shown = picture(method(clean_text(text or ""), context.predictor(models)))
    except InputError as error:
        shown = alert(str(error), "kv-refused")
    return element("div", shown, data_title="method")


def _views(
    context: Context,
    text: str,
    second: str,
    size: int,
    kind: str,
    place: float,
    models: str | None,
) -> tuple[Any, ...]:
    """Return the method, the sheet, the second string, the walk, and the walk's slider."""
    text, second = clean_text(text or ""), clean_text(second or "")
    try:
        predictor = context.predictor(models)
        sheet = bytes_grid.view(encode(text, predictor, pos_dim=size))
    except InputError as error:
        sheet = refused(str(error), "kv-result kv-bytes")
    try:
        predictor = context.predictor(models)
        both = bytes_pair.view(compare_strings(text, second, predictor, pos_dim=size))
    except InputError as error:
        both = refused(str(error), "kv-section-result")
    walk = _walk(context, text, size, kind, place, models)
    return (_method(context, text, models), sheet, both, *walk)


def _walk(
    context: Context, text: str, size: int, kind: str, place: float, models: str | None
) -> tuple[Markup, Any]:
    try:
        predictor = context.predictor(models)
        walk = edit_walk(clean_text(text or ""), predictor, pos_dim=size)
        place = int(place or 1)
        point = bytes_walk.nearest(walk, kind, place)
        pair = compare_strings(walk.text, point.text, predictor, pos_dim=size) if point else None
    except InputError as error:
        return refused(str(error), "kv-section-result"), gr.skip()
    last = max((point.position for point in walk.points), default=1)
    # The value only where it has to change: an answer may arrive after the slider was moved on.
    slider = gr.update(maximum=max(last, 2))
    if place > max(last, 2):
        slider["value"] = max(last, 2)
    return bytes_walk.view(walk, kind, point, pair), slider


def _newest(value: Markup, identifier: str) -> gr.HTML:
    """Return a part of the page that an older answer cannot replace."""
    return gr.HTML(
        value,
        html_template=f"${{window.kronvizBytes?.newest('{identifier}', value) ?? value}}",
        js_on_load=None,
        apply_default_css=False,
        elem_id=identifier,
    )


def _numbered(view: Markup, number: float) -> Markup:
    """Return an answer with the number of its question."""
    return join([Markup(f"<!--{int(number)}-->"), view])


def _near(context: Context, text: str, size: int, words: str, models: str | None) -> Markup:
    try:
        spaces = neighbors(
            clean_text(text or ""),
            context.predictor(models),
            pos_dim=size,
            vocabulary=None if words == OWN else words,
        )
    except InputError as error:
        return refused(str(error), "kv-section-result")
    return bytes_lists.nearest(spaces)


def _shared(listed: str, rule: str, size: int) -> Markup:
    def counted(name: str, rule: str) -> Collisions:
        return collisions(name, pos_dim=size, rule=rule, limit=0)

    counts = [(counted(name, "true"), counted(name, "reference")) for name in VOCABULARIES]
    return bytes_lists.shared_codes(counts, collisions(listed, pos_dim=size, rule=rule))


def _tries(examples: Any) -> Markup:
    buttons = []
    for text, second in examples:
        shown: list[object] = [_shown(text)]
        if second is not None:
            shown += [" / ", _shown(second)]
        buttons.append(
            element(
                "button", *shown, type="button", class_="kv-try", data_text=text, data_with=second
            )
        )
    return element("div", element("span", "try", class_="kv-quiet"), *buttons, class_="kv-examples")


def _shown(text: str) -> Markup:
    """Return a string for a button: as it looks, with signs only for invisible characters."""
    short = text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
    plain = (short.strip() == short and short.isprintable()) or len(short.encode()) > len(short) + 3
    return element("bdi", short if plain else visible(short.encode()))
