"""Draw and store all maps of a pair: ``python -m kronviz.projection --pair tiny``.

With ``--families`` it draws nothing and prints the probe families' figures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kronviz.checkpoint import CheckpointError
from kronviz.predictor import InputError, Predictor
from kronviz.projection.looking import family_figures
from kronviz.projection.maps import MAPS, MapError, draw_map, read_map, write_map
from kronviz.projection.spaces import spaces


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the maps that the arguments name; 0 when they stand, 2 when the pair does not."""
    parser = argparse.ArgumentParser(prog="python -m kronviz.projection", description=__doc__)
    parser.add_argument("--pair", default="tiny", help="name or folder of a pair of models")
    parser.add_argument("--space", action="append", help="only this map; may be given again")
    parser.add_argument("--whole", action="store_true", help="GPT-2's whole vocabulary as well")
    parser.add_argument("--missing", action="store_true", help="only what these weights lack")
    parser.add_argument("--families", action="store_true", help="print the families' figures")
    parser.add_argument("--out", type=Path, default=MAPS, help="folder that maps are stored in")
    options = parser.parse_args(arguments)
    try:
        predictor = Predictor.load(options.pair, device="cpu")
        names = options.space or [s.name for s in spaces(predictor) if options.whole or not s.whole]
        for name in names:
            if options.families:
                print("\n".join(_figures(predictor, name)))
                continue
            print(_line(predictor, name, options.out, options.missing))
    except (CheckpointError, InputError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _figures(predictor: Predictor, name: str) -> list[str]:
    lines = [f"{name:11} tokens  family  typographic  morphological  other"]
    for one in family_figures(predictor, name):
        shares = one.shares
        lines.append(
            f"  {one.family:9} {one.tokens:6}  {one.in_family:6.1%}  {shares.typographic:11.1%}  "
            f"{shares.morphological:13.1%}  {shares.other:5.1%}"
        )
    return lines


def _line(predictor: Predictor, name: str, out: Path, missing: bool) -> str:
    started = time.perf_counter()
    try:
        drawn = read_map(predictor, name, out) if missing else None
    except MapError:
        drawn = None
    how = "kept"
    if drawn is None:
        drawn = draw_map(predictor, name)
        how = f"drawn in {time.perf_counter() - started:5.1f} s"
    path = write_map(predictor, drawn, out)
    faith = drawn.facts.faith
    return (
        f"{name:11} {len(drawn.points):6,} tokens  trustworthiness {faith.trustworthiness:.3f}  "
        f"{faith.k}-neighbour overlap {faith.overlap:.3f} (of {faith.asked:,})  "
        f"{path.stat().st_size / 1000:6.1f} kB  "
        f"{how}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
