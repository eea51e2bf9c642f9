"""Train many arms with several seeds, and keep one small result file for each run.

    python -m kronviz.training.study --config tiny-seeds --data data/tiny --out checkpoints/arms

Notable:

- Runs are ordered by seed, then by arm: after the first seed every arm can be compared.
- A run with a result file is not repeated, and an interrupted run continues from its last state:
  the same command resumes a study on any machine that has the files.
- On CPUs one run per core trains at once, with one thread each; on a GPU several share it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from kronviz.arms import ARMS
from kronviz.checkpoint_files import read_log
from kronviz.training.configs import TrainConfig, add_config_arguments, load_config
from kronviz.training.pair import KEEP_MEMORY
from kronviz.training.runs import STATE

AT_ONCE = 4
"""Number of runs that share a GPU: one model of this size does not fill it."""


@dataclass(frozen=True)
class Run:
    """One run of a study: an arm, and overrides of a configuration.

    Attributes:
        config: a name in `configs.CONFIGS`.
        overrides: ``field=value``, including the seed.
    """

    config: str
    arm: str
    overrides: tuple[str, ...]

    @property
    def settings(self) -> TrainConfig:
        """Return the configuration with its overrides."""
        return load_config(self.config, list(self.overrides))

    @property
    def name(self) -> str:
        """Name of its folder and its file: arm, optimizer, rates, steps, start and seed."""
        s = self.settings
        start = f"-init{s.init_std:g}" if s.init_std else ""
        share = f"-in{s.input_rate:g}" if s.input_rate != 1 else ""
        return f"{self.arm}-{s.optimizer}-{s.adam_lr:g}-{s.steps}{start}{share}-s{s.seed}"


def planned(
    config: str, arms: Sequence[str], seeds: Sequence[int], overrides: Sequence[str]
) -> list[Run]:
    """List the runs of a study: every arm with the first seed, then with the next."""
    return [Run(config, arm, (*overrides, f"seed={seed}")) for seed in seeds for arm in arms]


def train(run: Run, data: Path, runs: Path, out: Path) -> bool:
    """Train one run in its own process and write its result file; return False if it failed."""
    result, folder = out / run.config / f"{run.name}.json", runs / run.config / run.name
    if result.exists():
        return True
    command = [sys.executable, "-m", "kronviz.training.train", "--config", run.config]
    command += ["--arm", run.arm, "--data", str(data), "--out", str(folder)]
    on_cpu = not torch.cuda.is_available()
    environment = os.environ | (KEEP_MEMORY | {"OMP_NUM_THREADS": "1"} if on_cpu else {})
    if subprocess.run([*command, "--set", *run.overrides], env=environment).returncode:
        return False
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(summary(run, folder), indent=1) + "\n")
    return True


def summary(run: Run, folder: Path) -> dict[str, Any]:
    """Collect the results of a finished run from its log and its state.

    Returns:
        ``arm``, ``seed``, ``config``, ``parameters`` and ``input_parameters`` (trained parameters
        of the model and of its input embedding), ``val_loss`` in nats per token, ``tokens``,
        ``seconds``, and ``curve``: ``[tokens, val_loss]`` at every validation.
    """
    log = read_log(folder)
    with safe_open(folder / STATE, "pt") as file:
        sizes = {
            name: file.get_slice(name).get_shape()
            for name in file.keys()  # noqa: SIM118
            if name.startswith("model.")
        }
    count = {name: int(torch.Size(shape).numel()) for name, shape in sizes.items()}
    last = log[-1]
    return {
        "arm": run.arm,
        "seed": run.settings.seed,
        "val_loss": last["val_loss"],
        "tokens": last["tokens"],
        "seconds": last["seconds"],
        "parameters": sum(count.values()),
        "input_parameters": sum(n for name, n in count.items() if name.startswith("model.wte.")),
        "curve": [[r["tokens"], r["val_loss"]] for r in log if "val_loss" in r],
        "config": dataclasses.asdict(run.settings),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_config_arguments(parser, "--seeds", "--data")
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for states")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--workers", type=int, help="number of runs at once")
    arguments = parser.parse_args()
    runs = planned(arguments.config, arguments.arms, arguments.seeds, arguments.set)
    on_cpu = not torch.cuda.is_available()
    workers = arguments.workers or ((os.cpu_count() or 1) if on_cpu else AT_ONCE)
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda run: train(run, arguments.data, arguments.runs, arguments.out), runs)
        failed = [run.name for run, right in zip(runs, done, strict=True) if not right]
    if failed:
        sys.exit(f"These runs failed: {', '.join(failed)}. Run the same command again.")


if __name__ == "__main__":
    main()
