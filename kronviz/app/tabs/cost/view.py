"""The cost breakdown and the times of the cost tab as HTML."""

from __future__ import annotations

from kronviz import published
from kronviz.accounting import CostSettings, InputCost
from kronviz.accounting.timing import Measurement
from kronviz.app.components import (
    Markup,
    alert,
    arm_name,
    box,
    element,
    info,
    join,
    marked,
    number,
    percent,
    reproduced,
    sentence,
    table,
)
from kronviz.figures.cost import duration, size
from kronviz.published import Published
from kronviz.settings import written

NAMES = {"r50k_base": "GPT-2", "cl100k_base": "cl100k", "o200k_base": "o200k"}
"""Names of the vocabularies on the page, each shown with its number of tokens."""
_DASH = "–"
_CONTESTANTS = {
    "table": ("bpe", "a table", "A row of the learned table for each token."),
    "kron, fused": ("kron", "on the fly", "The rows of a token’s bytes, added in one pass."),
    "kron, cached": ("kron", "from a cache", "All tokens embedded once, then looked up."),
    "kron, reference": ("kron", "in plain PyTorch", "The same sums by PyTorch’s own operations."),
}


def finding(cost: InputCost) -> Markup:
    """Return the finding: the saving at the input and in the whole model."""
    table, projection = _count(cost.table_parameters), _count(cost.projection_parameters)
    more = cost.projection_parameters + cost.head_parameters - cost.table_parameters
    if cost.parameters_saved > 0:
        parts: list[object] = [
            "In place of a table of ", table, " parameters, ", arm_name("kron"),
            " learns a projection of ", projection, f": {_saved(cost)} fewer at the input. ",
            "The whole model has ", _count(more), " more, because ", arm_name("kron"),
            " needs a separate output head.",
        ]  # fmt: skip
    else:
        parts = [
            "Here a table is smaller: ", arm_name("kron"), "’s projection has ", projection,
            " parameters, ", arm_name("bpe"), f"’s table of {cost.n_vocab:,} tokens ", table, ".",
        ]  # fmt: skip
    about = "about " if cost.estimated else ""
    parts.append(
        f" The bytes that it computes from take {about}{size(cost.ragged_bytes)}, for all tokens "
        "together."
    )
    return element("p", sentence(parts), class_="kv-finding", role="status")


def sums(cost: InputCost) -> Markup:
    """Return the cost breakdown of both arms as a table, with the paper's figures if it has any."""
    about = "about " if cost.estimated else ""
    cut = f"{about}{cost.cut_tokens:,} of {cost.n_vocab:,}"
    rows = [
        _row(
            "Parameters",
            "tokens × width; 256 × P × width",
            f"{cost.table_parameters:,}",
            f"{cost.projection_parameters:,}",
            published.INPUT_PARAMETERS,
        ),
        _row(
            "Saved",
            "of the table’s parameters, at any width",
            _DASH,
            _saved(cost),
            published.SAVED,
        ),
        _row(
            "Weights in memory",
            f"in {cost.dtype}",
            size(cost.table_bytes),
            size(cost.projection_bytes),
            None,
        ),
        _row(
            "Bytes of all tokens",
            f"{about}{size(cost.text_bytes)} of text, {size(cost.offset_bytes)} of offsets",
            _DASH,
            f"{about}{size(cost.ragged_bytes)}",
            published.STORAGE,
        ),
        _row(
            "The same, padded",
            "as the reference implementation keeps them",
            _DASH,
            size(cost.padded_bytes),
            None,
        ),
        _row(
            "In training",
            "weights, gradients and AdamW’s two moments, in float32",
            size(cost.training_bytes),
            size(cost.kron_training_bytes),
            None,
        ),
        _row("Truncated tokens", f"longer than {cost.pos_dim} bytes", _DASH, cut, None),
        _row(
            "Break-even",
            "fewer tokens than this, and a table is smaller",
            _DASH,
            f"{cost.break_even:,} tokens",
            None,
        ),
        _row(
            "Output head",
            "no part of the sums above",
            "shares the table",
            f"{cost.head_parameters:,} of its own",
            None,
        ),
    ]
    return box(
        table(
            marked(f"{_shape(cost)}, cost breakdown"),
            (
                "Cost",
                join([arm_name("bpe"), ": a table"]),
                join([arm_name("kron"), ": computed"]),
                "The paper’s",
            ),
            rows,
            name="sums",
            class_="kv-table kv-cost-sums",
        ),
        label="Cost breakdown",
    )


def price(cost: InputCost) -> Markup:
    """Return the limits of the saving."""
    return element(
        "p",
        "The saving is on the input side alone. ",
        arm_name("bpe"),
        " uses its table a second time, as its output head; ",
        arm_name("kron"),
        " needs a separate head, so the whole model has ",
        marked(_count(cost.projection_parameters)),
        " parameters more, unless ",
        arm_name("bpe"),
        "’s head is untied too.",
        class_="kv-caption",
    )


def measured(measurement: Measurement) -> Markup:
    """Return the times as a table, with what was measured and where."""
    rows = []
    for timing in measurement.timings:
        arm, how, note = _CONTESTANTS[timing.name]
        rows.append(
            element(
                "tr",
                element("th", arm_name(arm), f": {how}", element("small", note), scope="row"),
                element("td", marked(duration(timing.milliseconds))),
                element("td", number(timing.ratio, 2)),
                element("td", marked(f"{duration(timing.fastest)} to {duration(timing.slowest)}")),
            )
        )
    where = (
        f"{measurement.n_vocab:,} tokens, P = {measurement.pos_dim}, "
        f"width {measurement.d_model:,}, {measurement.dtype}; "
        f"{measurement.tokens:,} tokens a call; {measurement.machine}"
    )
    ratio = info(
        "kv-tip-cost-ratio",
        "this ratio",
        "Below 1, kron is faster than looking the same tokens up in a table.",
    )
    return box(
        table(
            marked(where),
            (
                "Embedding one batch",
                "Median",
                join(["Relative to the table", ratio]),
                "Fastest and slowest",
            ),
            rows,
            name="times",
            class_="kv-table kv-cost-times",
        ),
        *[element("p", note, class_="kv-caption") for note in measurement.notes],
        label="Times",
    )


def command(asked: CostSettings, tokens: int | None = None) -> Markup:
    """Return the command that reproduces the figures."""
    line = f"python -m kronviz.accounting {written(asked)}"
    if tokens is not None:
        line += f" --measure {tokens}"
    return reproduced(line)


def stored(command: str) -> Markup:
    """Return the origin of the times that the page opens with."""
    return element(
        "p",
        "Measured once, on the machine named above: ",
        element("code", command),
        ". “Measure” does it again on the machine that answers you.",
        class_="kv-command",
    )


def status(words: str) -> Markup:
    """Return a line beside the button."""
    said = element("span", marked(words))
    return element("p", said, class_="kv-cost-status kv-quiet", role="status")


def refused(sentence: str, *, large: bool = False) -> Markup:
    """Return a sentence about why there is no answer."""
    kind = "kv-finding kv-refused" if large else "kv-cost-status kv-refused"
    return alert(sentence, kind)


def _row(name: str, note: str, bpe: str, kron: str, theirs: Published | None) -> Markup:
    paper = join([marked(theirs.text), element("small", theirs.where)]) if theirs else _DASH
    return element(
        "tr",
        element("th", name, element("small", marked(note)), scope="row"),
        element("td", marked(bpe), data_label="bpe"),
        element("td", marked(kron), data_label="kron"),
        element(
            "td",
            paper,
            class_="kv-cost-paper" if theirs else "kv-cost-paper kv-cost-none",
            data_label="the paper’s",
        ),
    )


def _shape(cost: InputCost) -> str:
    name = NAMES.get(cost.vocabulary)
    tokens = f"{name}, {cost.n_vocab:,} tokens" if name else f"{cost.n_vocab:,} tokens"
    return f"{tokens}, P = {cost.pos_dim}, width {cost.d_model:,}"


def _saved(cost: InputCost) -> str:
    return percent(cost.parameters_saved, 1)


def _count(number: int) -> str:
    for unit, scale in ((" billion", 1e9), (" M", 1e6), (" k", 1e3)):
        if number >= scale:
            value = number / scale
            return f"{value:.0f}{unit}" if value >= 99.95 else f"{value:.1f}{unit}"
    return str(number)
