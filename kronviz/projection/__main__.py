"""Draw and store all maps of a pair: ``python -m kronviz.projection --pair tiny``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kronviz.checkpoint import CheckpointError
from kronviz.predictor import InputError, Predictor
from kronviz.projection.maps import MAPS, MapError, draw_map, read_map, write_map
from kronviz.projection.spaces import spaces


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the maps that the arguments name; 0 when they stand, 2 when the pair does not."""
    parser = argparse.ArgumentParser(prog="python -m kronviz.projection", description=__doc__)
    parser.add_argument("--pair", default="tiny", help="name or folder of a pair of models")
    parser.add_argument("--space", action="append", help="only this map; may be given again")
    parser.add_argument("--whole", action="store_true", help="GPT-2's whole vocabulary as well")
    parser.add_argument("--missing", action="store_true", help="only what these weights lack")
    parser.add_argument("--out", type=Path, default=MAPS, help="folder that maps are stored in")
    options = parser.parse_args(arguments)
    try:
        predictor = Predictor.load(options.pair, device="cpu")
        names = options.space or [s.name for s in spaces(predictor) if options.whole or not s.whole]
        for name in names:
            print(_line(predictor, name, options.out, options.missing))
    except (CheckpointError, InputError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


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
        f"{faith.k}-neighbour overlap {faith.overlap:.3f}  {path.stat().st_size / 1000:6.1f} kB  "
        f"{how}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
