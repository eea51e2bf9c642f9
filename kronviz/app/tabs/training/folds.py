"""The folds of the training tab: rare tokens, several seeds, several learning rates."""

from __future__ import annotations

from collections.abc import Sequence

from kronviz.app.components import (
    NO_BREAK,
    Markup,
    arm_name,
    box,
    count,
    element,
    folded,
    join,
    marked,
    millions,
    number,
    table,
)
from kronviz.app.tabs.training.view import named
from kronviz.probes.intervals import Interval
from kronviz.probes.rarity import Rarity, names
from kronviz.probes.seeds import NANOGPT_RATE, SeedSpread, Spread, best_gap


def rarity(result: Rarity) -> Markup:
    """Return the classes of the figure “Rare tokens” as tables."""
    tables = [
        _table_by_class(
            f"By how often the {which} was read in training",
            f"rarity, {which}",
            ["bpe, nats", "kron, nats", "Gap [95% interval]"],
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
        for which, classes in (("token just read", result.read), ("next token", result.predicted))
    ]
    return folded(
        "The figure “Rare tokens” as two tables",
        element(
            "p",
            "Each loss on the validation text, grouped by how often a token came up in the ",
            millions(result.trained_tokens),
            " tokens of the training. ",
            number(result.never_read),
            " of ",
            number(result.n_vocab),
            " tokens of the vocabulary never came up. Classes with fewer than 100 tokens are left "
            "out.",
        ),
        *tables,
    )


def _table_by_class(
    caption: str, name: str, titles: list[str], rows: list[tuple[int, int, list[Markup]]]
) -> Markup:
    """Return a table of rarity classes; a row has its smallest count, its tokens, and cells."""
    body = [
        element(
            "tr",
            element("th", marked(times), scope="row"),
            element("td", number(tokens)),
            *[element("td", cell) for cell in cells],
        )
        for times, (_, tokens, cells) in zip(names([row[0] for row in rows]), rows, strict=True)
    ]
    return box(table(caption, ["Times", "Tokens", *titles], body, name=name), label=caption)


def _bounds(interval: Interval) -> Markup:
    mean, low, high = (
        number(value, 3, sign=True) for value in (interval.mean, interval.low, interval.high)
    )
    return join([mean, " [", low, ", ", high, "]"])


def seeds(result: SeedSpread) -> Markup:
    """Return the comparison over several seeds at a smaller size, with the control."""
    bpe, kron, control = (result.losses[name] for name in ("bpe", "kron", "bpe-untied"))
    plain, signed = False, True
    rows: list[tuple[object, Spread, bool]] = [
        (join(["Loss of ", arm_name("bpe")]), bpe, plain),
        (join(["Loss of ", arm_name("kron")]), kron, plain),
        (
            named("Loss of the control", "bpe with a separate output head, like kron"),
            control,
            plain,
        ),
        (named("Gap", "loss, kron − bpe; below zero, kron is better"), result.gap, signed),
        (named("of which the head", "loss, control − bpe"), result.head, signed),
        (named("of which the code", "loss, kron − control"), result.code, signed),
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
    titles = ["Figure", "Mean ± deviation", *[f"Seed {seed}" for seed in result.seeds]]
    return folded(
        join(
            [
                f"{len(result.seeds)} seeds at a smaller size, and a control: a gap of ",
                *(number(result.gap.mean, 3, sign=True), " nats, of which the head "),
                *(number(result.head.mean, 3, sign=True), " and the code "),
                number(result.code.mean, 3, sign=True),
            ]
        ),
        element(
            "p",
            "The paper’s two models differ in two things: how a token is read, and that bpe’s "
            "output head is tied to its table while kron’s is separate. The control is bpe with a "
            "separate head, which tells the two apart. Width "
            f"{result.d_model}, {result.n_layer} layers, ",
            millions(result.tokens),
            " tokens per run.",
        ),
        box(
            table(
                "Validation loss, nats per token",
                titles,
                body,
                name="seeds",
                class_="kv-table kv-seeds",
            ),
            label="Validation loss by seed",
        ),
        *(
            [
                element(
                    "p",
                    "Below, each loss is the mean over the seeds, on a third of the validation "
                    "text; in brackets 95% intervals.",
                )
            ]
            if result.predicted
            else []
        ),
        *[
            _table_by_class(
                f"By how often the {which} was read in training, nats",
                f"seeds, {which}",
                ["Gap", "of which the head", "of which the code"],
                [
                    (row.low, row.tokens, [_bounds(row.gap), _bounds(row.head), _bounds(row.code)])
                    for row in classes
                ],
            )
            for which, classes in (
                ("token just read", result.read),
                ("next token", result.predicted),
            )
            if classes
        ],
    )


def rates(results: Sequence[SeedSpread]) -> Markup:
    """Return the comparison with nanoGPT's optimizer, at several learning rates."""
    names = ("bpe", "kron", "bpe-untied")
    best = {name: min(results, key=lambda one: one.losses[name].mean) for name in names}
    ahead = sum(one.gap.mean < 0 for one in results)
    papers = any(one.rate == NANOGPT_RATE for one in results)
    at = "that rate and others" if papers else "other rates"
    numbers = [len(one.seeds) for one in results]
    seeds = count(max(numbers), "seed")
    if min(numbers) < max(numbers):
        few = "one" if min(numbers) == 1 else str(min(numbers))
        seeds = f"{few} to {seeds}"
    body = []
    for one in results:
        cells = [_spread(one.losses[name], bold=best[name] is one) for name in names]
        cells += [_spread(part, sign=True) for part in (one.gap, one.head, one.code)]
        title = element("th", number(one.rate, 4), scope="row")
        body.append(element("tr", title, *[element("td", cell) for cell in cells]))
    titles = ["Rate", arm_name("bpe"), arm_name("kron"), "Control", "Gap", "Head", "Code"]
    return folded(
        join(
            [
                "Another optimizer: ",
                arm_name("kron"),
                *(" is ahead at ", number(ahead), " of ", count(len(results), "learning rate")),
                *("; each at its best, the gap is ", number(best_gap(results) or 0, 3, sign=True)),
                " nats",
            ]
        ),
        element(
            "p",
            "Does the optimizer cause the gap? Our models are trained with Muon and AdamW. "
            "nanoGPT, which the paper used for training, has only AdamW, at ",
            number(NANOGPT_RATE, 4),
            f", with a cosine schedule. Here both models and the control were trained like that, "
            f"at {at}: "
            f"width {results[0].d_model}, {results[0].n_layer} layers, ",
            millions(results[0].tokens),
            f" tokens per run, {seeds}. Bold: the best rate of each. "
            "Gap, head and code as with the seeds.",
        ),
        box(
            table("Validation loss by learning rate, nats per token", titles, body, name="rates"),
            label="Validation loss by learning rate",
        ),
    )


def _spread(figure: Spread, *, sign: bool = False, bold: bool = False) -> Markup:
    mean = number(figure.mean, 3, sign=sign)
    spread = [f" ±{NO_BREAK}", number(figure.deviation, 3)] if len(figure.values) > 1 else []
    return join([element("b", mean) if bold else mean, *spread])
