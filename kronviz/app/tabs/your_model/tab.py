"""The tab “Your model”: the cross-model probe on any table of token vectors, beside its byte code.

Notable:

- There are three sources: the table of the pair on this page, a visitor's files, and a public model
  on the Hugging Face Hub. Of the last only the table is fetched, and only on request.
- A link never makes the server fetch anything: such a run waits for its visitor to start it.
- The figures come first and stay; the map follows. “Cancel” works all the time.
- A visitor's table becomes a space of the tab “Map”, for that visitor only.
- `api` has the same results for programs, `python -m kronviz.probes table` on the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from kronviz.app.components import (
    QUIET,
    Fields,
    Markup,
    Runs,
    Stage,
    buttons,
    connect,
    element,
    head,
    html_part,
    join,
    plot,
    remember,
    uploaded_file,
    watched,
)
from kronviz.app.context import Context
from kronviz.app.tabs.your_model.api import add_endpoints
from kronviz.app.tabs.your_model.view import maps_caption, report_view, share_bar
from kronviz.checkpoint_files import CheckpointError
from kronviz.figures.cross_model import token_map
from kronviz.maps.spaces import OwnModel
from kronviz.predictor import InputError, Predictor
from kronviz.probes.cross_model import (
    CrossModelReport,
    ModelTableSettings,
    TableProbe,
    TableSettings,
    TokenList,
    VectorTable,
    read_files,
)
from kronviz.probes.cross_model.files import NEEDED
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.probe import MAP_TOKENS
from kronviz.probes.cross_model.vectors import MAX_UPLOAD_BYTES
from kronviz.probes.own_model import Shelf, as_own_model
from kronviz.probes.stored_table import stored_table
from kronviz.progress import Progress, Step

OURS, FILES, HUB = "ours", "files", "hub"
STOPPED = "Stopped. What was measured is kept below."
EMPTY = "Stopped before anything was measured."
_SPACES = (("table", "The table"), ("code", "The byte code"))

Source = Callable[[Progress], tuple[str, VectorTable, TokenList]]
"""Reads a table and reports its progress."""


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    runs, fields = Runs(), Fields(ModelTableSettings)
    pair = context.pair_field()
    head(
        "Any model’s table",
        "Bring the vectors and the tokens of any model, or begin with this page’s own table. "
        f"Files up to {MAX_UPLOAD_BYTES // 2**20} MB (for larger models, export only the embedding "
        "table) are deleted after half an hour; nothing is fetched unless a public model is "
        "asked for.",
        first=True,
    )
    with gr.Row(elem_classes="kv-lab-controls"):
        source = gr.Radio(
            [("The bpe model of this page", OURS), ("My files", FILES), ("A public model", HUB)],
            value=OURS,
            label="What is read",
            elem_id="kv-table-source",
        )
    with gr.Row(visible=False, elem_classes="kv-lab-given kv-table-files") as with_files:
        vectors = _file(
            "Vectors: .safetensors, .npy or .gguf; or text, as GloVe", "kv-table-vectors"
        )
        tokens = _file(
            "Tokens: tokenizer.json or vocab.txt; none for .gguf and text", "kv-table-tokens"
        )
    with gr.Row(visible=False, elem_classes="kv-lab-given") as with_hub:
        fields(
            "model",
            "Name on the Hugging Face Hub. Only its embedding table is fetched, when you measure",
            value="sentence-transformers/all-MiniLM-L6-v2",
            max_lines=1,
            elem_id="kv-table-model",
        )
    with gr.Row(elem_classes="kv-lab-controls"):
        fields("words", "Words to look at", max_lines=1, elem_id="kv-table-words")
        fields("map_tokens", "Tokens on the map", value=MAP_TOKENS, step=100)
        fields.seed()
    with (
        gr.Accordion("More settings", open=False, elem_classes="kv-lab-fold"),
        gr.Row(elem_classes="kv-lab-controls"),
    ):
        fields("pos_dim", "Positions of the byte code")
        fields(
            "tensor",
            "Name of the tensor, if it is not found automatically",
            placeholder="model.embed_tokens.weight",
            max_lines=1,
        )
    press = buttons("Measure", "kv-table-run")
    shown = html_part(_opening(context), "kv-table-shown")
    with gr.Row(visible=False, elem_classes="kv-lay-plots") as maps:
        plots = []
        for name, title in _SPACES:
            with gr.Column(min_width=300):
                html_part(element("h3", title, class_="kv-heading"))
                plots.append(plot(token_map(None, name), title))
    caption = html_part(Markup(""), "kv-table-caption")

    source.change(
        lambda chosen: (gr.Row(visible=chosen == FILES), gr.Row(visible=chosen == HUB)),
        source,
        [with_files, with_hub],
        queue=False,
        **QUIET,
    )

    def steps(
        chosen: str, vectors: str | None, tokens: str | None, models: str | None,
        model: str | None, words: str | None, *rest: Any,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        *values, visitor = rest
        asked = fields.read([model, "\n".join((words or "").replace(",", " ").split()), *values])
        tensor = asked.tensor.strip()
        read: Source
        key: tuple[Any, ...]
        if chosen == FILES:
            key, read = (vectors, tokens, tensor), _files(vectors, tokens, tensor)
        elif chosen == HUB:
            key, read = (), _hub(asked.model, tensor)
        else:
            predictor = context.predictor(models)
            key, read = (predictor.pair,), _ours(predictor)
        key = (chosen, *key, asked)
        own = chosen == OURS
        shelf = None if own else Place(context.shelf, visitor.rpartition("/")[2])
        for stage, state in measured(runs, visitor, key, read, asked, shelf):
            yield stage, *_pictures(state.report), report_view(*state)

    inputs = [source, vectors, tokens, pair, *fields.controls]
    connect(runs, press, steps, inputs, [maps, *plots, caption, shown])
    remember(
        context.links,
        "your-model",
        {"source": source, **fields.named},
        {"measured": press.run},
        by_hand={"source": HUB},
    )
    add_endpoints(context)


def _opening(context: Context) -> Markup:
    """Return the initial content: the stored report of the page's own table."""
    try:
        stored = stored_table(context.folder())
    except CheckpointError:
        stored = None
    if stored is None:
        return report_view(None)
    code = element("code", stored.command)
    note = ["Measured once and stored with the weights: ", code, ". “Measure” runs it again."]
    return report_view(stored.report, note=join(note))


class Place(NamedTuple):
    """The place where a visitor's table is stored for the map."""

    shelf: Shelf
    session: str


class State(NamedTuple):
    """The results of a run so far; see `report_view`."""

    report: CrossModelReport | None = None
    doing: Markup | str = ""
    note: str = ""
    table: OwnModel | None = None


def measured(
    runs: Runs,
    visitor: str,
    key: tuple[Any, ...],
    read: Source,
    asked: TableSettings,
    place: Place | None = None,
) -> Iterator[tuple[Stage[CrossModelReport], State]]:
    """Yield the probe's stages: the report as soon as there is one, and the current activity.

    Args:
        place: where to keep the table for the map, if it is to be stored.
    """
    known: tuple[CrossModelReport, str] | None = runs.found(key)
    if known and (place is None or place.shelf.lend(place.session, known[1])):
        report = known[0]
        yield (
            Stage(report, 1, 1, False),
            State(report, table=place and place.shelf.of(place.session)),
        )
        return
    state = State()
    table: tuple[str, VectorTable, TokenList] | None = None
    probe: TableProbe | None = None

    def stopped() -> bool:
        return runs.stopped(visitor)

    def looked_up(tell: Progress) -> CrossModelReport:
        nonlocal probe
        assert table is not None
        probe = TableProbe(table[1], table[2], asked, table[0])
        return probe.neighbors()

    def figured(tell: Progress) -> CrossModelReport:
        assert probe is not None
        return probe.figures(tell, state.report)

    def spaces(tell: Progress) -> OwnModel:
        assert table is not None
        return as_own_model(table[1], table[2], source=table[0], pos_dim=asked.pos_dim)

    def mapped(tell: Progress) -> CrossModelReport:
        assert probe is not None
        assert state.report is not None
        return probe.lay_out(state.report, asked.map_tokens, tell)

    tasks: list[tuple[str, Callable[..., Any]]] = [
        ("Reading the table …", read),
        ("Looking your words up …", looked_up),
        ("Measuring …", figured),
    ]
    if place:
        tasks.append(("Making it a space of the map …", spaces))
    if asked.map_tokens:
        tasks.append(("Laying out a picture …", mapped))
    for words, task in tasks:
        state = state._replace(doing=share_bar(words, 0.0))
        yield Stage(None, 0, 1, True), state
        try:
            for told in watched(task, stopped):
                if isinstance(told, Step):
                    state = state._replace(doing=share_bar(words, told.share))
                    yield Stage(None, 0, 1, True), state
                elif isinstance(told, CrossModelReport):
                    state = state._replace(report=told)
                elif isinstance(told, OwnModel) and place:
                    place.shelf.put(place.session, told)
                    state = state._replace(table=told)
                elif told is not None:
                    table = told
        except (GeneratorExit, InputError):
            raise
        except BaseException:
            yield Stage(None, 0, 1, False), state._replace(doing="")
            raise
        if stopped():
            runs.begin(visitor)
            note = STOPPED if state.report else EMPTY
            yield Stage(None, 0, 1, False), state._replace(doing="", note=note)
            return
    assert state.report is not None
    runs.keep(key, (state.report, state.table.key if state.table else ""))
    yield Stage(state.report, 1, 1, False), state._replace(doing="")


def _pictures(report: CrossModelReport | None) -> tuple[Any, ...]:
    """Return the row of maps, both maps and their caption."""
    if report is None or not report.points:
        return (gr.Row(visible=False), gr.skip(), gr.skip(), Markup(""))
    return (
        gr.Row(visible=True),
        *[token_map(report, space) for space, _ in _SPACES],
        maps_caption(report),
    )


def _ours(predictor: Predictor) -> Source:
    return lambda tell: (f"{predictor.pair}, bpe", *own_table(predictor))


def _hub(model: str, tensor: str) -> Source:
    def read(tell: Progress) -> tuple[str, VectorTable, TokenList]:
        fetched = fetch(model, tensor, progress=tell)
        return fetched.name, fetched.table, fetched.tokens

    return read


def _files(vectors: str | None, tokens: str | None, tensor: str) -> Source:
    if not vectors and not tokens:
        raise InputError(NEEDED)
    named = Path(vectors or tokens or "").name
    return lambda tell: (named, *read_files(vectors, tokens, tensor, tell))


def _file(label: str, identifier: str) -> gr.File:
    return uploaded_file(label=label, height=120, elem_id=identifier)
