"""The continuation loss of a pair, measured once and stored beside its weights.

    python -m kronviz.probes.stored_continuation checkpoints/tiny --text handbook.jsonl --bfloat16

Notable:

- ``--bfloat16`` computes as training's own validation does. On CPUs that multiply in bfloat16 it
  takes a fraction of the time, and moves a mean by less than 0.001 nats.

- A stored result records what it was measured on: the fingerprints of the weights and the hash of
  the text. `stored_continuation` returns nothing for other weights.
- The misspelled and the perturbed contexts are two runs. The second may have fewer passages,
  because a perturbed context can have four times as many tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from kronviz.checkpoint_files import CheckpointError, beside, fingerprints
from kronviz.predictor import InputError, Predictor
from kronviz.probes.continuation import (
    Continuation,
    ContinuationSettings,
    continuation,
    lines,
)
from kronviz.probes.stored import read_stored
from kronviz.results import to_json
from kronviz.settings import add_argument

FILE = "continuation.json"


@dataclass(frozen=True)
class StoredContinuation:
    """Stored runs, and what they were measured on.

    Attributes:
        weights: fingerprint of the weights by arm, see `kronviz.checkpoint_files.fingerprint`.
        about: a sentence on the text: where to get it, and whether the models may have seen it.
        commands: the command that repeats each run, given the text's file.
        misspelled, perturbed: the runs, see `kronviz.probes.continuation.SETS`.
        precision: in which the models computed; the commands compute in float32.
    """

    weights: dict[str, str]
    about: str
    commands: dict[str, str]
    misspelled: Continuation
    perturbed: Continuation | None = None
    precision: str = "float32"


def store_continuation(
    pair_dir: Path,
    about: str,
    misspelled: Continuation,
    perturbed: Continuation | None = None,
    precision: str = "float32",
) -> StoredContinuation:
    """Store ``continuation.json`` beside the weights that the runs were measured on."""
    runs = {"misspelled": misspelled} | ({"perturbed": perturbed} if perturbed else {})
    made = StoredContinuation(
        weights=fingerprints(pair_dir),
        about=about,
        commands={name: command(name, run) for name, run in runs.items()},
        misspelled=misspelled,
        perturbed=perturbed,
        precision=precision,
    )
    beside(pair_dir, FILE).write_text(to_json(made, indent=1) + "\n", encoding="utf-8")
    return made


def command(name: str, run: Continuation) -> str:
    """Return the command that repeats a run."""
    half = f" --half {run.half}" if run.half else ""
    return (
        f"python -m kronviz.probes continuation --pair {run.pair} --text {run.text}{half} "
        f"--set {name} --passages {run.done} --seed {run.seed}"
    )


def stored_continuation(pair_dir: Path) -> StoredContinuation | None:
    """Return the stored runs; ``None`` if there are none of these weights.

    Raises:
        CheckpointError: the file is damaged.
    """
    return read_stored(StoredContinuation, beside(pair_dir, FILE), pair_dir, "stored_continuation")


def main() -> None:
    """Measure a pair and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pair", type=Path, help="folder of a pair, such as checkpoints/tiny")
    parser.add_argument("--text", type=Path, required=True, help="a text not trained on")
    parser.add_argument("--about", default="", help="a sentence on the text")
    for option, words in (("--passages", "passages"), ("--perturbed", "perturbed passages")):
        add_argument(parser, ContinuationSettings, "count", option, help=f"number of {words}")
    add_argument(parser, ContinuationSettings, "seed")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    options = parser.parse_args()
    counts = {"misspelled": options.passages, "perturbed": options.perturbed}
    try:
        predictor = Predictor.load(options.pair)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            runs = {
                name: continuation(
                    predictor,
                    options.text,
                    ContinuationSettings(count=count, conditions=name, seed=options.seed),
                )[0]
                for name, count in counts.items()
            }
        precision = "bfloat16" if options.bfloat16 else "float32"
        store_continuation(options.pair, options.about, precision=precision, **runs)
    except (CheckpointError, InputError) as error:
        raise SystemExit(str(error)) from None
    for run in runs.values():
        print(*lines(run), sep="\n")


if __name__ == "__main__":
    main()
