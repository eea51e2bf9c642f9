"""The spelling test of a pair, measured once by a command and kept beside its weights.

    python -m kronviz.probes.kept checkpoints/tiny

Notable:

- What is kept says what it was measured on: the fingerprints of both arms' weights, the hash of the
  pairs of texts, the seed. `kept` gives nothing where any of it is no longer so: figures of a pair
  that was trained anew are never shown as its own.
- Outcomes of single pairs are left out; the run itself gives them again.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from kronviz import cli
from kronviz.checkpoint import CheckpointError, fingerprints
from kronviz.errors import InputError
from kronviz.lines import read_bytes
from kronviz.predictor import Predictor
from kronviz.probes.examples import Examples, choose
from kronviz.probes.pairs import OUR_PAIRS, load_pairs
from kronviz.probes.robustness import Robustness, robustness
from kronviz.results import from_json, to_json

FILE = "robustness.json"
SEED = 1


@dataclass(frozen=True)
class KeptRobustness:
    """A finished run over our pairs of texts, and what it was measured on.

    Attributes:
        weights: fingerprint of the weights by arm, see `kronviz.checkpoint.fingerprint`.
        texts: SHA-256 of the file of pairs, in hexadecimal digits.
        command: what measures it again.
        report: the figures, without the outcomes of single pairs.
        examples: pairs that the first page offers, chosen from the outcomes by a rule.
    """

    weights: dict[str, str]
    texts: str
    command: str
    report: Robustness
    examples: Examples | None = None


def keep(pair_dir: Path, *, seed: int = SEED) -> KeptRobustness:
    """Run our pairs through a pair of models and write ``robustness.json`` beside it.

    Raises:
        CheckpointError: the pair cannot be loaded.
    """
    pairs = load_pairs()
    report = robustness(Predictor.load(pair_dir), pairs, seed=seed)
    made = KeptRobustness(
        fingerprints(pair_dir),
        _texts(),
        f"python -m kronviz.probes robustness --pair {pair_dir.name} --seed {seed}",
        replace(report, outcomes=()),
        choose(report.outcomes, {pair.id: pair.expected for pair in pairs.pairs if pair.expected}),
    )
    (pair_dir / FILE).write_text(to_json(made, indent=1) + "\n", encoding="utf-8")
    return made


def kept(pair_dir: Path) -> KeptRobustness | None:
    """What `keep` wrote; ``None`` where nothing was, or where it was measured on something else.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = pair_dir / FILE
    if not path.is_file():
        return None
    try:
        found = from_json(KeptRobustness, read_bytes(path))
    except (ValidationError, InputError):
        raise CheckpointError(
            f"The file {FILE} of the pair {pair_dir.name} is damaged; write it again with "
            f"`python -m kronviz.probes.kept checkpoints/{pair_dir.name}`."
        ) from None
    same = found.weights == fingerprints(pair_dir) and found.texts == _texts()
    return found if same else None


def _texts() -> str:
    return hashlib.sha256(OUR_PAIRS.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pair", type=Path, help="folder of a pair, such as checkpoints/tiny")
    parser.add_argument("--seed", type=int, default=SEED, help="of the intervals")
    options = parser.parse_args()
    cli.check_output(options.pair / FILE)
    made = keep(options.pair, seed=options.seed)
    for row in made.report.metrics:
        for arm in row.arms:
            value = arm.value
            print(f"{row.metric} {arm.arm}: {value.mean:.4f} [{value.low:.4f}, {value.high:.4f}]")


if __name__ == "__main__":
    cli.run(main)
