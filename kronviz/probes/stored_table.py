"""The cross-model probe of a pair's own table, measured once and stored beside its weights.

    python -m kronviz.probes.stored_table checkpoints/tiny

The stored result records the weights that it was measured on; `stored_table` returns nothing for
others.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from kronviz.checkpoint_files import CheckpointError, fingerprints
from kronviz.predictor import Predictor
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.probe import compare_table
from kronviz.probes.cross_model.report import CrossModelReport
from kronviz.probes.stored import read_stored
from kronviz.results import to_json

FILE = "table.json"


@dataclass(frozen=True)
class StoredTable:
    """A stored report, and what it was measured on.

    Attributes:
        weights: fingerprint of the weights by arm, see `kronviz.checkpoint_files.fingerprint`.
        command: the command that repeats the measurement.
    """

    weights: dict[str, str]
    command: str
    report: CrossModelReport


def store_table(pair_dir: Path) -> StoredTable:
    """Measure a pair's learned table and store ``table.json`` beside the weights.

    Raises:
        CheckpointError: the pair cannot be loaded.
    """
    predictor = Predictor.load(pair_dir)
    made = StoredTable(
        fingerprints(pair_dir),
        f"python -m kronviz.probes table --pair {pair_dir.name} --seed 1",
        compare_table(*own_table(predictor), source=f"{predictor.pair}, bpe"),
    )
    (pair_dir / FILE).write_text(to_json(made, indent=1) + "\n", encoding="utf-8")
    return made


def stored_table(pair_dir: Path) -> StoredTable | None:
    """Return the stored report; ``None`` if there is none of these weights.

    Raises:
        CheckpointError: the file is damaged.
    """
    return read_stored(StoredTable, pair_dir / FILE, pair_dir, "stored_table")


def main() -> None:
    """Measure a pair's table and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pair", type=Path, help="folder of a pair, such as checkpoints/tiny")
    try:
        store_table(parser.parse_args().pair)
    except CheckpointError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
