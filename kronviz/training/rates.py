"""Does the optimizer cause the gap? Train each arm and the control at several rates and seeds.

    python -m kronviz.training.rates --config tiny-seeds --data data/tiny \
        --out checkpoints/tiny/rates.json

The shipped pairs are trained with Muon and AdamW, at rates that were tried for both arms.
nanoGPT, which the paper used for training, has only AdamW, at 0.0006 with a cosine schedule. This
trains the models of `seeds` with nanoGPT's optimizer and schedule, at its rate and higher ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kronviz import cli
from kronviz.checkpoint_files import RATES
from kronviz.training.configs import CONFIGS, add_config_arguments, load_config
from kronviz.training.data import run_config
from kronviz.training.seeds import collect, train_seeds

PAPER = CONFIGS["paper"]
TRIED = (PAPER.adam_lr, 0.0012, 0.0024, 0.0048, 0.0096)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_config_arguments(parser, "--seeds", "--data")
    parser.add_argument("--rates", nargs="*", type=float, default=TRIED)
    parser.add_argument("--runs", type=Path, help="folder for training states (runs/NAME-rates)")
    parser.add_argument("--out", type=Path, required=True, help=f"the {RATES} to write")
    arguments = parser.parse_args()
    cli.check_output_folder(arguments.out.parent)
    runs = arguments.runs or Path("runs") / f"{load_config(arguments.config).name}-rates"
    results = []
    for rate in sorted(arguments.rates):
        changes = [f"optimizer={PAPER.optimizer}", f"schedule={PAPER.schedule}"]
        changes += [f"adam_lr={rate}", *arguments.set]
        train_seeds(arguments.config, changes, arguments.seeds, arguments.data, runs / f"{rate:g}")
        config = run_config(arguments.config, changes, arguments.data)
        results.append(collect(config, arguments.seeds, runs / f"{rate:g}"))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main)
