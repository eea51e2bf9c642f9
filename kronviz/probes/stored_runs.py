"""Long measurements of a pair, made once by a command and stored beside its weights.

    python -m kronviz.probes.stored_runs checkpoints/tiny

Notable:

- A stored result records what it was measured on: the fingerprints of all arms' weights, the hash
  of the texts, the seed. `stored_run` returns nothing if the weights or the texts have changed, so
  a retrained pair never shows old figures as its own.
- Outcomes of single pairs are not stored; a new run reproduces them.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from kronviz import cli
from kronviz.checkpoint_files import beside, fingerprints
from kronviz.predictor import Predictor
from kronviz.probes.commands import COMMANDS
from kronviz.probes.echo import STRINGS, EchoReport, EchoSettings, echo
from kronviz.probes.examples import Examples, choose
from kronviz.probes.inside import Survey, survey
from kronviz.probes.layers import LayerReport, layers
from kronviz.probes.pairs import OUR_PAIRS, load_pairs
from kronviz.probes.recovery import PASSAGES, Recovery, RecoverySettings, recovery
from kronviz.probes.robustness import Robustness, robustness
from kronviz.probes.stored import read_stored
from kronviz.probes.sweep import Sweep, SweepSettings, sweep
from kronviz.results import to_json

SEED = 1
ECHOED = STRINGS[:8]
CONTINUATIONS = 12
"""Continuations stored of an echo: those with the largest piece of their string."""
SENTENCES = 20
"""Sentences of a stored sweep: over a thousand texts, a few minutes for 51M parameters."""
Report = TypeVar("Report")


@dataclass(frozen=True)
class StoredRun(Generic[Report]):
    """A finished measurement, and what it was measured on.

    Attributes:
        weights: fingerprint of the weights by arm, see `kronviz.checkpoint_files.fingerprint`.
        texts: SHA-256 of the file of texts, in hexadecimal digits.
        command: the command that repeats the measurement.
        report: the figures, without the outcomes of single pairs.
        examples: pairs for the first page, chosen from the outcomes by a rule.
    """

    weights: dict[str, str]
    texts: str
    command: str
    report: Report
    examples: Examples | None = None


StoredRobustness = StoredRun[Robustness]


@dataclass(frozen=True)
class Kind:
    """A measurement that can be stored.

    Attributes:
        probe: its name in `commands.COMMANDS`.
        file: name of its file in the folder of a pair.
        report: the class of its result.
        measure: makes the result from a predictor and a seed, and examples if there are any.
        seeded: whether the figures depend on the seed.
        texts: the file whose texts it reads.
        options: other arguments of the command that repeats it.
    """

    probe: str
    file: str
    report: type
    measure: Callable[[Predictor, int], tuple[Any, Examples | None]]
    seeded: bool = True
    texts: Path = OUR_PAIRS
    options: str = ""


def _robustness(predictor: Predictor, seed: int) -> tuple[Robustness, Examples | None]:
    pairs = load_pairs()
    report = robustness(predictor, pairs, seed=seed)
    expected = {pair.id: pair.expected for pair in pairs.pairs if pair.expected}
    return replace(report, outcomes=()), choose(report.outcomes, expected)


def _survey(predictor: Predictor, seed: int) -> tuple[Survey, None]:
    return survey(predictor, load_pairs(), seed=seed), None


def _layers(predictor: Predictor, seed: int) -> tuple[LayerReport, None]:
    return layers(predictor), None


def _sweep(predictor: Predictor, seed: int) -> tuple[Sweep, None]:
    return sweep(predictor, SweepSettings(count=SENTENCES, seed=seed)), None


def _recovery(predictor: Predictor, seed: int) -> tuple[Recovery, None]:
    return recovery(predictor, RecoverySettings(seed=seed)), None


def _echo(predictor: Predictor, seed: int) -> tuple[EchoReport, None]:
    report = echo(predictor, EchoSettings(ECHOED, seed=seed))
    largest = sorted(report.runs, key=lambda run: (run.echoed, run.piece), reverse=True)
    return replace(report, runs=tuple(largest[:CONTINUATIONS])), None


ROBUSTNESS = Kind("robustness", "robustness.json", Robustness, _robustness)
INSIDE = Kind("inside-pairs", "inside.json", Survey, _survey)
LAYERS = Kind("layers", "layers.json", LayerReport, _layers, seeded=False)
SWEEP = Kind("sweep", "sweep.json", Sweep, _sweep, options=f" --count {SENTENCES}")
RECOVERY = Kind("recovery", "recovery.json", Recovery, _recovery, texts=PASSAGES)
ECHO = Kind("echo", "echo.json", EchoReport, _echo, options=f" --strings {' '.join(ECHOED)}")
KINDS = {kind.probe: kind for kind in (ROBUSTNESS, INSIDE, LAYERS, SWEEP, RECOVERY, ECHO)}
FILE = ROBUSTNESS.file


def store(pair_dir: Path, kind: Kind = ROBUSTNESS, *, seed: int = SEED) -> StoredRun[Any]:
    """Measure a pair of models and store the result beside its weights.

    Raises:
        CheckpointError: the pair cannot be loaded.
    """
    report, examples = kind.measure(Predictor.load(pair_dir), seed)
    command = f"python -m kronviz.probes {kind.probe} --pair {pair_dir.name}{kind.options}"
    made = StoredRun(
        fingerprints(pair_dir),
        _texts(kind),
        command + (f" --seed {seed}" if kind.seeded else ""),
        report,
        examples,
    )
    beside(pair_dir, kind.file).write_text(to_json(made, indent=1) + "\n", encoding="utf-8")
    return made


def stored_run(pair_dir: Path, kind: Kind = ROBUSTNESS) -> StoredRun[Any] | None:
    """Return what `keep` stored; ``None`` if there is nothing for these weights and texts.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = beside(pair_dir, kind.file)
    kind_of = StoredRun[kind.report]  # type: ignore[name-defined]
    stored: StoredRun[Any] | None = read_stored(kind_of, path, pair_dir, "stored_runs")
    return stored if stored and stored.texts == _texts(kind) else None


def _texts(kind: Kind) -> str:
    return hashlib.sha256(kind.texts.read_bytes()).hexdigest()


def main() -> None:
    """Measure and store the probes that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pair", type=Path, help="folder of a pair, such as checkpoints/tiny")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the intervals")
    parser.add_argument("--probes", nargs="+", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args()
    for name in options.probes:
        cli.check_output(beside(options.pair, KINDS[name].file))
    for name in options.probes:
        made = store(options.pair, KINDS[name], seed=options.seed)
        for line in COMMANDS[name].lines(made.report):
            print(line)


if __name__ == "__main__":
    cli.run(main)
