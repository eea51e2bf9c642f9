"""The tab “Layers”: the neighbors of a word at every depth, and where look-alikes separate.

The page opens with the result stored with the weights, and the paper's figures. A button runs the
probe again on the same weights as every other tab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from kronviz.app.components import (
    DOT,
    Again,
    Markup,
    arm_name,
    box,
    downloads,
    element,
    html_part,
    info,
    join,
    marked,
    measuring,
    readable_run,
    reproduced,
    sentence,
    status_line,
    table,
    titled_plot,
    visible,
    written,
)
from kronviz.app.context import Context
from kronviz.figures import layers as figures
from kronviz.predictor import Predictor
from kronviz.probes.layers import LayerReport, PairCosines, known_layers, layers
from kronviz.probes.stored_runs import LAYERS as STORED_LAYERS
from kronviz.probes.tables import layer_rows
from kronviz.published import LAYERS

_MULTIPLIED = 2.5e10
"""Multiplications per second on two cores."""
_SHARES = (
    (
        "other_form",
        "Another word",
        "Share of the ten nearest tokens that are another word, ignoring leading spaces, "
        "punctuation and case. A table tends to keep “Run” and “ run” near “run”. The paper’s L.",
    ),
    (
        "holds_root",
        "Root in the letters",
        "Share of the ten nearest whose letters contain the family’s root, such as “comput”. "
        "The paper’s M.",
    ),
    (
        "in_family",
        "Same family",
        "Share of the ten nearest that belong to the word’s family, as “ran” does to “run”. "
        "The paper’s S.",
    ),
)
_PAIRS = (
    (
        "typo",
        "A word and its misspelling",
        "In the same sentence, at the word’s last token. High: the model reads the misspelling as "
        "the word. Dotted: random pairs.",
    ),
    (
        "ending",
        "The ends of these sentences",
        "Clean and misspelled, where the next word is predicted: how much of the typo is left "
        "there? Dotted: random pairs.",
    ),
    (
        "lookalike",
        "Two words one letter apart",
        "Such as “house” and “horse”, each read alone. Their bytes are alike; the blocks "
        "have to separate them. Dotted: random pairs.",
    ),
)


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    view = _view(_known(context, context.default))
    with gr.Row(elem_id="kv-lay-tools"):
        hint = _hint(context, context.default)
        again = Again.build("Measure", "kv-lay", hint, variant="primary")
    finding = html_part(view[0], "kv-lay-finding")
    plots = []
    for group, draw in ((_SHARES, figures.shares), (_PAIRS, figures.cosines)):
        with gr.Row(elem_classes="kv-lay-plots"):
            for name, title, caption in group:
                figure = draw(_known(context, context.default), name)
                plots.append(titled_plot(figure, title, caption, heading="h3"))
    details = html_part(view[1], "kv-lay-details")
    parts = [finding, details, *plots]

    def shown(pair: str | None) -> list[Any]:
        return [status_line(_hint(context, pair)), *_view(_known(context, pair))]

    again.connect(
        context.links,
        context.redrawn,
        "layers",
        context.pair_field(),
        parts,
        lambda pair, stopped: _measured(context, pair, len(plots), stopped),
        shown,
    )


def _measured(
    context: Context, pair: str | None, plots: int, stopped: Callable[[], bool] = lambda: False
) -> Iterator[list[Any]]:
    return measuring(
        lambda tell: layers(context.predictor(pair), tell),
        lambda report: [status_line(_ended(report)), *_view(report)],
        "Reading every token at every depth",
        "Share that is measured",
        plots + 2,
        stopped,
    )


def _ended(report: LayerReport) -> str:
    if report.read == report.tokens:
        return f"Measured in {report.seconds:.1f} s."
    return (
        f"Stopped after {report.seconds:.1f} s, and kept: {_depths_read(report)} of "
        f"{report.depths} depths were read. “Measure” starts again."
    )


def _known(context: Context, pair: str | None) -> LayerReport | None:
    """Return the result measured since the start, else the one stored with the same weights."""
    predictor = context.predictor(pair)
    known = known_layers(predictor)
    if known is None:
        stored = readable_run(context.folder(pair), STORED_LAYERS)
        if stored and [arm.arm for arm in stored.report.arms] == list(predictor.arms):
            known = stored.report
    return known


def _hint(context: Context, pair: str | None) -> str:
    predictor = context.predictor(pair)
    if known_layers(predictor):
        return "Measured."
    if _known(context, pair):
        return "Measured once and stored with the weights. “Measure” does it again."
    return (
        f"Reads each of {predictor.tokenizer.n_vocab:,} tokens alone, in each model: "
        f"{_how_long(predictor)}. “Stop” keeps what was read."
    )


def _how_long(predictor: Predictor) -> str:
    """Return a rough estimate of the time, from the multiplications of all blocks."""
    models = predictor.arms.values()
    weights = sum(12 * model.config.n_layer * model.config.d_model**2 for model in models)
    seconds = weights * predictor.tokenizer.n_vocab / _MULTIPLIED
    on_gpu = any(model.device.type == "cuda" for model in models)
    return "a few seconds" if on_gpu or seconds < 30 else "a few minutes on two cores"


def _view(report: LayerReport | None) -> tuple[Any, ...]:
    """Return the finding, the tables and the six figures; without a report, only the paper's."""
    pictures: list[go.Figure] = [figures.shares(report, name) for name, _, _ in _SHARES]
    pictures += [figures.cosines(report, name) for name, _, _ in _PAIRS]
    words = (
        _finding(report)
        if report
        else "These are the paper’s two models. Press “Measure” to add this page’s models: which "
        "words are alike at their input, and after every block."
    )
    finding = element("p", words, class_="kv-finding")
    method = element(
        "p",
        marked(
            "Except in the two charts of sentences, every token is read alone. The mean vector is "
            "subtracted before cosines are taken. The paper’s pair has 124 million parameters and "
            "50,257 tokens; it used the first token of each of 48 words. Ours uses those words of "
            "the same six families that are a single token. Compare the direction of an effect, "
            "not its size."
        ),
    )
    tables: list[Markup] = [method, _table(report)]
    if report:
        if report.read < report.tokens:
            tables.insert(1, element("p", marked(_partly(report)), class_="kv-quiet"))
        command = f"python -m kronviz.probes layers --pair {report.pair}"
        tables += [
            reproduced(command),
            _nearest(report),
            downloads("layers", report, layer_rows(report)),
        ]
    return (
        element("div", finding, class_="kv-lay-page"),
        element("div", *tables, class_="kv-lay-page"),
        *pictures,
    )


def _partly(report: LayerReport) -> str:
    sentences = max((pairs.pairs for arm in report.arms for pairs in arm.pairs), default=0)
    read = _depths_read(report)
    near = f"neighbors at {read} of {report.depths} depths" if read else "no neighbors yet"
    return f"A run that was stopped: cosines of {sentences:,} sentences, and {near}."


def _depths_read(report: LayerReport) -> int:
    return max(len(arm.depths) for arm in report.arms)


def _finding(report: LayerReport) -> Markup:
    parts: list[object] = []
    for arm in report.arms:
        lookalikes = next((pairs for pairs in arm.pairs if pairs.kind == "lookalike"), None)
        if lookalikes is None:
            continue
        parts += ["; " if parts else "Cosine of two words one letter apart: "]
        parts += [arm_name(arm.arm), *_way(lookalikes)]
    if not parts and report.read < report.tokens:
        return Markup("No look-alikes were read before the run was stopped.")
    return sentence([*parts, "."]) if parts else Markup("This vocabulary has no look-alikes.")


def _way(pairs: PairCosines) -> list[object]:
    first, last = pairs.cosines[0], pairs.cosines[-1]
    fall = pairs.largest_fall
    return [
        f" {written(first, 2)} at the input, {written(last, 2)} after the last block",
        f" (block {fall} separates them most)" if fall else " (no block separates them)",
    ]


def _table(report: LayerReport | None) -> Markup:
    depths = report.depths if report else 3
    blocks = ["input" if depth == 0 else f"block {depth}" for depth in range(depths)]
    titles = ["Share of the ten nearest", "", *blocks]
    rows = []
    for share, title, explanation in _SHARES:
        lines: list[tuple[Markup, list[str], bool]] = []
        for arm in dict.fromkeys(
            (*figures.ARMS, *(own.arm for own in (report.arms if report else ())))
        ):
            if report and (ours := report.arm(arm)) and ours.depths:
                values = [f"{getattr(at, share):.3f}" for at in ours.depths]
                values += ["–"] * (depths - len(values))
                lines.append((join([arm_name(arm), ", ours"]), values, False))
            if arm in LAYERS[share]:
                theirs = [figure.text for figure in LAYERS[share][arm]]
                theirs += ["–"] * (depths - len(theirs))
                lines.append((join([arm_name(arm), ", the paper’s"]), theirs, True))
        label = element(
            "th",
            title,
            info(f"kv-tip-lay-{share}", title, explanation),
            scope="rowgroup",
            rowspan=len(lines),
        )
        rows += [_row(label if place == 0 else Markup(""), *row) for place, row in enumerate(lines)]
    return box(
        table("The same as numbers", titles, rows, class_="kv-table kv-lay-numbers"),
        label="All measures as numbers",
    )


def _row(label: Markup, whose: Markup, values: list[str], theirs: bool) -> Markup:
    cells = [element("td", marked(value)) for value in values]
    row_class = "kv-lay-theirs" if theirs else None
    return element("tr", label, element("th", whose, scope="row"), *cells, class_=row_class)


def _nearest(report: LayerReport) -> Markup:
    """Return the nearest tokens of one word per family, at the input and after the last block."""
    rows = []
    for arm in report.arms:
        for at in dict.fromkeys((*arm.depths[:1], *arm.depths[-1:])):
            for family in at.families:
                nearest = join(
                    join([DOT if index else "", visible(text.encode())])
                    for index, text in enumerate(family.nearest)
                )
                where = "input" if at.depth == 0 else f"after block {at.depth}"
                rows.append(
                    element(
                        "tr",
                        element("th", arm_name(arm.arm), scope="row"),
                        element("td", where),
                        element("td", visible(family.example.encode())),
                        element("td", element("bdi", nearest)),
                    )
                )
    if not rows:
        return Markup("")
    return box(
        table(
            "The ten nearest tokens of one word of each family",
            ("Model", "Depth", "Word", "Nearest first"),
            rows,
            class_="kv-table kv-lay-near",
        ),
        label="Nearest tokens",
    )
