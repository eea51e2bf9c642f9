"""The gap with a spread: several seeds of each arm at a smaller size, and a control.

    python -m kronviz.training.seeds --config tiny-seeds --data data/tiny \
        --out checkpoints/tiny/seeds.json

The paper ties bpe's head to its table and leaves kron's alone, so its two arms differ in two
things. The control, ``bpe-untied``, is a learned table with a head of its own: what of the gap is
the code's, and what is the untied head's? Runs of one seed read the same batches in the same order.
A run that is done is not done again; on CPUs as many run at once as there are cores, on a GPU
three.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from kronviz.checkpoint import SEEDS, read_log
from kronviz.training.configs import TrainConfig, load_config
from kronviz.training.pair import KEEP_MEMORY

AT_ONCE = 3
"""Runs that share a GPU: one model of this size does not fill it."""
VARIANTS = {
    "bpe": ("bpe", []),
    "kron": ("kron", []),
    "bpe-untied": ("bpe", ["untied=true"]),
}
"""For each variant: the arm that it is, and what it changes in the configuration."""


def train_seeds(
    config: str, overrides: list[str], seeds: list[int], data: Path, runs: Path
) -> None:
    """Train every variant with every seed, each run in a process and a folder of its own.

    Raises:
        RuntimeError: a run failed; its message is on the terminal.
    """
    on_cpu = not torch.cuda.is_available()
    environment = os.environ | (KEEP_MEMORY | {"OMP_NUM_THREADS": "1"} if on_cpu else {})

    def train(job: tuple[str, int]) -> int:
        variant, seed = job
        arm, changes = VARIANTS[variant]
        command = [sys.executable, "-m", "kronviz.training.train", "--config", config]
        command += ["--arm", arm, "--data", str(data), "--out", str(runs / f"{variant}-{seed}")]
        command += ["--set", *overrides, *changes, f"seed={seed}"]
        return subprocess.run(command, env=environment).returncode

    jobs = [(variant, seed) for seed in seeds for variant in VARIANTS]
    with ThreadPoolExecutor((os.cpu_count() or 1) if on_cpu else AT_ONCE) as pool:
        if any(pool.map(train, jobs)):
            raise RuntimeError("Training of a seed failed; its message is above.")


def collect(config: TrainConfig, seeds: list[int], runs: Path) -> dict:
    """What the runs came to, as ``seeds.json`` holds it."""
    found = []
    for variant in VARIANTS:
        for seed in seeds:
            last = read_log(runs / f"{variant}-{seed}")[-1]
            found.append(
                {
                    "variant": variant,
                    "seed": seed,
                    "val_loss": last["val_loss"],
                    "tokens": last["tokens"],
                    "norm": last["norm"],
                }
            )
    return {"config": dataclasses.asdict(config), "runs": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", required=True, help="a name of configs.py or a JSON file")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--data", type=Path, required=True, help="folder of token files")
    parser.add_argument("--runs", type=Path, help="folder for training states (runs/NAME)")
    parser.add_argument("--out", type=Path, required=True, help=f"the {SEEDS} to write")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    runs = arguments.runs or Path("runs") / config.name
    train_seeds(arguments.config, arguments.set, arguments.seeds, arguments.data, runs)
    found = collect(config, arguments.seeds, runs)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    for run in found["runs"]:
        print(json.dumps(run))


if __name__ == "__main__":
    main()
