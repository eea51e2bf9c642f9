"""Measure the gap and its spread: several seeds of each arm at a smaller size, and a control.

    python -m kronviz.training.seeds --config tiny-seeds --data data/tiny \
        --text val.jsonl.xz --out checkpoints/tiny/seeds.json

The paper ties bpe's head to its table but not kron's, so its two arms differ in two things. The
control, ``bpe-untied``, is a learned table with a separate head; it splits the gap into the part of
the code and the part of the untied head. ``--text`` does the same for rare and frequent tokens
(`rarity`). Runs of one seed read the same batches in the same order.
Finished runs are not repeated. On CPUs one run per core trains at once, on a GPU three. With
GPT-2's vocabulary each takes about 12 GB.
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

import numpy as np
import torch
from numpy.typing import NDArray

from kronviz import cli
from kronviz.checkpoint_files import SEEDS, read_log
from kronviz.errors import InputError
from kronviz.training.configs import TrainConfig, add_config_arguments
from kronviz.training.data import run_config
from kronviz.training.evaluate import validation_tokens, validation_windows
from kronviz.training.export import trained_model
from kronviz.training.pair import KEEP_MEMORY
from kronviz.training.rarity import by_count, times_read, token_losses

AT_ONCE = 3
"""Number of runs that share a GPU: one model of this size does not fill it."""
VARIANTS = {
    "bpe": ("bpe", []),
    "kron": ("kron", []),
    "bpe-untied": ("bpe", ["untied=true"]),
}
"""For each variant: its arm, and its overrides of the configuration."""
PARTS = {"gap": ("kron", "bpe"), "head": ("bpe-untied", "bpe"), "code": ("kron", "bpe-untied")}
"""The gap and its parts, each the first variant's loss − the second's."""
EVERY = 3
"""The losses by rarity read one of this many windows of the validation text."""


def train_seeds(
    config: str, overrides: list[str], seeds: list[int], data: Path, runs: Path
) -> None:
    """Train every variant with every seed, each run in its own process and folder.

    Raises:
        InputError: a run failed; its message is on the terminal, unless it was killed.
    """
    on_cpu = not torch.cuda.is_available()
    environment = os.environ | (KEEP_MEMORY | {"OMP_NUM_THREADS": "1"} if on_cpu else {})

    def train(job: tuple[str, int]) -> str | None:
        """Train one run; return its name if it failed."""
        variant, seed = job
        name, (arm, changes) = f"{variant}-{seed}", VARIANTS[variant]
        command = [sys.executable, "-m", "kronviz.training.train", "--config", config]
        command += ["--arm", arm, "--data", str(data), "--out", str(runs / name)]
        command += ["--set", *overrides, *changes, f"seed={seed}"]
        return name if subprocess.run(command, env=environment).returncode else None

    jobs = [(variant, seed) for seed in seeds for variant in VARIANTS]
    with ThreadPoolExecutor((os.cpu_count() or 1) if on_cpu else AT_ONCE) as pool:
        failed = [name for name in pool.map(train, jobs) if name]
    if failed:
        raise InputError(
            f"Training of {', '.join(failed)} failed. Its message is above, or the system ended it "
            "because memory ran out. Run the same command to continue."
        )


def collect(config: TrainConfig, seeds: list[int], runs: Path) -> dict:
    """Collect the results of the runs in the form of ``seeds.json``."""
    results = []
    for variant in VARIANTS:
        for seed in seeds:
            last = read_log(runs / f"{variant}-{seed}")[-1]
            results.append(
                {
                    "variant": variant,
                    "seed": seed,
                    "val_loss": last["val_loss"],
                    "tokens": last["tokens"],
                    "norm": last["norm"],
                }
            )
    return {"config": dataclasses.asdict(config), "runs": results}


def by_rarity(
    config: str, overrides: list[str], seeds: list[int], data: Path, text: Path, runs: Path
) -> dict[str, list[dict]]:
    """Return the gap and its parts by how often training has read a token, averaged over the seeds.

    Returns:
        ``read``, by the token just read, and ``predicted``, by the next token: for each class
        of `by_count` its smallest count ``low``, its ``tokens``, and for each of `PARTS` the mean
        in nats and its 95% interval.
    """

    def mean(values: list[NDArray]) -> NDArray[np.float64]:
        return np.mean(values, axis=0, dtype=np.float64)

    plain = {seed: run_config(config, [*overrides, f"seed={seed}"], data) for seed in seeds}
    counts = mean([times_read(plain[seed], data) for seed in seeds]).round().astype(np.int64)
    one = plain[seeds[0]]
    windows = validation_windows(validation_tokens(text, one.vocabulary), one.n_ctx)[::EVERY]
    losses = {}
    for variant, (arm, changes) in VARIANTS.items():
        shape = run_config(config, [*overrides, *changes], data)
        folders = [runs / f"{variant}-{seed}" for seed in seeds]
        losses[variant] = mean(
            [token_losses(trained_model(shape, arm, folder), windows) for folder in folders]
        )
    sides = {}
    for side, ids in (("read", windows[:, :-1]), ("predicted", windows[:, 1:])):
        parts = {
            name: by_count(counts[ids], losses[second], losses[first])
            for name, (first, second) in PARTS.items()
        }
        sides[side] = [
            {
                "low": rows[0]["low"],
                "tokens": rows[0]["tokens"],
                **{
                    name: [row["gap"], row["gap_low"], row["gap_high"]]
                    for name, row in zip(parts, rows, strict=True)
                },
            }
            for rows in zip(*parts.values(), strict=True)
        ]
    return sides


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_config_arguments(parser, "--seeds", "--data")
    parser.add_argument("--text", type=Path, help="validation text, for the losses by rarity")
    parser.add_argument("--runs", type=Path, help="folder for training states (runs/NAME)")
    parser.add_argument("--out", type=Path, required=True, help=f"the {SEEDS} to write")
    arguments = parser.parse_args()
    cli.check_output_folder(arguments.out.parent)
    config = run_config(arguments.config, arguments.set, arguments.data)
    runs = arguments.runs or Path("runs") / config.name
    what = arguments.config, arguments.set, arguments.seeds, arguments.data
    train_seeds(*what, runs)
    results = collect(config, arguments.seeds, runs)
    if arguments.text:
        results["rarity"] = by_rarity(*what, arguments.text, runs)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    for run in results["runs"]:
        print(json.dumps(run))
    for side, classes in results.get("rarity", {}).items():
        for row in classes:
            print(json.dumps({"by": side, **row}))


if __name__ == "__main__":
    cli.run(main)
