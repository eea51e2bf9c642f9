"""The probes of ``python -m kronviz.probes``, each with its arguments and its printed lines.

To add a probe, add an entry to `COMMANDS`; every command has ``--pair``, ``--seed``, ``--json`` and
``--csv``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronviz.errors import InputError, count
from kronviz.generation import Generation, GenerationSettings, side_by_side
from kronviz.predictor import Predictor
from kronviz.probes import (
    continuation,
    echo,
    inside,
    layers,
    minimal_pairs,
    paper,
    recovery,
    sensitivity,
    sweep,
    tables,
)
from kronviz.probes.cross_model import TableSettings
from kronviz.probes.cross_model import command as cross_model
from kronviz.probes.inside import command as insides
from kronviz.probes.pairs import load_pairs
from kronviz.probes.robustness import MisspellingSettings, Robustness, robustness
from kronviz.progress import Progress, Step
from kronviz.settings import add_arguments, from_options


@dataclass(frozen=True)
class Command:
    """A probe on the command line.

    Attributes:
        help: one sentence.
        add_arguments: adds the probe's own arguments to a parser.
        run: makes the result from a predictor and the parsed arguments.
        lines: returns the figures of a result as lines to print.
        table: returns a result as flat rows for CSV.
        seed: the default seed.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Predictor, argparse.Namespace], Any]
    lines: Callable[[Any], Iterable[str]]
    table: Callable[[Any], Sequence[dict[str, object]]]
    seed: int = 0


def _progress() -> Progress | None:
    """Return a counter if stderr is a terminal, else ``None``."""
    if not sys.stderr.isatty():
        return None

    def show(step: Step) -> None:
        count = f"{step.done:,} of {step.total:,}" if step.total != 1 else f"{step.share:.0%}"
        print(f"\r{count}", end="\n" if step.done == step.total else "", file=sys.stderr)

    return show


def declared(
    help: str,
    settings: type,
    run: Callable[..., Any],
    lines: Callable[[Any], Iterable[str]],
    table: Callable[[Any], Sequence[dict[str, object]]],
) -> Command:
    """Return the command of a probe whose settings are one class; see `kronviz.settings`."""
    return Command(
        help,
        lambda parser: add_arguments(parser, settings),
        lambda predictor, options: run(predictor, from_options(settings, options), _progress()),
        lines,
        table,
        seed=getattr(settings, "seed", 0),
    )


def _pairs_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=Path, help="file of pairs (default: ours)")


def _robustness_arguments(parser: argparse.ArgumentParser) -> None:
    _pairs_argument(parser)
    add_arguments(parser, MisspellingSettings)


def _run_robustness(predictor: Predictor, options: argparse.Namespace) -> Robustness:
    asked = from_options(MisspellingSettings, options)
    if asked.sentences and options.pairs:
        raise InputError("Give --sentences or --pairs, not both.")
    pairs = asked.pairs_or(lambda: load_pairs(options.pairs))
    return robustness(predictor, pairs, seed=asked.seed, progress=_progress())


def _robustness_lines(result: Robustness) -> Iterator[str]:
    yield from result.problems
    yield f"pair {result.pair}, {result.done} of {count(result.asked, 'pair')}, seed {result.seed}"
    if result.answers:
        yield f"the right answer, over {count(result.answers.pairs, 'pair')} with one"
        for rated in result.answers.rows:
            arms = "  ".join(f"{arm.arm} {arm.value}" for arm in rated.arms)
            yield f"  {rated.measure}: {arms}"
            for gap in rated.differences:
                yield f"    {gap.arm} − {gap.base} {gap.value}"
        for median in result.answers.medians:
            yield f"  median rank, {median.arm}: clean {median.clean:g}, misspelled {median.typo:g}"
    for row in result.metrics:
        arms = "  ".join(f"{arm.arm} {arm.value}" for arm in row.arms)
        yield f"{row.metric}: {arms}"
        if row.difference:
            yield (
                f"  kron − bpe {row.difference}; kron steadier {row.kron_wins}, "
                f"ties {row.ties}, bpe steadier {row.bpe_wins}"
            )
        for gap in row.further:
            yield f"  {gap.arm} − {gap.base} {gap.value}"
    if result.mcnemar:
        yield (
            f"McNemar: only bpe kept {result.mcnemar.only_bpe}, only kron "
            f"{result.mcnemar.only_kron}, p = {result.mcnemar.p_value:.4g}"
        )
    if result.inflation:
        yield (
            f"tokens: {result.inflation.ratio:.3f} times as many when misspelled, "
            f"{result.inflation.added} per text"
        )
    for category in result.categories:
        kept = "  ".join(f"{arm.arm} {arm.top1_kept}" for arm in category.arms)
        yield f"  {category.category}: top-1 kept of {category.pairs}: {kept}"
    yield f"{result.seconds:.1f} s"


def _sweep_lines(result: sweep.Sweep) -> Iterator[str]:
    yield from result.problems
    yield (
        f"pair {result.pair}, {count(result.sentences, 'sentence')}, "
        f"{result.done} of {count(result.asked, 'text')}"
    )
    for point in result.points:
        row = point.metric("kl_nats")
        arms = "  ".join(f"{arm.arm} {arm.value}" for arm in row.arms)
        yield f"{point.kind} × {point.strength} ({count(point.texts, 'text')}): KL {arms}"
    yield f"{result.seconds:.1f} s"


def _recovery_lines(result: recovery.Recovery) -> Iterator[str]:
    yield from result.problems
    yield (
        f"pair {result.pair}, {result.done} of {count(result.asked, 'passage')}, "
        f"{count(result.runs, 'run')}"
    )
    for point in result.points:
        arms = "  ".join(f"{arm.arm} {arm.kl_nats}" for arm in point.arms)
        yield f"{count(point.later, 'token')} later: KL {arms}"
    for arm in result.arms:
        yield (
            f"{arm.arm}: half after {arm.half_after}, a tenth after {arm.tenth_after}, "
            f"sum {arm.summed_nats:.4f} nats"
        )
    yield f"{result.seconds:.1f} s"


def _sensitivity_lines(result: sensitivity.Sensitivity) -> Iterator[str]:
    for word in result.words:
        arms = "  ".join(
            f"{arm.arm} {arm.kl_nats:.4f} nats, kept {arm.top1_kept:.0%}" for arm in word.arms
        )
        yield f"{word.word} ({', '.join(word.variants) or 'cannot be misspelled'}): {arms}"


def _generate_arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser, GenerationSettings)
    parser.add_argument("--typo", help="the same text, misspelled")


def _run_generate(predictor: Predictor, options: argparse.Namespace) -> Generation:
    asked = from_options(GenerationSettings, options)
    texts = [asked.prompt] + ([options.typo] if options.typo else [])
    *_, last = side_by_side(predictor, texts, asked.sampler, asked.forced or None)
    return last


def _generate_lines(result: Generation) -> Iterator[str]:
    for made in result.continuations:
        read = f", “{made.forced}” as {made.slot_tokens} positions" if made.forced else ""
        yield f"{made.arm}{read}: {made.prompt} |{made.text}"
    yield f"{result.seconds:.1f} s"


COMMANDS: dict[str, Command] = {
    "robustness": Command(
        "Clean and misspelled pairs through both arms: the paper's table (section 6.11).",
        _robustness_arguments,
        _run_robustness,
        _robustness_lines,
        tables.robustness_rows,
        seed=MisspellingSettings.seed,
    ),
    "continuation": Command(
        "The loss on a text's true continuation after a misspelled context.",
        continuation.add_arguments,
        lambda predictor, options: continuation.run(predictor, options, _progress()),
        continuation.lines,
        continuation.table,
        seed=continuation.ContinuationSettings.seed,
    ),
    "minimal-pairs": Command(
        "Grammatical against ungrammatical sentences (BLiMP's format), clean and perturbed.",
        minimal_pairs.add_arguments,
        lambda predictor, options: minimal_pairs.run(predictor, options, _progress()),
        minimal_pairs.lines,
        minimal_pairs.table,
        seed=minimal_pairs.MinimalPairSettings.seed,
    ),
    "paper": Command(
        "The paper's own spelling test: intervals of its published rows. It reads no model.",
        lambda parser: None,
        lambda predictor, options: paper.paper_robustness(options.seed),
        paper.lines,
        paper.table,
        seed=paper.SEED,
    ),
    "sweep": declared(
        "Every kind of misspelling at every strength.",
        sweep.SweepSettings,
        sweep.sweep,
        _sweep_lines,
        tables.sweep_rows,
    ),
    "recovery": declared(
        "How long a typo affects the models, in tokens.",
        recovery.RecoverySettings,
        recovery.recovery,
        _recovery_lines,
        tables.recovery_rows,
    ),
    "sensitivity": declared(
        "Every word of a text misspelled in turn.",
        sensitivity.SensitivitySettings,
        sensitivity.sensitivity,
        _sensitivity_lines,
        tables.sensitivity_rows,
    ),
    "generate": Command(
        "Continue a text with both arms, from the same random numbers (section 6.12).",
        _generate_arguments,
        _run_generate,
        _generate_lines,
        tables.generation_rows,
        seed=GenerationSettings.seed,
    ),
    "echo": declared(
        "How often a continuation repeats a string that no model has seen (section 6.12).",
        echo.EchoSettings,
        echo.echo,
        echo.lines,
        tables.echo_rows,
    ),
    "layers": Command(
        "The nearest words of a word at every depth of both arms (section 6.8); nothing is random.",
        lambda parser: None,
        lambda predictor, options: layers.layers(predictor, _progress()),
        layers.lines,
        tables.layer_rows,
    ),
    "inside": declared(
        "Follow one misspelling through both networks: patching, logit lens, attention, bytes.",
        inside.InsideSettings,
        inside.inside,
        insides.lines,
        insides.rows,
    ),
    "inside-pairs": Command(
        "Where in the network the damage of a misspelling is undone, over many pairs.",
        _pairs_argument,
        lambda predictor, options: inside.survey(
            predictor, load_pairs(options.pairs), seed=options.seed, progress=_progress()
        ),
        insides.survey_lines,
        insides.survey_rows,
        seed=inside.SurveySettings.seed,
    ),
    "table": Command(
        "The cross-model probe on any model's table (section 6).",
        cross_model.add_arguments,
        lambda predictor, options: cross_model.run(predictor, options, _progress()),
        cross_model.lines,
        tables.cross_model_rows,
        seed=TableSettings.seed,
    ),
}
