"""Draw and store all maps of a pair: ``python -m kronviz.maps --pair tiny``.

The same weights give the same files on the same kind of processor; on another kind, sums round
differently and UMAP draws another picture of the same neighbours. ``--check`` redraws all maps
without storing them and says whether the stored ones are identical or, if not, how faithful they
are. ``--families`` draws nothing and prints the figures of the probe families.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from kronviz import cli
from kronviz.maps.lookup import family_figures
from kronviz.maps.spaces import space_of, spaces
from kronviz.maps.store import (
    MAPS,
    Map,
    MapError,
    draw_map,
    map_file,
    read_map,
    write_map,
)
from kronviz.predictor import Predictor


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the maps that the arguments name.

    Returns:
        0; 1 if ``--check`` finds a stored map that differs; 2 if there is no such pair or space.
    """
    return cli.status(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kronviz.maps", description=__doc__)
    parser.add_argument("--pair", default="tiny", help="name or folder of a pair of models")
    parser.add_argument("--space", action="append", help="only this map; can be repeated")
    parser.add_argument("--whole", action="store_true", help="GPT-2's whole vocabulary, too")
    parser.add_argument("--missing", action="store_true", help="only maps missing for the weights")
    parser.add_argument("--check", action="store_true", help="only compare with the stored maps")
    parser.add_argument("--families", action="store_true", help="print the families' figures")
    parser.add_argument("--out", type=Path, default=MAPS, help="folder to store maps in")
    options = parser.parse_args(arguments)
    cli.check_output_folder(options.out)
    predictor = Predictor.load(options.pair, device="cpu")
    names = options.space or [s.name for s in spaces(predictor) if options.whole or not s.whole]
    if options.families:
        for name in names:
            print("\n".join(_figures(predictor, name)))
        return 0
    return _draw_all(predictor, names, options)


def _figures(predictor: Predictor, name: str) -> list[str]:
    lines = [f"{name:11} tokens  family  typographic  morphological  other"]
    for one in family_figures(predictor, name):
        shares = one.shares
        lines.append(
            f"  {one.family:9} {one.tokens:6}  {one.in_family:6.1%}  {shares.typographic:11.1%}  "
            f"{shares.morphological:13.1%}  {shares.other:5.1%}"
        )
    return lines


def _draw_all(predictor: Predictor, names: Sequence[str], options: argparse.Namespace) -> int:
    started, size, others = time.perf_counter(), 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) if options.check else options.out
        for name in names:
            # First, because a map drawn by this process hides the stored one.
            before = _stored(predictor, name, options.out) if options.check else ""
            drawn, how = _drawn(predictor, name, options.out if options.missing else None)
            path = write_map(predictor, drawn, out)
            if options.check:
                stored = map_file(predictor, space_of(predictor, name), options.out)
                same = stored.is_file() and stored.read_bytes() == path.read_bytes()
                how += ", as stored" if same else f", NOT as stored: {before}"
                others += not same
            size += path.stat().st_size
            print(f"{_line(drawn, path.stat().st_size)}  {how}", flush=True)
    seconds = time.perf_counter() - started
    print(f"{len(names)} maps in {seconds:.0f} s, {size / 1000:,.0f} kB")
    return int(others > 0)


def _stored(predictor: Predictor, name: str, folder: Path) -> str:
    """Return a phrase on how faithful the stored map of a space is."""
    try:
        measured = read_map(predictor, name, folder).facts.faithfulness
    except MapError as error:
        return str(error)
    return f"trustworthiness {measured.trustworthiness:.3f}, overlap {measured.overlap:.3f} there"


def _drawn(predictor: Predictor, name: str, folder: Path | None) -> tuple[Map, str]:
    """Return the map of a space, and how it was obtained: from ``folder`` if it has one of these
    weights, else drawn.
    """
    if folder is not None:
        try:
            return read_map(predictor, name, folder), "kept"
        except MapError:
            pass
    started = time.perf_counter()
    drawn = draw_map(predictor, name)
    return drawn, f"drawn in {time.perf_counter() - started:5.1f} s"


def _line(drawn: Map, size: int) -> str:
    measured = drawn.facts.faithfulness
    return (
        f"{drawn.facts.space:11} {len(drawn.points):6,} tokens  "
        f"trustworthiness {measured.trustworthiness:.3f}  "
        f"{measured.k}-neighbour overlap {measured.overlap:.3f} (of {measured.asked:,})  "
        f"{size / 1000:6.1f} kB"
    )


if __name__ == "__main__":
    raise SystemExit(main())
