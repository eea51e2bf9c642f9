"""Read a pair's training logs: losses, their gap, steps saved, norms, step time.

Notable:

- Everything is read from ``log.jsonl`` and ``config.json`` of the arms; no weights are loaded.
- ``tiny+ngram-words`` is a pair with a further arm, whose loss is compared with both.
- “Steps saved” is the paper's measure: the bpe arm's last step over the step at which the kron arm
  first reached the bpe arm's final loss, interpolated between the two validations around it.
- Whatever a log lacks is ``None`` or empty, never a guess.

    python -m kronviz.probes.training checkpoints/tiny
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from kronviz import cli
from kronviz.checkpoint_files import (
    FURTHER,
    PAIR,
    CheckpointError,
    arm_folders,
    read_config,
    read_log,
)
from kronviz.probes.rarity import Rarity, names, rarity
from kronviz.probes.seeds import SeedSpread, rate_sweep, seed_spread


@dataclass(frozen=True)
class TrainingCurve:
    """One arm's log. Sequences with the same prefix have the same length.

    Attributes:
        arm: a name in `kronviz.arms.ARMS`.
        steps, tokens, train_nats: each logged step, tokens read until then, loss of its batch.
        norms: Frobenius norm of the input embedding's main matrix at each logged step: the table
            (bpe), the projection (kron), the rows (others).
        norm_ratios: ``norms`` over the first of them.
        eval_steps, eval_tokens, eval_nats: each validation during training.
        final_nats: loss of the stored weights on the whole validation text; if the checkpoint does
            not have it, the last validation during training.
        parameters, input_parameters: trained parameters of the model and of its input embedding.
        step_seconds: median time of a step.
        total_seconds: training time without validations.
        scored: how many tokens of the vocabulary a training step scored to estimate its loss;
            ``None`` if every step scored all. Validations always score all.
        exact: share of the steps, the last ones, that scored all tokens.
        optimizer: that of the matrices, ``muon`` or ``adamw``, if the configuration says so.
    """

    arm: str
    steps: tuple[int, ...]
    tokens: tuple[int, ...]
    train_nats: tuple[float, ...]
    norms: tuple[float, ...]
    norm_ratios: tuple[float, ...]
    eval_steps: tuple[int, ...]
    eval_tokens: tuple[int, ...]
    eval_nats: tuple[float, ...]
    final_nats: float | None
    parameters: int | None
    input_parameters: int | None
    step_seconds: float | None
    total_seconds: float | None
    scored: int | None = None
    exact: float = 1.0
    optimizer: str | None = None


@dataclass(frozen=True)
class GapPoint:
    """kron's validation loss − bpe's at one step; negative if kron is better."""

    step: int
    tokens: int
    nats: float


@dataclass(frozen=True)
class TrainingEvidence:
    """The figures from a pair's logs. Comparisons are ``None`` if an arm or a log is missing.

    Attributes:
        pair: the pair's name.
        curves: the arms that have a log.
        gaps: at every step at which both arms were validated.
        gap_nats, gap_percent: kron's final loss − bpe's, and that as a share of bpe's.
        matched_step: the step, interpolated, at which kron first reached bpe's last logged
            validation loss; ``None`` if it never did.
        step_factor: bpe's last step over ``matched_step``.
        reverse_factor: the same with the arms exchanged: how many × fewer steps bpe needed to
            reach kron's last logged validation loss.
        step_time_percent: how much longer kron's median step takes than bpe's.
        input_saving_percent: how many fewer trained parameters kron's input embedding has.
        seeds: the gap over several seeds at a smaller size, if it was measured.
        rates: the same with nanoGPT's optimizer and schedule, lowest learning rate first.
        rarity: the gap by how often a token was read in training, if it was measured.
    """

    pair: str
    curves: tuple[TrainingCurve, ...]
    gaps: tuple[GapPoint, ...] = ()
    gap_nats: float | None = None
    gap_percent: float | None = None
    matched_step: float | None = None
    step_factor: float | None = None
    reverse_factor: float | None = None
    step_time_percent: float | None = None
    input_saving_percent: float | None = None
    seeds: SeedSpread | None = None
    rates: tuple[SeedSpread, ...] = ()
    rarity: Rarity | None = None

    @property
    def further(self) -> tuple[TrainingCurve, ...]:
        """Return the curves of arms other than the pair's two."""
        return tuple(curve for curve in self.curves if curve.arm not in PAIR)

    def curve(self, arm: str) -> TrainingCurve | None:
        """Return the curve of an arm, if it has a log."""
        return next((curve for curve in self.curves if curve.arm == arm), None)


def lead_lost(curve: TrainingCurve, other: TrainingCurve) -> int | None:
    """Return the tokens read when a curve was last below another, if it ends above it.

    ``None`` if it was never below, or is below at the end.
    """
    both = dict(zip(other.eval_tokens, other.eval_nats, strict=True))
    leads = [
        (tokens, nats < both[tokens])
        for tokens, nats in zip(curve.eval_tokens, curve.eval_nats, strict=True)
        if tokens in both
    ]
    led = [tokens for tokens, ahead in leads if ahead]
    return max(led) if led and not leads[-1][1] else None


def training_evidence(pair_dir: Path) -> TrainingEvidence:
    """Read the training logs in a pair's folder (paper, section 6.9).

    Args:
        pair_dir: folder with ``bpe/`` and ``kron/``; ``+arm`` after its name adds a further arm.

    Raises:
        CheckpointError: a log is damaged.
    """
    try:
        return _evidence(pair_dir)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise CheckpointError(
            f"The training log of {pair_dir.name} lacks required entries; restore log.jsonl and "
            "config.json from the repository."
        ) from None


def _evidence(pair: Path) -> TrainingEvidence:
    pair_dir = pair.with_name(pair.name.partition(FURTHER)[0])
    folders = arm_folders(pair).values()
    curves = tuple(curve for folder in folders if (curve := _curve(folder)) is not None)
    by_arm = {curve.arm: curve for curve in curves}
    seeds, rates = seed_spread(pair_dir), rate_sweep(pair_dir)
    if not by_arm.keys() >= set(PAIR):
        return TrainingEvidence(pair.name, curves, seeds=seeds, rates=rates)
    bpe, kron = (by_arm[arm] for arm in PAIR)
    gap_nats = _difference(kron.final_nats, bpe.final_nats)
    matched, step_factor = _steps_saved(kron, bpe)
    return TrainingEvidence(
        pair=pair.name,
        curves=curves,
        gaps=_gaps(bpe, kron),
        gap_nats=gap_nats,
        gap_percent=_percent(gap_nats, bpe.final_nats),
        matched_step=matched,
        step_factor=step_factor,
        reverse_factor=_steps_saved(bpe, kron)[1],
        step_time_percent=_percent(
            _difference(kron.step_seconds, bpe.step_seconds), bpe.step_seconds
        ),
        input_saving_percent=_percent(
            _difference(bpe.input_parameters, kron.input_parameters), bpe.input_parameters
        ),
        seeds=seeds,
        rates=rates,
        rarity=rarity(pair_dir),
    )


def _curve(folder: Path) -> TrainingCurve | None:
    log = read_log(folder)
    if not log:
        return None
    try:
        about: dict[str, Any] = read_config(folder)
    except CheckpointError:
        about = {}
    evaluated = [record for record in log if record.get("val_loss") is not None]
    norms = tuple(float(record["norm"]) for record in log)
    seconds = [float(record["seconds"]) for record in log]
    # A run that was killed and resumed has one long gap, which does not affect the median.
    durations = [
        (after["seconds"] - before["seconds"]) / (after["step"] - before["step"])
        for before, after in pairwise(log)
        if after["step"] > before["step"]
    ]
    training = about.get("training") or {}
    final = (about.get("validation") or {}).get("loss")
    if final is None and evaluated:
        final = evaluated[-1]["val_loss"]
    return TrainingCurve(
        arm=folder.name,
        steps=tuple(int(record["step"]) for record in log),
        tokens=tuple(int(record["tokens"]) for record in log),
        train_nats=tuple(float(record["train_loss"]) for record in log),
        norms=norms,
        norm_ratios=tuple(norm / norms[0] for norm in norms) if norms[0] else (),
        eval_steps=tuple(int(record["step"]) for record in evaluated),
        eval_tokens=tuple(int(record["tokens"]) for record in evaluated),
        eval_nats=tuple(float(record["val_loss"]) for record in evaluated),
        final_nats=_number(final),
        parameters=_number(about.get("parameters")),
        input_parameters=_number(about.get("input_parameters")),
        step_seconds=statistics.median(durations) if durations else None,
        total_seconds=seconds[-1] if seconds else None,
        scored=_number(training.get("scored")) or None,
        exact=_number(training.get("exact", 1.0)) if training.get("scored") else 1.0,
        optimizer=training.get("optimizer"),
    )


def _number(value: Any) -> Any:
    """Return a number or ``None`` unchanged; raise `TypeError` for anything else."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError
    return value


def _gaps(bpe: TrainingCurve, kron: TrainingCurve) -> tuple[GapPoint, ...]:
    reached = dict(zip(kron.eval_steps, kron.eval_nats, strict=True))
    return tuple(
        GapPoint(step, tokens, reached[step] - loss)
        for step, tokens, loss in zip(bpe.eval_steps, bpe.eval_tokens, bpe.eval_nats, strict=True)
        if step in reached
    )


def _steps_saved(fast: TrainingCurve, slow: TrainingCurve) -> tuple[float | None, float | None]:
    """Return the step at which ``fast`` reached the last loss of ``slow``, and the step factor."""
    reached = _first_reached(fast, slow.eval_nats[-1]) if slow.eval_nats else None
    return reached, slow.eval_steps[-1] / reached if reached else None


def _first_reached(curve: TrainingCurve, loss: float) -> float | None:
    """Return the step at which a curve first reaches a loss, linear between validations."""
    points: Sequence[tuple[int, float]] = list(zip(curve.eval_steps, curve.eval_nats, strict=True))
    if points and points[0][1] <= loss:
        return float(points[0][0])
    for (step, before), (next_step, after) in pairwise(points):
        if after <= loss:
            return step + (next_step - step) * (before - loss) / (before - after)
    return None


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _percent(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else 100 * part / whole


def main() -> None:
    """Print the figures of the training tab."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pair", type=Path, help="folder of a pair, such as checkpoints/tiny")
    evidence = training_evidence(parser.parse_args().pair)
    print(f"pair {evidence.pair}")
    for curve in evidence.curves:
        print(
            f"{curve.arm}: final loss {_shown(curve.final_nats, '.4f')} nats, "
            f"{curve.tokens[-1]:,} tokens, {curve.steps[-1]:,} steps, "
            f"norm {curve.norms[0]:.2f} to {curve.norms[-1]:.2f}, "
            f"median step {_shown(curve.step_seconds, '.4f')} s, "
            f"input parameters {_shown(curve.input_parameters, ',')} "
            f"of {_shown(curve.parameters, ',')}"
        )
    for name, value, form in (
        ("gap, nats", evidence.gap_nats, "+.4f"),
        ("gap, percent", evidence.gap_percent, "+.2f"),
        ("kron reached bpe's last loss at step", evidence.matched_step, ".0f"),
        ("× fewer steps with kron", evidence.step_factor, ".3f"),
        ("× fewer steps with bpe", evidence.reverse_factor, ".3f"),
        ("kron's step longer by, percent", evidence.step_time_percent, "+.2f"),
        ("input parameters saved, percent", evidence.input_saving_percent, ".1f"),
    ):
        print(f"{name}: {_shown(value, form)}")
    if evidence.seeds:
        _print_seeds(evidence.seeds)
    for spread in evidence.rates:
        print(f"AdamW alone, cosine schedule, at {spread.rate:g}:", end=" ")
        _print_seeds(spread)
    if evidence.rarity:
        _print_rarity(evidence.rarity)


def _print_seeds(result: SeedSpread) -> None:
    print(f"{result.config}, {result.tokens:,} tokens, seeds {', '.join(map(str, result.seeds))}:")
    for name, spread in (
        *((f"loss of {variant}", losses) for variant, losses in result.losses.items()),
        ("gap, kron − bpe", result.gap),
        ("of which the separate head", result.head),
        ("of which the code", result.code),
    ):
        about = f" ± {spread.deviation:.4f}" if len(spread.values) > 1 else ""
        each = f" ({', '.join(f'{value:+.4f}' for value in spread.values)})" if about else ""
        print(f"  {name}: {spread.mean:+.4f}{about} nats{each}")
    for title, classes in (("just read", result.read), ("to come", result.predicted)):
        for name, row in zip(names([row.low for row in classes]), classes, strict=True):
            parts = [("gap", row.gap), ("head", row.head), ("code", row.code)]
            shown = [f"{what} {x.mean:+.3f} [{x.low:+.3f}, {x.high:+.3f}]" for what, x in parts]
            print(f"  token {title}, read {name}: {row.tokens:,} tokens, {', '.join(shown)} nats")


def _print_rarity(rarity: Rarity) -> None:
    for title, classes in (("just read", rarity.read), ("to come", rarity.predicted)):
        print(f"by how often the token {title} was read in {rarity.trained_tokens:,} tokens:")
        for name, row in zip(names([row.low for row in classes]), classes, strict=True):
            interval = f"[{row.gap_low:+.4f}, {row.gap_high:+.4f}]"
            print(f"  {name}: {row.tokens:,} tokens, gap {row.gap:+.4f} {interval} nats")


def _shown(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)


if __name__ == "__main__":
    cli.run(main)
