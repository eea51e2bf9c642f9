"""Check the test of `kronviz.probes.cross_model.belonging` on shuffled tokens.

    python benchmarks/belonging.py --vectors model.safetensors --tokens tokenizer.json

The first line is the table with its own tokens. The second summarises 200 seeded permutations,
which do not belong to the table: standard errors should have mean 0 and deviation 1, with hardly
any above the threshold. The third shifts the tokens by a few ids, as in a list of another version.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.probes.cross_model import TableProbe, TableSettings, read_files
from kronviz.probes.cross_model.belonging import THRESHOLD, belonging
from kronviz.probes.cross_model.lexicon import pairs_of

SHIFTS = (1, 2, 3, 5, 10, 50, 100, 500, 1478)


def main() -> None:
    """Print the three lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--tokens", type=Path)
    parser.add_argument("--permutations", type=int, default=200)
    options = parser.parse_args()
    table, tokens = read_files(options.vectors, options.tokens)
    view = TableProbe(table, tokens, TableSettings()).view
    rng = np.random.default_rng(1)
    kinds = ("typographic", "morphological")
    pairs = [pair for kind in kinds for pair in pairs_of(kind, view.spelling, 1000, rng)]

    def errors(ids: np.ndarray, seed: int) -> float:
        found = belonging(table.vectors, ids, pairs, view.mean, np.random.default_rng(seed))
        return found.errors if found else float("nan")

    print(f"its own tokens, {len(pairs):,} pairs: {errors(view.ids, 1):.1f} standard errors")
    dealt = np.array(
        [
            errors(np.random.default_rng(seed).permutation(view.ids), seed)
            for seed in range(options.permutations)
        ]
    )
    print(
        f"{len(dealt)} permutations: mean {dealt.mean():.2f}, deviation {dealt.std(ddof=1):.2f}, "
        f"largest {dealt.max():.2f}; {(dealt > THRESHOLD).sum()} above {THRESHOLD:g}"
    )
    shifted = [f"{shift}: {errors(np.roll(view.ids, shift), 1):.1f}" for shift in SHIFTS]
    print(f"shifted by {', '.join(shifted)}")


if __name__ == "__main__":
    main()
