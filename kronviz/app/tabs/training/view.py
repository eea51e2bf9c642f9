"""The training tab as HTML: the results of a pair's run beside the paper's figures."""

from __future__ import annotations

from kronviz import published
from kronviz.app.components import (
    Markup,
    arm_name,
    element,
    escape,
    join,
    listing,
    marked,
    millions,
    number,
    sentence,
    table,
)
from kronviz.probes.seeds import best_gap
from kronviz.probes.training import TrainingCurve, TrainingEvidence
from kronviz.published import Published

_NONE = "not recorded"


def headline(evidence: TrainingEvidence) -> Markup:
    """Return the finding in one sentence: which arm's loss ends lower, and by how much."""
    gap, factor = evidence.gap_nats, evidence.step_factor
    if gap is None:
        return Markup("Only one of the two models of this pair has a training log.")
    side = " nats below " if gap < 0 else " nats above "
    parts: list[object] = ["On the same text, ", arm_name("kron"), " ends "]
    parts += [number(abs(gap), 3), side, arm_name("bpe")]
    if gap >= 0:
        parts.append(": no gain here")
        if (best_gap(evidence.rates) or 0) < 0:
            parts.append(". Trained like the paper’s, small models show the opposite (below)")
    elif factor is not None:
        parts += [" and reaches its final loss in ", number(factor, 2), "× fewer steps"]
    parts.append(".")
    for curve in evidence.further:
        bpe = evidence.curve("bpe")
        if bpe and bpe.final_nats is not None and curve.final_nats is not None:
            gap = curve.final_nats - bpe.final_nats
            parts += [" ", arm_name(curve.arm), " ends ", number(abs(gap), 3)]
            parts += [" nats below " if gap < 0 else " nats above ", arm_name("bpe"), "."]
    return join(parts)


def differences(evidence: TrainingEvidence) -> Markup:
    """Return the differences from the paper's run; the evidence has at least one curve."""
    curve = evidence.curves[0]
    return sentence(
        [
            "Ours and the paper’s are not the same experiment. Here: ",
            listing(
                [
                    join([_millions(one.parameters), " (", arm_name(one.arm), ")"])
                    for one in evidence.curves
                ]
            ),
            " parameters, ",
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
        f" To save time, the first {(1 - curve.exact) * 100:.1f}% of our training steps scored "
        f"{curve.scored:,} tokens instead of all: the most frequent ones, the targets, and a "
        f"weighted random sample. The losses of batches are estimates there; "
        "validation scores all."
    )


def figures(evidence: TrainingEvidence) -> Markup:
    """Return our figures and the paper's, with their places in it."""
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
        *[
            (
                join(["Final validation loss, ", arm_name(curve.arm)]),
                _figure(curve.final_nats, 4, " nats"),
                None,
            )
            for curve in evidence.further
        ],
        (
            named("Gap", "loss, kron − bpe; below zero, kron is better"),
            _figure(evidence.gap_nats, 4, " nats", sign=True),
            published.GAP_NATS,
        ),
        (
            named("Gap, relative", "as a share of bpe’s loss"),
            _figure(evidence.gap_percent, 2, "%", sign=True),
            published.GAP_PERCENT,
        ),
        (
            named("Steps saved with kron", "until it reaches bpe’s last logged loss"),
            _steps(evidence),
            published.FEWER_STEPS,
        ),
        (
            named("Norm of bpe’s table", "first logged step to last"),
            _norm(bpe),
            published.TABLE_NORM,
        ),
        (
            named("Norm of kron’s projection", "first logged step to last"),
            _norm(kron),
            published.PROJECTION_NORM,
        ),
        (
            named("Step time, bpe and kron", "median, each on the machine that trained it"),
            join([_seconds(bpe), ", ", _seconds(kron)]),
            None,
        ),
        (
            named("Step time, kron against bpe", "median step"),
            _figure(evidence.step_time_percent, 1, "%", sign=True),
            published.STEP_OVERHEAD,
        ),
        (
            named("Input parameters", "bpe’s table, kron’s projection"),
            join(
                [
                    _millions(bpe.input_parameters if bpe else None),
                    ", ",
                    _millions(kron.input_parameters if kron else None),
                ]
            ),
            published.INPUT_PARAMETERS,
        ),
        *[
            (
                join(["Input parameters, ", arm_name(curve.arm)]),
                _millions(curve.input_parameters),
                None,
            )
            for curve in evidence.further
        ],
        (
            named("Scale", "bpe’s parameters, tokens, steps"),
            _scale(bpe or kron),
            published.SCALE,
        ),
    ]
    return table(
        f"Training of the pair “{evidence.pair}”, beside the paper’s run",
        ("Figure", "Ours", "The paper’s"),
        [_row(*row) for row in rows],
        name="training",
    )


def _row(name: object, ours: object, theirs: Published | None) -> Markup:
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", ours),
        element("td", marked(theirs.text), element("small", theirs.where))
        if theirs
        else element("td", "–"),
    )


def named(name: str, note: str) -> Markup:
    """Return a row's name with a small note below it."""
    return join([name, element("small", note)])


def _figure(value: float | None, digits: int, unit: str, *, sign: bool = False) -> object:
    return _NONE if value is None else join([number(value, digits, sign=sign), unit])


def _steps(evidence: TrainingEvidence) -> object:
    if evidence.step_factor is None and evidence.reverse_factor is not None:
        less = number(evidence.reverse_factor, 2)
        return join(["none; bpe got there in ", less, "× fewer steps"])
    return _figure(evidence.step_factor, 2, "× fewer steps")


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
