"""The training tab: what the logs of the pair say, beside what the paper says.

Every figure of ours is printed again by the command under the table; every figure of the paper's
is labelled as such, with where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from kronviz import published
from kronviz.checkpoint import CheckpointError
from kronviz.figures import training as figures
from kronviz.probes.intervals import Interval
from kronviz.probes.rarity import Rarity, names
from kronviz.probes.seeds import NANOGPT_RATE, SeedSpread, Spread, best_gap
from kronviz.probes.training import TrainingCurve, TrainingEvidence, training_evidence
from kronviz.published import Published
from kronviz.ui.bytes_parts import count
from kronviz.ui.compare_view import arm_name
from kronviz.ui.context import Context
from kronviz.ui.html import Markup, element, escape, join
from kronviz.ui.numbers import NO_BREAK, marked, millions, number, sentence
from kronviz.ui.parts import alert, html_part

_NONE = "not recorded"
_PLOTS = (
    (
        "Loss",
        figures.losses,
        "Validation loss of both models as they read the same text in the same order, over the "
        "loss of each training batch (faint). kron is the solid line, bpe the dashed one.",
    ),
    (
        "The gap",
        figures.gap,
        "How much lower kron’s validation loss is than bpe’s at the same step. Above zero, kron "
        "is ahead. The band is the paper’s final gap, at another scale.",
    ),
    (
        "Norms",
        figures.norms,
        "Frobenius norm of bpe’s learned table and of kron’s projection, each divided by its "
        "first logged value. Does the thing that a token is read with hold still?",
    ),
    (
        "Rare tokens",
        figures.by_rarity,
        "The gap on all validation text, by how often training read the token just read (●) or the "
        "token to come (◇), with 95 % intervals. Above zero, kron is better. A table learns a row "
        "only when its token comes by, a byte code shares all that it learns: do bytes help with "
        "rare ones?",
    ),
)


def build(context: Context) -> None:
    """Lay the tab out and connect it. Call inside a `gr.Tab`."""
    view = _view(context, context.default)
    found = html_part(view.finding)
    plots = []
    with gr.Row(elem_id="kv-plots"):
        for (title, _, caption), picture in zip(_PLOTS, view.pictures, strict=True):
            with gr.Column(min_width=300):
                html_part(element("h2", title, class_="kv-heading"))
                plots.append(
                    gr.Plot(picture, show_label=False, label=title, elem_classes="kv-plot")
                )
                html_part(element("p", caption, class_="kv-caption"))
    table = html_part(view.table)
    if context.selector is not None:

        def redraw(pair: str) -> tuple[Any, ...]:
            view = _view(context, pair)
            return view.finding, view.table, *view.pictures

        context.selector.change(
            redraw,
            context.selector,
            [found, table, *plots],
            show_progress="hidden",
            api_visibility="private",
            queue=False,
        )


@dataclass(frozen=True)
class _View:
    finding: Markup
    table: Markup
    pictures: list[go.Figure]


def _view(context: Context, pair: str | None) -> _View:
    name = pair or ""
    try:
        evidence = training_evidence(context.root / name)
        problem = None if evidence.curves else f"The pair {name} came without training logs."
    except CheckpointError as error:
        evidence = TrainingEvidence(name, ())
        problem = str(error)
    pictures = [draw(evidence) for _, draw, _ in _PLOTS]
    if problem:
        return _View(element("div", alert(problem), class_="kv-evidence"), Markup(""), pictures)
    command = f"python -m kronviz.probes.training checkpoints/{name}"
    finding = element(
        "div",
        element("p", _headline(evidence), class_="kv-finding"),
        class_="kv-evidence",
    )
    table = element(
        "div",
        element("p", _differences(evidence)),
        element("div", _table(evidence), class_="kv-scroll"),
        *([_rarity(evidence.rarity)] if evidence.rarity else []),
        *([_seeds(evidence.seeds)] if evidence.seeds else []),
        *([_rates(evidence.rates)] if evidence.rates else []),
        element("p", "Printed again by ", element("code", command), class_="kv-command"),
        class_="kv-evidence",
    )
    return _View(finding, table, pictures)


def _headline(evidence: TrainingEvidence) -> Markup:
    gap, factor = evidence.gap_nats, evidence.step_factor
    if gap is None:
        return Markup("Only one of the two models of this pair has a training log.")
    side = " nats below " if gap > 0 else " nats above "
    parts: list[object] = ["On the same text, ", arm_name("kron"), " ends "]
    parts += [number(abs(gap), 3), side, arm_name("bpe")]
    if gap <= 0:
        parts.append(": no gain here")
        if (best_gap(evidence.rates) or 0) > 0:
            parts.append(". Trained like the paper’s, small models say the opposite (below)")
    elif factor is not None:
        parts += [" and reaches its final loss in ", number(factor, 2), " times fewer steps"]
    return join([*parts, "."])


def _differences(evidence: TrainingEvidence) -> Markup:
    curve = evidence.curves[0]
    return sentence(
        [
            "Ours and the paper’s are not the same experiment. Here: ",
            _millions(curve.parameters),
            " parameters a model, ",
            _millions(curve.tokens[-1]),
            " tokens of books and textbooks, one seed. The paper: ",
            published.TRAINING_RUN,
            ". Compare the direction of an effect, not its size.",
            _scored(curve),
        ]
    )


def _scored(curve: TrainingCurve) -> str:
    if curve.scored is None:
        return ""
    return (
        f" To save time, the first {(1 - curve.exact) * 100:.1f} % of our training steps scored "
        f"{curve.scored:,} tokens in place of all: the most frequent, their own targets, others "
        "drawn and weighted to stand for the rest. The losses of batches are estimates there; "
        "validation scores all."
    )


def _table(evidence: TrainingEvidence) -> Markup:
    bpe, kron = evidence.curve("bpe"), evidence.curve("kron")
    rows: list[tuple[object, object, Published | None]] = [
        (
            join(["Final validation loss, ", arm_name("bpe")]),
            _figure(bpe.final_nats if bpe else None, 4, " nats"),
            None,
        ),
        (
            join(["Final validation loss, ", arm_name("kron")]),
            _figure(kron.final_nats if kron else None, 4, " nats"),
            None,
        ),
        (
            _named("Gap", "bpe’s loss less kron’s; above zero, kron is better"),
            _figure(evidence.gap_nats, 4, " nats", sign=True),
            published.GAP_NATS,
        ),
        (
            _named("Gap, relative", "as a share of bpe’s loss"),
            _figure(evidence.gap_percent, 2, " %", sign=True),
            published.GAP_PERCENT,
        ),
        (
            _named("Steps saved with kron", "until it reaches bpe’s last logged loss"),
            _steps(evidence),
            published.FEWER_STEPS,
        ),
        (
            _named("Norm of bpe’s table", "first logged step to last"),
            _norm(bpe),
            published.TABLE_NORM,
        ),
        (
            _named("Norm of kron’s projection", "first logged step to last"),
            _norm(kron),
            published.PROJECTION_NORM,
        ),
        (
            _named("Step time, bpe and kron", "median, each on the machine that trained it"),
            join([_seconds(bpe), ", ", _seconds(kron)]),
            None,
        ),
        (
            _named("Step time, kron against bpe", "median step"),
            _figure(evidence.step_time_percent, 1, " %", sign=True),
            published.STEP_OVERHEAD,
        ),
        (
            _named("Input parameters", "bpe’s table, kron’s projection"),
            join(
                [
                    _millions(bpe.input_parameters if bpe else None),
                    ", ",
                    _millions(kron.input_parameters if kron else None),
                ]
            ),
            published.INPUT_PARAMETERS,
        ),
        (
            _named("Scale", "parameters, tokens, steps"),
            _scale(bpe or kron),
            published.SCALE,
        ),
    ]
    return element(
        "table",
        element("caption", f"Training of the pair «{evidence.pair}», beside the paper’s run"),
        element(
            "thead",
            element(
                "tr",
                element("th", "Figure", scope="col"),
                element("th", "Ours", scope="col"),
                element("th", "The paper’s", scope="col"),
            ),
        ),
        element("tbody", *[_row(*row) for row in rows]),
        class_="kv-table",
        data_name="training",
    )


def _seeds(found: SeedSpread) -> Markup:
    """The same comparison over several seeds at a smaller size, with the control."""
    bpe, kron, control = (found.losses[name] for name in ("bpe", "kron", "bpe-untied"))
    plain, signed = False, True
    rows: list[tuple[object, Spread, bool]] = [
        (join(["Loss of ", arm_name("bpe")]), bpe, plain),
        (join(["Loss of ", arm_name("kron")]), kron, plain),
        (
            _named("Loss of the control", "bpe with an output head of its own, as kron has"),
            control,
            plain,
        ),
        (_named("Gap", "bpe’s loss less kron’s; above zero, kron is better"), found.gap, signed),
        (_named("of which the head", "bpe’s loss less the control’s"), found.head, signed),
        (_named("of which the code", "the control’s loss less kron’s"), found.code, signed),
    ]
    body = [
        element(
            "tr",
            element("th", name, scope="row"),
            element("td", _spread(spread, sign=sign)),
            *[element("td", number(value, 3, sign=sign)) for value in spread.values],
        )
        for name, spread, sign in rows
    ]
    titles = ["Figure", "Mean ± deviation", *[f"Seed {seed}" for seed in found.seeds]]
    return _folded(
        join(
            [
                f"{len(found.seeds)} seeds at a smaller size, and a control: a gap of ",
                *(number(found.gap.mean, 3, sign=True), " nats, of which the head "),
                *(number(found.head.mean, 3, sign=True), " and the code "),
                number(found.code.mean, 3, sign=True),
            ]
        ),
        element(
            "p",
            "The paper’s two models differ in two things: how a token is read, and that bpe’s "
            "output head is tied to its table while kron has a head of its own. The control is bpe "
            "with a head of its own, so that the two can be told apart. Width "
            f"{found.d_model}, {found.n_layer} layers, ",
            _millions(found.tokens),
            " tokens a run.",
        ),
        element(
            "div",
            element(
                "table",
                element("caption", "Validation loss, nats a token"),
                element("thead", element("tr", *[element("th", t, scope="col") for t in titles])),
                element("tbody", *body),
                class_="kv-table kv-seeds",
                data_name="seeds",
            ),
            class_="kv-scroll",
        ),
        *(
            [
                element(
                    "p",
                    "Below, each loss is the mean over the seeds, on a third of the validation "
                    "text; in brackets 95 % intervals.",
                )
            ]
            if found.predicted
            else []
        ),
        *[
            _table_by_class(
                f"By how often the token {which} was read in training, nats",
                f"seeds, {which}",
                ["Gap", "of which the head", "of which the code"],
                [
                    (row.low, row.tokens, [_bounds(row.gap), _bounds(row.head), _bounds(row.code)])
                    for row in classes
                ],
            )
            for which, classes in (("just read", found.read), ("to come", found.predicted))
            if classes
        ],
    )


def _rates(found: Sequence[SeedSpread]) -> Markup:
    """The same comparison with nanoGPT's optimizer, at several learning rates."""
    names = ("bpe", "kron", "bpe-untied")
    best = {name: min(found, key=lambda one: one.losses[name].mean) for name in names}
    ahead = sum(one.gap.mean > 0 for one in found)
    body = []
    for one in found:
        cells = [_spread(one.losses[name], bold=best[name] is one) for name in names]
        cells += [_spread(part, sign=True) for part in (one.gap, one.head, one.code)]
        title = element("th", number(one.rate, 4), scope="row")
        body.append(element("tr", title, *[element("td", cell) for cell in cells]))
    titles = ["Rate", arm_name("bpe"), arm_name("kron"), "Control", "Gap", "Head", "Code"]
    return _folded(
        join(
            [
                "Another optimizer: ",
                arm_name("kron"),
                *(" is ahead at ", number(ahead), " of ", count(len(found), "learning rate")),
                *("; each at its best, the gap is ", number(best_gap(found) or 0, 3, sign=True)),
                " nats",
            ]
        ),
        element(
            "p",
            "Is the gap the optimizer’s doing? Ours are trained with Muon and AdamW. nanoGPT, with "
            "which the paper trained, has AdamW alone, at ",
            number(NANOGPT_RATE, 4),
            ", on a cosine. Here both models and the control learned so, at that rate and at "
            f"others: width {found[0].d_model}, {found[0].n_layer} layers, ",
            _millions(found[0].tokens),
            f" tokens a run, {count(len(found[0].seeds), 'seed')}. Bold: the best rate of each. "
            "Gap, head and code as with the seeds.",
        ),
        element(
            "div",
            element(
                "table",
                element("caption", "Validation loss by learning rate, nats a token"),
                element("thead", element("tr", *[element("th", t, scope="col") for t in titles])),
                element("tbody", *body),
                class_="kv-table",
                data_name="rates",
            ),
            class_="kv-scroll",
        ),
    )


def _spread(found: Spread, *, sign: bool = False, bold: bool = False) -> Markup:
    mean = number(found.mean, 3, sign=sign)
    spread = [f" ±{NO_BREAK}", number(found.deviation, 3)] if len(found.values) > 1 else []
    return join([element("b", mean) if bold else mean, *spread])


def _folded(title: object, *children: Markup) -> Markup:
    """A section whose title says what it found, and whose tables open below it."""
    return element(
        "details",
        element("summary", element("h2", title, class_="kv-heading")),
        element("div", *children, class_="kv-evidence"),
        class_="kv-more",
    )


def _rarity(found: Rarity) -> Markup:
    """The classes of the figure «Rare tokens» as tables."""
    tables = [
        _table_by_class(
            f"By how often the token {which} was read in training",
            f"rarity, {which}",
            ["bpe, nats", "kron, nats", "Gap [95 % interval]"],
            [
                (
                    row.low,
                    row.tokens,
                    [
                        number(row.bpe, 3),
                        number(row.kron, 3),
                        _bounds(Interval(row.gap, row.gap_low, row.gap_high)),
                    ],
                )
                for row in classes
            ],
        )
        for which, classes in (("just read", found.read), ("to come", found.predicted))
    ]
    return _folded(
        "The figure «Rare tokens» as two tables",
        element(
            "p",
            "Each loss on the validation text, sorted by how often training read a token in its ",
            _millions(found.trained_tokens),
            " tokens. ",
            number(found.never_read),
            " of ",
            number(found.n_vocab),
            " tokens of the vocabulary it never read. Classes with fewer than 100 tokens are left "
            "out.",
        ),
        *tables,
    )


def _table_by_class(
    caption: str, name: str, titles: list[str], rows: list[tuple[int, int, list[Markup]]]
) -> Markup:
    """A table of rarity classes; rows are a class's least count, its tokens, and further cells."""
    heads = ["Times", "Tokens", *titles]
    body = [
        element(
            "tr",
            element("th", marked(times), scope="row"),
            element("td", number(tokens)),
            *[element("td", cell) for cell in cells],
        )
        for times, (_, tokens, cells) in zip(names([row[0] for row in rows]), rows, strict=True)
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *[element("th", head, scope="col") for head in heads])),
            element("tbody", *body),
            class_="kv-table",
            data_name=name,
        ),
        class_="kv-scroll",
    )


def _bounds(interval: Interval) -> Markup:
    mean, low, high = (
        number(value, 3, sign=True) for value in (interval.mean, interval.low, interval.high)
    )
    return join([mean, " [", low, ", ", high, "]"])


def _row(name: object, ours: object, theirs: Published | None) -> Markup:
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", ours),
        element("td", marked(theirs.text), element("small", theirs.where))
        if theirs
        else element("td", "–"),
    )


def _named(name: str, note: str) -> Markup:
    return join([name, element("small", note)])


def _figure(value: float | None, digits: int, unit: str, *, sign: bool = False) -> object:
    return _NONE if value is None else join([number(value, digits, sign=sign), unit])


def _steps(evidence: TrainingEvidence) -> object:
    if evidence.step_factor is None and evidence.reverse_factor is not None:
        less = number(evidence.reverse_factor, 2)
        return join(["none; bpe reached kron’s with ", less, " times fewer"])
    return _figure(evidence.step_factor, 2, " times fewer")


def _norm(curve: TrainingCurve | None) -> object:
    if curve is None or not curve.norm_ratios:
        return _NONE
    first, last, ratio = curve.norms[0], curve.norms[-1], curve.norm_ratios[-1]
    return join([number(first, 1), " to ", number(last, 1), " (×", number(ratio, 2), ")"])


def _seconds(curve: TrainingCurve | None) -> object:
    return _figure(curve.step_seconds if curve else None, 3, " s")


def _scale(curve: TrainingCurve | None) -> object:
    if curve is None:
        return _NONE
    parts = [_millions(curve.parameters), _millions(curve.tokens[-1]), number(curve.steps[-1])]
    return join([parts[0], ", ", parts[1], ", ", parts[2]])


def _millions(count: float | None) -> Markup:
    return escape(_NONE) if count is None else millions(count)
