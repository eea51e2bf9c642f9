"""Predictions after a misspelling: the right answer's probability, the true continuation.

Notable:

- These come before how far each model shifts, because a model that is always wrong cannot get
  worse.
- There can be any number of arms; differences are from the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kronviz.app.components import (
    Markup,
    arm_name,
    box,
    count,
    element,
    join,
    listing,
    marked,
    more,
    percent,
    problems,
    sentence,
    table,
    term,
    written,
)
from kronviz.probes.answers import AnswerRow, Answers
from kronviz.probes.continuation import MEAN, Continuation, ContinuationArm, ContinuationRow
from kronviz.probes.intervals import Difference, Interval
from kronviz.probes.minimal_pairs import MinimalArm, MinimalPairs, MinimalRow
from kronviz.probes.stored_continuation import StoredContinuation

SHARE = 0.15
"""Share of misspelled words for which the summary sentence speaks."""
ANSWERS = {
    "clean_first": ("First choice is right, clean", "share of the pairs", True),
    "typo_first": ("First choice is right, misspelled", "share of the pairs", True),
    "clean_logprob_nats": ("Log-probability, clean, nats", "of the right answer", False),
    "typo_logprob_nats": ("Log-probability, misspelled, nats", "of the right answer", False),
    "logprob_drop_nats": (
        "Log-probability lost, nats",
        "what the misspelling takes of the right answer’s log-probability",
        False,
    ),
    "clean_reciprocal_rank": ("1 / rank, clean", "1 where the right answer comes first", False),
    "typo_reciprocal_rank": (
        "1 / rank, misspelled",
        "mean of 1 / rank of the right answer; 1 where it comes first, 0.5 where second",
        False,
    ),
}
KINDS = {"synthetic": "slips of the keyboard", "human": "as people misspell"}


def answers_view(answers: Answers) -> Markup:
    """Return the results for the right answers: a sentence and a table."""
    first = answers.row("typo_first")
    shares = [
        join(
            [
                arm_name(arm.arm),
                "’s first choice in " if arm is first.arms[0] else "’s in ",
                marked(percent(arm.value.mean, 1)),
            ]
        )
        for arm in first.arms
    ]
    shares[0] = join([shares[0], " of the pairs"])
    medians = [
        join([arm_name(arm.arm), f" {written(arm.clean, 0)} → {written(arm.typo, 0)}"])
        for arm in answers.medians
    ]
    return element(
        "div",
        element(
            "p",
            sentence(
                [
                    "After the misspelling, the right answer is ",
                    listing(shares),
                    ". ",
                    *_compared(
                        answers.row("typo_logprob_nats").differences,
                        "gives it more probability",
                        "These pairs show no difference in its probability.",
                        larger_wins=True,
                    ),
                ]
            ),
            class_="kv-finding",
            role="status",
        ),
        box(
            table(
                f"The right answer, over {count(answers.pairs, 'pair')} with one: its first "
                "token, after the clean and after the misspelled text.",
                ["Measure", *_arm_titles([arm.arm for arm in first.arms], first.differences)],
                [_answer_row(row) for row in answers.rows],
                name="answers",
                class_="kv-table kv-lab-table",
            ),
            label="The right answer",
        ),
        element(
            "p",
            "Median rank of the right answer, clean and misspelled: ",
            listing(medians, ", "),
            ".",
            class_="kv-caption",
        ),
        class_="kv-outcome",
    )


def continuation_view(stored: StoredContinuation | None) -> Markup:
    """Return the stored continuation loss of a pair; empty if none is stored."""
    if stored is None:
        return element("div")
    run = stored.misspelled
    return element(
        "section",
        element(
            "header",
            element(
                "h2",
                "How a text continues after misspelled words",
                class_="kv-title kv-title-first",
            ),
            element(
                "p",
                "How much probability do the models give to the words that truly follow? Unlike "
                "the first choice, this has a right answer at every token.",
                class_="kv-lead",
            ),
        ),
        element("p", _continuation_finding(run), class_="kv-finding"),
        box(_losses(run), label="Loss of the true continuation"),
        _perturbed(stored.perturbed) if stored.perturbed else "",
        element(
            "p",
            marked(
                f"{run.done:,} passages of {run.context} tokens before the cut and "
                f"{run.continuation} after it. {stored.about} Read once and stored with the "
                "weights: "
            ),
            *[
                join([element("code", command), ". "])
                for command in dict.fromkeys(stored.commands.values())
            ],
            class_="kv-command",
        ),
        class_="kv-lab-result",
    )


def _continuation_finding(run: Continuation) -> Markup:
    rows = [run.row(kind, SHARE) for kind in KINDS]
    best = min(rows[0].arms, key=lambda arm: arm.nats.mean)
    cost = [join([arm_name(arm.arm), f" {written(arm.rise_nats.mean, 3)}"]) for arm in rows[0].arms]
    none, best_of = ("neither", "better") if len(cost) == 2 else ("no", "best")
    parts: list[object] = [
        f"With {SHARE:.0%} of the words misspelled, ",
        *(
            [arm_name(best.arm), f" predicts the continuation {best_of}"]
            if all(_leads(best.arm, row) for row in rows)
            else [f"{none} model predicts the continuation clearly {best_of}"]
        ),
        ". The misspellings cost ",
        listing(cost),
        " nats per token.",
    ]
    return sentence(parts)


def _leads(arm: str, row: ContinuationRow) -> bool:
    """Return whether an arm's loss is the smallest by intervals that exclude 0."""
    return all(
        (gap.value.high < 0 if gap.arm == arm else gap.value.low > 0)
        for gap in row.differences
        if arm in (gap.arm, gap.base)
    )


def minimal_view(result: MinimalPairs) -> Markup:
    """Return how often the grammatical sentence is more probable: a sentence and a table."""
    clean = result.rows[0]
    arms = [arm.arm for arm in clean.arms]
    shares = [
        join([marked(percent(arm.accuracy.mean, 1)), " with ", arm_name(arm.arm)])
        for arm in clean.arms
    ]
    compared = _compared(
        clean.differences,
        "is right more often",
        "These pairs show no difference.",
        larger_wins=True,
    )
    return element(
        "div",
        problems(result.problems),
        element(
            "p",
            marked(f"Of {result.done:,} clean pairs the grammatical sentence is the more "),
            "probable in ", listing(shares), ".",
            *([" ", *compared] if compared else []),
            class_="kv-finding",
        ),
        box(
            table(
                "Share of the pairs whose grammatical sentence is the more probable. Only what "
                "both sentences share is perturbed. The score is the share of the accuracy above "
                "chance that is left: 100 is all of it.",
                [
                    "Words misspelled",
                    *_arm_titles(arms, clean.differences),
                    *[(arm_name(arm), "score, 95% interval") for arm in arms],
                ],
                [_minimal_row(row) for row in result.rows],
                name="minimal-pairs",
                class_="kv-table kv-lab-table",
            ),
            label="Minimal pairs",
        ),
        class_="kv-lab-result",
    )  # fmt: skip


def _minimal_row(row: MinimalRow) -> Markup:
    values = [arm.accuracy for arm in row.arms]
    return _row(_spelling(row), values, row.differences, _scores(row.arms), drawn=_share)


def _losses(run: Continuation) -> Markup:
    arms = [arm.arm for arm in run.rows[0].arms]
    return table(
        "Loss of the true continuation, nats per token; smaller is better. The tokens that are "
        "scored are the same clean ones in every row.",
        [
            "Words misspelled",
            *_arm_titles(arms, run.rows[0].differences),
            *[(arm_name(arm), "bits per byte") for arm in arms],
        ],
        [_loss_row(row) for row in run.rows],
        name="continuation",
        class_="kv-table kv-lab-table",
    )


def _loss_row(row: ContinuationRow) -> Markup:
    bits = [marked(written(arm.bits_per_byte.mean, 3)) for arm in row.arms]
    return _row(_spelling(row), [arm.nats for arm in row.arms], row.differences, bits)


def _perturbed(run: Continuation) -> Markup:
    rows = [row for row in run.rows if row.kind != "clean"]
    arms = [arm.arm for arm in rows[0].arms]
    cut = sum(row.cut for row in rows if row.kind != MEAN)
    return more(
        "Under the five perturbations of the byte-model papers",
        box(
            table(
                "Loss of the true continuation, nats per token, and how much of the context’s "
                "value is left: 100 is all of it, 0 is like having no context. Normalised "
                "like H-Net’s robustness score (arXiv 2507.07955); the loss without context counts "
                f"as chance. {count(run.done, 'passage')}."
                + (f" The models read only the end of {count(cut, 'context')}." if cut else ""),
                [
                    "Context",
                    *_arm_titles(arms, rows[0].differences),
                    *[(arm_name(arm), "score, 95% interval") for arm in arms],
                ],
                [_perturbed_row(row) for row in rows],
                name="perturbations",
                class_="kv-table kv-lab-table",
            ),
            label="Loss under perturbations",
        ),
    )


def _perturbed_row(row: ContinuationRow) -> Markup:
    return _row(row.kind, [arm.nats for arm in row.arms], row.differences, _scores(row.arms))


def _answer_row(row: AnswerRow) -> Markup:
    name, explanation, share = ANSWERS[row.measure]
    return _row(
        term(name, explanation),
        [arm.value for arm in row.arms],
        row.differences,
        drawn=_share if share else _interval,
    )


def _row(
    name: object,
    values: Sequence[Interval],
    differences: Sequence[Difference],
    more: Sequence[object] = (),
    *,
    drawn: Callable[..., Markup] | None = None,
) -> Markup:
    """Return a row of a table: each arm's value, the differences from the first, other cells."""
    drawn = drawn or _interval
    gaps = [drawn(gap.value, signed=True) for gap in from_first(differences)]
    cells = [*map(drawn, values), *gaps, *more]
    return element("tr", element("th", name, scope="row"), *[element("td", cell) for cell in cells])


def _spelling(row: ContinuationRow | MinimalRow) -> str:
    """Name the misspellings of a context."""
    if row.share:
        return f"{row.share:.0%}, {KINDS[row.kind]}"
    return "none" if row.kind == "clean" else row.kind


def _scores(arms: Sequence[ContinuationArm] | Sequence[MinimalArm]) -> list[object]:
    return [_interval(arm.score, 1) if arm.score else "–" for arm in arms]


def _arm_titles(arms: Sequence[str], differences: Sequence[Difference]) -> list[tuple[object, str]]:
    return [(arm_name(arm), "95% interval") for arm in arms] + [
        (f"{gap.arm} − {gap.base}", "paired, 95% interval") for gap in from_first(differences)
    ]


def from_first(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences from the first arm."""
    return [gap for gap in differences if gap.base == differences[0].base]


def _compared(
    differences: Sequence[Difference], words: str, same: str, *, larger_wins: bool
) -> list[object]:
    """Say which of two arms wins by an interval that excludes 0; empty for more arms."""
    if len(differences) != 1:
        return []
    (gap,) = differences
    if gap.value.low <= 0 <= gap.value.high:
        return [same]
    winner = gap.arm if (gap.value.mean > 0) == larger_wins else gap.base
    return [arm_name(winner), f" {words}."]


def _interval(
    value: Interval, digits: int = 3, *, scale: float = 1, unit: str = "", signed: bool = False
) -> Markup:
    mean, low, high = (
        written(part * scale, digits, sign=signed) for part in (value.mean, value.low, value.high)
    )
    if value.low == value.high:
        # Identical texts have no spread to resample, but that does not make the value certain.
        return join([marked(f"{mean}{unit}"), element("small", "all alike: no interval")])
    return join([marked(f"{mean}{unit}"), element("small", marked(f"{low} to {high}"))])


def _share(value: Interval, *, signed: bool = False) -> Markup:
    return _interval(value, 1, scale=100, unit=" points" if signed else "%", signed=signed)
