"""From a finished run to what the app loads: int8 shards, log, losses and a model card.

    python -m kronviz.training.export --config tiny --runs runs/tiny --text val.jsonl.xz \
        --out checkpoints/tiny

Matrices become int8 where that moves the validation loss by less than 0.005 nats, and stay
float32 where it does not; which it was stands in ``config.json`` and in the card.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from kronviz.checkpoint import ARMS, LOG, load_arm, read_log, save_arm
from kronviz.model import GPT, parameter_count
from kronviz.training.card import model_card
from kronviz.training.configs import TrainConfig, load_config
from kronviz.training.evaluate import validate, validation_tokens
from kronviz.training.train import STATE, load_weights

LARGEST_INT8_LOSS = 0.005


def trained_model(config: TrainConfig, arm: str, run: Path) -> GPT:
    """The model of a training state, in evaluation mode."""
    model = GPT(config.model(arm)).eval()
    load_weights(model, load_file(run / STATE))
    return model


def export_arm(config: TrainConfig, arm: str, run: Path, text: Path, folder: Path) -> None:
    """Write one arm's checkpoint folder, without its card."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = trained_model(config, arm, run)
    tokens = validation_tokens(text, config.vocabulary)
    exact = validate(model.to(device), tokens)
    model.cpu()
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch) / config.name / arm
        save_arm(model, trial)
        stored = validate(load_arm(trial).to(device), tokens)
    int8 = abs(stored.loss - exact.loss) < LARGEST_INT8_LOSS
    log = read_log(run)
    about: dict[str, Any] = {
        "parameters": parameter_count(model),
        "input_parameters": model.input_weight().numel(),
        "validation": dataclasses.asdict(stored if int8 else exact),
        "validation_float32": dataclasses.asdict(exact),
        "training": {
            **dataclasses.asdict(config),
            "tokens": int(log[-1]["tokens"]),
            "seconds": log[-1]["seconds"],
        },
    }
    save_arm(model, folder, about, int8=int8)
    shutil.copy(run / LOG, folder / LOG)
    print(json.dumps({"arm": arm, "int8": int8, **about["validation"]}), flush=True)


def export_pair(config: TrainConfig, runs: Path, text: Path, out: Path, sources: str) -> None:
    """Write both arms' checkpoint folders and their cards.

    Args:
        runs: folder with the training runs ``bpe/`` and ``kron/``.
        sources: what the training text is and its licences, as Markdown for the cards.
    """
    for arm in ARMS:
        export_arm(config, arm, runs / arm, text, out / arm)
    for arm in ARMS:
        (out / arm / "README.md").write_text(model_card(out, arm, sources))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="the validation text")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sources", type=Path, help="Markdown on the training text, for the card")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    sources = arguments.sources.read_text() if arguments.sources else SOURCES.read_text()
    export_pair(config, arguments.runs, arguments.text, arguments.out, sources)


SOURCES = Path(__file__).resolve().parent / "sources.md"

if __name__ == "__main__":
    main()
