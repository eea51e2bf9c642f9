"""A run over pairs as HTML: the finding, the table with the paper's figures, categories, pairs.

Notable:

- `pairs_view` draws every stage of a run, from empty to finished or stopped, on one skeleton;
  before the first run it shows only the paper's figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kronviz.app.components import (
    DASH,
    METRIC_NAMES,
    NO_BREAK,
    Markup,
    arm_name,
    box,
    count,
    downloads,
    element,
    interval,
    join,
    listing,
    marked,
    more,
    percent,
    piece,
    problems,
    progress,
    sentence,
    table,
    term,
    written,
)
from kronviz.app.tabs.robustness.outcome_view import answers_view, from_first
from kronviz.checkpoint_files import PAIR
from kronviz.probes.outcomes import PairOutcome
from kronviz.probes.paper import paper_robustness
from kronviz.probes.robustness import (
    FEWEST,
    METRICS,
    CategoryRow,
    MetricRow,
    Robustness,
)
from kronviz.probes.tables import robustness_rows
from kronviz.published import ROBUSTNESS_WHERE

SHOWN_PAIRS = 40


def pairs_view(result: Robustness | None, *, running: bool = False, command: str = "") -> Markup:
    """Return a run over pairs at any stage.

    Args:
        result: the result so far; ``None`` before there is one.
        running: whether the run continues.
        command: what made the run, if it was stored with the weights, without its pairs.
    """
    done = result is not None and bool(result.done)
    finding: object = _finding(result) if result and done else _nothing(result)
    if running:
        finding = "Reading the pairs with each model …"
    return element(
        "div",
        progress(result.done, result.asked, running)
        if result and result.asked and not command
        else "",
        problems(result.problems) if result else "",
        answers_view(result.answers) if result and result.answers and not running else "",
        element("h3", "How far each model moves", class_="kv-title kv-smaller")
        if result and result.answers and not running
        else "",
        element("p", finding, class_="kv-finding", role="status"),
        box(_table(result), label="How far each model moves"),
        _facts(result) if result and done else "",
        _categories(result.categories) if result and done and not running else "",
        _pairs(result.outcomes) if result and result.outcomes and not running else "",
        downloads("robustness", result, robustness_rows(result))
        if result and result.outcomes and not running
        else "",
        _stored(command, result.done) if result and command else "",
        class_="kv-lab-result",
    )


def _stored(command: str, pairs: int) -> Markup:
    return element(
        "p",
        f"Our {count(pairs, 'pair')}, read once and stored with the weights: ",
        element("code", command),
        ". “Run the pairs” reads them again and shows every single pair.",
        class_="kv-command",
    )


def _nothing(result: Robustness | None) -> str:
    if result is not None:
        return "Nothing could be read."
    return (
        "Nothing has been run here yet. Run the pairs, and the two models’ figures appear beside "
        "the paper’s."
    )


def _finding(result: Robustness) -> Markup:
    first, kl = result.metric("top1_kept"), result.metric("kl_nats")
    if first is None or kl is None or first.difference is None or result.mcnemar is None:
        only = first.arms[0] if first else None
        if only is None:
            return Markup("Nothing was read.")
        share = percent(only.value.mean, 1)
        return sentence([arm_name(only.arm), f" keeps its first choice on {share} of the pairs."])
    arms = sorted(first.arms, key=lambda arm: -arm.value.mean)
    shares = [
        join(
            [
                arm_name(arm.arm),
                " keeps " if arm is arms[0] else " ",
                marked(percent(arm.value.mean, 1)),
            ]
        )
        for arm in arms
    ]
    shares[0] = join([shares[0], " of its first choices"])
    of = "kron and bpe: " if len(arms) > 2 else ""
    p = f" ({of}p{NO_BREAK}{_p(result.mcnemar.p_value)}). "
    return sentence(["After the misspelling, ", listing(shares), p, *_verdict(kl)])


def _verdict(row: MetricRow) -> Iterable[object]:
    two = len(row.arms) == 2
    if row.steadier:
        yield "By KL, "
        yield arm_name(row.steadier)
        yield " is the steadier one." if two else " is the steadiest."
    elif row.pairs < FEWEST:
        yield f"Fewer than {FEWEST} pairs cannot tell {'the two' if two else 'them'} apart."
    elif two:
        yield "By KL these pairs show no difference between the two."
    else:
        yield "By KL none is clearly steadier than all others."


def _p(value: float) -> str:
    return f"<{NO_BREAK}0.001" if value < 0.001 else f"={NO_BREAK}{written(value, 3)}"


def _table(result: Robustness | None) -> Markup:
    first = result.metrics[0] if result and result.metrics else None
    arms = [arm.arm for arm in first.arms] if first else list(PAIR)
    gaps = (
        [f"{gap.arm} − {gap.base}" for gap in from_first(first.differences)]
        if first
        else ["kron − bpe"]
    )
    titles: list[tuple[object, str]] = [
        ("Metric", ""),
        *[(arm_name(arm), "ours, 95% interval") for arm in arms],
        *[(gap, "paired, 95% interval") for gap in gaps],
        ("Steadier", "kron, tie, bpe"),
        *[(join(["Paper: ", arm_name(arm)]), "GPT-2 124M") for arm in PAIR],
        ("Paper: kron − bpe", "paired, 95% interval"),
    ]
    return table(
        "Clean against misspelled, at the last token of each pair. The paper’s figures are of "
        f"larger models on other pairs ({ROBUSTNESS_WHERE}); their intervals are computed here "
        "from its published rows.",
        titles,
        [_row(name, result, len(arms), len(gaps)) for name in METRICS],
        name="measures",
        class_="kv-table kv-lab-table",
    )


def _row(metric: str, result: Robustness | None, arms: int, gaps: int) -> Markup:
    row = result.metric(metric) if result else None
    name, explanation = METRIC_NAMES[metric]
    ours: list[object] = [DASH] * (arms + gaps + 1)
    if row:
        ours = [
            *[interval(arm.value, metric) for arm in row.arms],
            *[interval(gap.value, metric, signed=True) for gap in from_first(row.differences)],
            marked(f"{row.kron_wins:,} · {row.ties:,} · {row.bpe_wins:,}"),
        ]
    theirs = paper_robustness().metric(metric)
    published: list[object] = [interval(arm.value, metric) for arm in theirs.arms]
    published += [interval(gap.value, metric, signed=True) for gap in theirs.differences]
    return element(
        "tr",
        element("th", term(name, explanation), scope="row"),
        *[element("td", cell) for cell in ours + published],
    )


def _facts(result: Robustness) -> Markup:
    parts: list[object] = []
    if result.mcnemar:
        test = result.mcnemar
        parts.append(
            f"First choice kept by both on {test.both_kept:,}, by bpe alone on {test.only_bpe:,}, "
            f"by kron alone on {test.only_kron:,}, by neither on {test.neither:,}: McNemar’s exact "
            f"test gives p{NO_BREAK}{_p(test.p_value)}. "
        )
    if result.inflation:
        more = result.inflation
        parts.append(
            f"Misspelling makes {written(more.ratio, 2)} times as many tokens "
            f"({written(more.added.mean, 2)} more per text; "
            f"{more.inflated_pairs:,} texts grow), the same for every model. "
        )
    parts.append(
        f"Intervals: {result.resamples:,} bootstrap samples, seed {result.seed}. "
        f"Took {written(result.seconds, 1)} s."
    )
    return element("p", sentence(parts), class_="kv-caption kv-wide")


def _categories(rows: Sequence[CategoryRow]) -> Markup:
    if not rows:
        return Markup("")
    arms = [arm.arm for arm in rows[0].arms]
    return more(
        f"By category ({len(rows)})",
        box(
            table(
                "By category: first choices kept, and mean KL in nats",
                (
                    "Category",
                    "Pairs",
                    *[join([arm_name(arm), f" {what}"]) for what in ("kept", "KL") for arm in arms],
                ),
                map(_category, rows),
                name="categories",
                class_="kv-table kv-lab-table",
            ),
            label="By category",
        ),
    )


def _category(row: CategoryRow) -> Markup:
    return element(
        "tr",
        element("th", row.category, scope="row"),
        element("td", marked(f"{row.pairs:,}")),
        *[
            element("td", marked(f"{arm.top1_kept:,}"), _share(arm.top1_kept, row, arm.arm))
            for arm in row.arms
        ],
        *[element("td", marked(written(arm.kl_nats))) for arm in row.arms],
    )


def _share(top1_kept: int, row: CategoryRow, arm: str) -> Markup:
    return element(
        "span",
        class_="kv-kept",
        data_arm=arm,
        style=f"--share: {top1_kept / row.pairs:.3f}",
        aria_hidden="true",
    )


def _pairs(outcomes: Sequence[PairOutcome]) -> Markup:
    """Return the pairs on which the two models differ most, by KL."""

    def gap(outcome: PairOutcome) -> float:
        values = [arm.metrics.kl_nats for arm in outcome.arms]
        return max(values) - min(values)

    chosen = sorted(outcomes, key=gap, reverse=True)[:SHOWN_PAIRS]
    arms = [arm.arm for arm in chosen[0].arms]
    return more(
        f"The {count(len(chosen), 'pair')} on which the models differ most",
        box(
            table(
                "First choice after the clean and after the misspelled text",
                (
                    "Misspelled",
                    *[join([arm_name(arm), f" {what}"]) for arm in arms for what in ("says", "KL")],
                ),
                map(_pair, chosen),
                class_="kv-table kv-lab-table",
            ),
            label="Pairs on which the models differ most",
        ),
    )


def _pair(outcome: PairOutcome) -> Markup:
    cells = []
    for arm in outcome.arms:
        clean, typo = (piece(top.encode()) for top in (arm.clean_top, arm.typo_top))
        said = clean if arm.metrics.top1_kept else join([clean, " → ", typo])
        cells += [element("td", said), element("td", marked(written(arm.metrics.kl_nats)))]
    return element(
        "tr",
        element("th", outcome.typo, element("small", outcome.clean), scope="row", dir="auto"),
        *cells,
    )
