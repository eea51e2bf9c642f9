"""Measure time and memory of the cross-model probe on a tall and a wide table of random numbers.

    python benchmarks/wide_tables.py tall     # 262,144 × 640 in bfloat16, 335 MB
    python benchmarks/wide_tables.py wide     # 4,000 × 16,384
    python benchmarks/wide_tables.py layout   # a point's time at d = 768 and d = 4,096

Seconds are given as wall time and as processor time, which other work on the machine affects less.
Memory is the process's peak, including Python and its libraries.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.maps.umap_layout import layout, main_axes
from kronviz.probes.cross_model import TableProbe, TableSettings, read_files

SHAPES = {"tall": (262_144, 640, 1_500), "wide": (4_000, 16_384, 4_000)}


def made(folder: Path, rows: int, dims: int) -> tuple[Path, Path]:
    """Write a table of random numbers and its tokens: syllables, with and without endings."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    stems = ("".join(parts) for n in (2, 3) for parts in itertools.product(syllables, repeat=n))
    words = (stem + ending for stem in stems for ending in ("", "s", "ing"))
    strings = [f"▁{word}" for word in itertools.islice(words, rows)]
    (folder / "tokens.json").write_text(json.dumps(strings))
    entry = {"dtype": "BF16", "shape": [rows, dims], "data_offsets": [0, rows * dims * 2]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    rng = np.random.default_rng(0)
    with (folder / "table.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for start in range(0, rows, 4096):
            part = rng.normal(size=(min(4096, rows - start), dims)).astype(np.float32)
            file.write((part.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    return folder / "table.safetensors", folder / "tokens.json"


def stages(name: str) -> None:
    """Print a line for each step of the probe."""
    rows, dims, points = SHAPES[name]
    with tempfile.TemporaryDirectory() as folder:
        files = made(Path(folder), rows, dims)
        began, worked = time.perf_counter(), time.process_time()

        def say(step: str) -> None:
            passed, own = time.perf_counter() - began, time.process_time() - worked
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{step:18} {passed:6.1f} s  {own:6.1f} s worked  {memory:.2f} GB", flush=True)

        probe = TableProbe(*read_files(*files), TableSettings())
        say("table read")
        report = probe.neighbors()
        say("first neighbours")
        report = probe.figures(None, report)
        say("figures")
        probe.lay_out(report, points)
        say(f"map of {points:,}")


def layouts() -> None:
    """Print the cost of a point at two widths, after umap-learn has compiled."""
    rng = np.random.default_rng(0)
    layout(rng.normal(size=(100, 32)))
    took = {}
    for dims in (768, 4096):
        vectors = rng.normal(size=(1_500, dims)).astype(np.float32)
        for name, run in (("axes", main_axes), ("layout", layout)):
            began = time.process_time()
            run(vectors)
            took[name, dims] = (time.process_time() - began) / len(vectors)
    for name in ("axes", "layout"):
        ratio = took[name, 4096] / took[name, 768]
        print(
            f"{name}: {1e3 * took[name, 768]:.2f} and {1e3 * took[name, 4096]:.2f} ms worked a "
            f"point, ratio {ratio:.2f}; the ratio of d is {4096 / 768:.2f}"
        )


def main() -> None:
    """Run the chosen measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*SHAPES, "layout"])
    what = parser.parse_args().what
    if what == "layout":
        layouts()
    else:
        stages(what)


if __name__ == "__main__":
    main()
