"""The tab “Map”: two linked pictures of the whole vocabulary, and any word in both of them.

Notable:

- The browser draws the pictures (``map.js``) from files that it fetches when the tab is first
  opened; nothing is computed or sent before.
- A search is one call whose answer includes the marks on the maps, so that tables and marks never
  contradict each other.
- A table that the visitor uploaded in “Your model” is offered beside the pair's own spaces.
- `api` has the same answers for programs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from kronviz.app.components import (
    FINISHING,
    Depending,
    Line,
    Markup,
    Rule,
    alert,
    amount,
    answers,
    any_text,
    choice,
    clean_text,
    control,
    declare,
    element,
    failure,
    hidden_text,
    html_part,
    lane,
    matching,
    naming_models,
    textbox,
    watched,
)
from kronviz.app.context import Context
from kronviz.app.tabs.map import view
from kronviz.app.tabs.map import words as map_words
from kronviz.app.tabs.map.api import add_endpoints
from kronviz.app.tabs.map.names import is_own_model
from kronviz.checkpoint_files import PAIR
from kronviz.lines import split_lines
from kronviz.maps import lookup
from kronviz.maps.fresh import FreshLayout, lay_out_words
from kronviz.maps.spaces import OwnModel, space_of, spaces
from kronviz.maps.store import map_of
from kronviz.maps.words import RULES, VariantSettings, variants
from kronviz.predictor import InputError, Predictor
from kronviz.progress import Progress, Step
from kronviz.strings import shown as written

WORD = " nation"
SIDES = ("left", "right")
_OPEN = "() => { window.kronvizMap?.open(); }"


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    first = context.predictor()
    with gr.Row(elem_id="kv-map-controls"):
        word = textbox("Search a word", WORD, "kv-map-word", "Type a word, or # and a token’s id")
        html_part(view.families(), "kv-map-families")
    html_part(view.tools(), "kv-map-tools")
    choices, drawing = [], []
    with gr.Row(elem_id="kv-map-pair"):
        for side, start in zip(SIDES, _defaults(first), strict=True):
            with gr.Column(min_width=300):
                choices.append(
                    gr.Radio(
                        _choices(first, side),
                        value=start,
                        label=view.side_label(side),
                        elem_id=f"kv-map-space-{side}",
                        elem_classes="kv-map-space",
                    )
                )
                html_part(view.frame(side, first.pair), f"kv-map-{side}")
                drawing.append(html_part(element("div"), f"kv-map-drawing-{side}"))
    html_part(view.saving(), "kv-map-save")
    html_part(view.selection(), "kv-map-selection")
    near = html_part(view.waiting(), "kv-map-near")
    figures = html_part(element("div"), "kv-map-figures")

    html_part(map_words.opening(), None)
    with gr.Row(elem_id="kv-map-own"):
        words = textbox("Words, one a line", "", "kv-map-words", "run\n running\nrnu", lines=7)
        with gr.Column(min_width=280, elem_id="kv-map-make"):
            base = textbox("Variants of", "", "kv-map-base", "compute")
            rules = control(
                VariantSettings,
                "rules",
                "Kinds of variants",
                choices=[(f"{rule.label} ({rule.example})", name) for name, rule in RULES.items()],
                elem_id="kv-map-rules",
            )
            with gr.Row(elem_classes="kv-map-buttons"):
                add = gr.Button("Add variants", elem_id="kv-map-add")
                anew = gr.Button("Recompute layout", elem_id="kv-map-anew")
                table = gr.Button("Distances as CSV", elem_id="kv-map-distances")
            said = html_part(element("div"), "kv-map-said")
    fresh = html_part(element("div"), "kv-map-fresh")
    placed = html_part(element("div"), "kv-map-placed")
    csv = gr.Textbox(visible=False)
    redraw = [gr.Button("Draw", elem_id=f"kv-map-draw-{side}") for side in SIDES]
    pair = context.pair_field()

    def asked(word: str, left: str, right: str, pair: str | None) -> Markup:
        try:
            return view.answer(
                lookup.look_up(clean_text(word or ""), context.predictor(pair), left, right)
            )
        except InputError as error:
            return alert(str(error), "kv-refused")

    def compared(left: str, right: str, pair: str | None) -> Markup:
        predictor = context.predictor(pair)
        try:
            figures = [lookup.family_figures(predictor, name) for name in (left, right)]
        except InputError as error:
            return alert(str(error), "kv-refused")
        return view.figures(figures, predictor.pair)

    def place(words: str, left: str, right: str, pair: str | None) -> Markup:
        if not (words or "").strip():
            return element("div")
        try:
            predictor, listed = context.predictor(pair), _listed(words)
            placement = lookup.place_words(listed, predictor, left, right)
            apart = lookup.distances(listed[: map_words.SHOWN], predictor, left, right)
        except InputError as error:
            return alert(str(error), "kv-refused")
        return map_words.placed(placement, apart)

    def followed(word: str, words: str, *where: Any) -> tuple[Markup, ...]:
        return asked(word, *where), place(words, *where), compared(*where)

    def arranged(words: str, left: str, right: str, pair: str | None) -> Iterator[Markup]:
        def task(tell: Progress) -> FreshLayout:
            return lay_out_words(_listed(words), context.predictor(pair), left, right, tell)

        for step in laid(task, "Laying your words out …"):
            yield map_words.laid_out(step) if isinstance(step, FreshLayout) else step

    def draw(space: str, pair: str | None) -> Iterator[Markup]:
        for step in laid(lambda tell: map_of(context.predictor(pair), space, tell), "Drawing …"):
            yield step if isinstance(step, Markup) else element("div", data_drawn=space)

    def laid(task: Callable[[Progress], Any], doing: str) -> Iterator[Any]:
        """Yield the progress of a layout, then its result, or the reason for a failure."""
        try:
            yield map_words.progress("Starting UMAP …", 0.0)
            for step in watched(task, lambda: False, "map"):
                said = FINISHING if lane("map").finishing else doing
                yield map_words.progress(said, step.share) if isinstance(step, Step) else step
        except GeneratorExit:
            raise
        except BaseException as error:
            yield alert(failure(error), "kv-refused")

    def switched(request: gr.Request, pair: str | None) -> list[Any]:
        predictor = context.predictor(pair)
        table = context.shelf.of(str(request.session_hash))
        return [
            gr.update(choices=_choices(predictor, side, table), value=start)
            for side, start in zip(SIDES, _defaults(predictor), strict=True)
        ]

    def offered(request: gr.Request, left: str, right: str, pair: str | None) -> list[Any]:
        """Return the choices of spaces, including the visitor's own table while it is kept."""
        table = context.shelf.of(str(request.session_hash))
        chosen, predictor = (left, right), context.predictor(pair)
        own = table.spaces if table else _defaults(predictor)
        if table is None and not any(map(is_own_model, chosen)):
            return [gr.skip(), gr.skip()]
        return [
            gr.update(
                choices=_choices(predictor, side, table),
                value=now if not is_own_model(now) else new,
            )
            for side, now, new in zip(SIDES, chosen, own, strict=True)
        ]

    context.warming.append(lambda: followed(WORD, "", *_defaults(first), None))
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": 2,
        "concurrency_id": "map",
    }
    direct: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "queue": False,
    }
    last = {**direct, "trigger_mode": "always_last"}
    where = [*choices, pair]
    line = Line("map")
    near_of, figures_of, placed_of = line(asked), line(compared), line(place)
    all_of = line(followed)
    if context.tab is not None:
        context.tab.select(None, js=_OPEN, api_visibility="private")
        context.tab.select(offered, where, choices, **direct)
        opened = context.tab.select(near_of, [word, *where], near, **direct)
        opened.then(figures_of, where, figures, **direct)
    # One listener per event: two that always run last would restart each other forever.
    word.change(near_of, [word, *where], near, **last)
    words.change(placed_of, [words, *where], placed, **last)
    changes, every = [space.change for space in choices], [word, words, *where]
    moved = {**direct, "trigger_mode": "multiple"}
    gr.on(changes, all_of, every, [near, placed, figures], **moved)
    if context.selector is not None:
        other = context.selector.change(switched, pair, choices, **direct)
        of = hidden_text()
        of.render()
        named_all = line(naming_models(followed))
        other = other.then(named_all, every, [near, placed, figures, of], **direct)
        answers([near, placed, figures], pair, of, other)
    gr.on([add.click, base.submit], _varied, [words, base, rules], [words, said], **direct)
    anew.click(arranged, [words, *where], fresh, **{**quiet, "concurrency_limit": 1})
    saved = table.click(line(_distances(context)), [words, *where], [csv, said], **direct)
    saved.then(None, csv, None, js="(text) => { if (text) window.kronvizMap?.save(text); }")
    for space, button, shown in zip(choices, redraw, drawing, strict=True):
        drawn = button.click(draw, [space, pair], shown, **{**quiet, "trigger_mode": "once"})
        # The word and its neighbors have no places on the map before it is drawn.
        drawn.then(all_of, every, [near, placed, figures], **direct)
    declare(context.links, "map", _entries(context))
    add_endpoints(context)


_NUMBER = r"-?\d{1,6}(?:\.\d{1,9})?"
_PLACE = rf"{_NUMBER},{_NUMBER}"


def _entries(context: Context) -> dict[str, Rule | Depending]:
    """Return what a link to the maps may contain."""

    def named(side: str) -> Depending:
        return Depending(
            lambda values: choice(name for _, name in _choices(context.linked(values), side))
        )

    return {
        **{f"map.{side}": named(side) for side in SIDES},
        "map.word": any_text,
        "map.words": any_text,
        "map.colour": choice(name for name, _ in view.COLOURS),
        "map.only": Depending(_group),
        "map.lasso": matching(rf"(left|right):{_PLACE}(;{_PLACE}){{2,59}}", "a shape on a map"),
        "map.at": _both_places,
    }


def _group(values: Mapping[str, str]) -> Rule:
    """Return the rule of the group that a link selects, one of those that its colours show."""
    groups = view.GROUPS.get(values.get("map.colour", view.COLOURS[0][0]), 0)
    if groups:
        return amount(0, groups - 1)
    return lambda _: (gr.skip(), f"needs map.colour to be {', '.join(view.GROUPS)}")


def _both_places(text: str) -> tuple[Any, str]:
    """Apply the rule of the parts of both maps that a link shows."""
    problem = gr.skip(), f"is {written(text)}, not a place on both maps"
    if not re.fullmatch(rf"{_PLACE},{_NUMBER};{_PLACE},{_NUMBER}", text, re.ASCII):
        return problem
    for place in text.split(";"):
        *middle, zoom = map(float, place.split(","))
        if not all(-0.5 <= at <= 1.5 for at in middle) or not 0.5 <= zoom <= 400:
            return problem
    return text, ""


def _distances(context: Context) -> Any:
    def as_csv(words: str, left: str, right: str, pair: str | None) -> tuple[str, Markup]:
        try:
            distances = lookup.distances(_listed(words), context.predictor(pair), left, right)
        except InputError as error:
            return "", alert(str(error), "kv-refused")
        return map_words.distances_csv(distances), element("div")

    return as_csv


def _varied(words: str, base: str, rules: Sequence[str]) -> tuple[Any, Markup]:
    listed = _listed(words or "")
    word = clean_text(base or "") or (listed[0] if listed else WORD)
    try:
        made = variants(word, rules or tuple(RULES))
    except InputError as error:
        return gr.skip(), alert(str(error), "kv-refused")
    return "\n".join(dict.fromkeys([*listed, *made])), element("div")


def _listed(words: str) -> list[str]:
    """Return the words, one per line; leading spaces belong to a word, trailing ones do not."""
    lines = (line.rstrip() for line in split_lines(clean_text(words or "")))
    return [line for line in lines if line]


def _choices(
    predictor: Predictor, side: str, table: OwnModel | None = None
) -> list[tuple[str, str]]:
    own = [space_of(predictor, table.spaces[SIDES.index(side)])] if table else []
    other = PAIR[side == "left"]
    return [
        (space.title if space.arm in PAIR else f"{space.arm}, {space.title}", space.name)
        for space in spaces(predictor)
        if len(predictor.arms) == 1 or space.arm != other
    ] + [(space.title, space.name) for space in own]


def _defaults(predictor: Predictor) -> tuple[str, str]:
    return tuple(_choices(predictor, side)[0][1] for side in SIDES)  # type: ignore[return-value]
