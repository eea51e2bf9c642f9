"""Make a whole pair with one command: prepare, train, evaluate, export, and locate the gap.

    python -m kronviz.training.pair --config tiny --text FOLDER
    python -m kronviz.training.pair --config tiny --text FOLDER --arms ngram-words

``FOLDER`` holds the text files that the configuration's mixture names, or your own text. It also
holds ``val.jsonl.xz``; without it, a tenth of the text is kept for validation.
Finished work is not repeated: if the command is killed, run it again and it continues.
``--arms`` names others of `kronviz.arms`; each is trained like the pair and exported beside it.

On CPUs the arms train side by side, each on its share of the cores, because two small models on
one core each are faster than one on two. On a GPU they train one after the other.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from kronviz import cli
from kronviz.checkpoint_files import PAIR
from kronviz.errors import InputError
from kronviz.lines import short_name
from kronviz.training.configs import add_config_arguments, load_config
from kronviz.training.data import VALIDATION, validation_ids
from kronviz.training.export import card_sources, export_arms
from kronviz.training.prepare import prepare, source_name
from kronviz.training.rarity import write_rarity
from kronviz.training.runs import read_run

# glibc returns large buffers to the system after each use and maps fresh pages each time; keeping
# them makes a step on a CPU a third faster.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "MALLOC_TOP_PAD_": str(1 << 28),
}


def text_files(folder: Path, mixture: tuple[str, ...]) -> list[Path]:
    """Return a folder's text files of a mixture, or else all of them, and its validation text.

    Raises:
        InputError: there is no text.
    """
    endings = (".jsonl.xz", ".jsonl", ".txt", ".txt.xz")
    there: dict[str, Path] = {}
    for path in sorted(folder.iterdir() if folder.is_dir() else []):
        if path.name.endswith(endings) and path.is_file():
            there.setdefault(source_name(path), path)
    wanted = dict.fromkeys(mixture) if set(mixture) <= set(there) else there
    texts = [there[name] for name in wanted if name != VALIDATION]
    if not texts:
        raise InputError(
            f"There is no text in {short_name(str(folder))}; its files end in {', '.join(endings)}."
        )
    return texts + ([there[VALIDATION]] if VALIDATION in there else [])


def train_arms(
    name: str, overrides: list[str], data: Path, runs: Path, arms: Sequence[str] = PAIR
) -> None:
    """Train arms, each in its own process; `InputError` if one fails."""
    on_cpu = not torch.cuda.is_available()
    threads = max(1, (os.cpu_count() or 2) // len(arms))
    environment = os.environ | (KEEP_MEMORY | {"OMP_NUM_THREADS": str(threads)} if on_cpu else {})
    processes = []
    for arm in arms:
        command = [sys.executable, "-m", "kronviz.training.train", "--config", name, "--arm", arm]
        command += ["--data", str(data), "--out", str(runs / arm), "--set", *overrides]
        processes.append(subprocess.Popen(command, env=environment))
        if not on_cpu:
            processes[-1].wait()
    if any(process.wait() for process in processes):
        raise InputError("Training of an arm failed; its message is above.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_config_arguments(parser, "--arms")
    parser.add_argument("--text", type=Path, required=True, help="folder of text files")
    parser.add_argument("--data", type=Path, help="folder for token files (data/NAME)")
    parser.add_argument("--runs", type=Path, help="folder for training states (runs/NAME)")
    parser.add_argument("--out", type=Path, help="folder for the pair (checkpoints/NAME)")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    data = arguments.data or Path("data") / config.name
    runs = arguments.runs or Path("runs") / config.name
    out = arguments.out or Path("checkpoints") / config.name
    cli.check_output_folder(out)
    prepare(text_files(arguments.text, config.mixture), config.vocabulary, data)
    arms = tuple(dict.fromkeys(arguments.arms))
    train_arms(arguments.config, arguments.set, data, runs, arms)
    export_arms(runs, None, out, card_sources(runs / arms[0]), arms)
    if set(PAIR) <= set(arms):
        write_rarity(read_run(runs / PAIR[0]).config, data, validation_ids(data), out)


if __name__ == "__main__":
    cli.run(main)
