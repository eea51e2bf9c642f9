"""Export a finished run to what the app loads: int8 shards, log, losses and a model card.

    python -m kronviz.training.export --runs runs/tiny --out checkpoints/tiny

The configuration comes from the runs. The validation text is that of the runs' token files;
``--text`` names another.
Matrices become int8 if that changes the validation loss by less than 0.005 nats, and otherwise stay
float32; ``config.json`` and the card say which.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kronviz import cli
from kronviz.arms import ARMS
from kronviz.checkpoint import load_arm, save_arm
from kronviz.checkpoint_files import LOG, PAIR, read_config, read_log
from kronviz.errors import InputError
from kronviz.lines import decode_text, read_bytes, short_name
from kronviz.model import GPT, parameter_count
from kronviz.training.card import model_card
from kronviz.training.configs import CONFIGS, TrainConfig
from kronviz.training.data import validation_ids
from kronviz.training.evaluate import validate, validation_tokens
from kronviz.training.runs import load_exported, read_run, read_state

LARGEST_INT8_LOSS = 0.005


def trained_model(config: TrainConfig, arm: str, run: Path) -> GPT:
    """Return the model of a run's state, in evaluation mode.

    Raises:
        InputError: the state is missing, damaged, or of another configuration.
    """
    tensors = read_state(run)[1]
    model = GPT(config.model(arm)).eval()
    try:
        load_exported(model, tensors)
    except (KeyError, RuntimeError):
        raise InputError(
            f"The state of the run {short_name(str(run))} does not match its config.json; train "
            "it again."
        ) from None
    return model


def export_arm(run: Path, text: Path | None, folder: Path) -> None:
    """Write one arm's checkpoint folder, without its card.

    Args:
        run: the run's folder.
        text: validation text; that of the run's token files if ``None``.
        folder: the folder to write.

    Raises:
        InputError: the run or the text cannot be used.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    about_run = read_run(run)
    config, arm = about_run.config, about_run.arm
    model = trained_model(config, arm, run)
    if text is None:
        tokens: NDArray[np.integer] = validation_ids(about_run.data, config.mixture)
    else:
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
        "input_parameters": parameter_count(model.wte),
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


def export_arms(
    runs: Path, text: Path | None, out: Path, sources: str, arms: Sequence[str] = PAIR
) -> None:
    """Write the checkpoint folders of arms with their cards.

    Args:
        runs: folder with the training runs, such as ``bpe/`` and ``kron/``.
        text: validation text; that of the runs' token files if ``None``.
        out: the pair's folder; for other arms, bpe and kron must be in it already.
        sources: the training text and its licences, as Markdown for the cards.

    Raises:
        InputError: a run is missing or damaged, or the text cannot be used.
    """
    for arm in arms:
        read_state(runs / arm)
    for arm in PAIR:
        if arm not in arms:
            read_config(out / arm)
    for arm in arms:
        export_arm(runs / arm, text, out / arm)
    for arm in arms:
        (out / arm / "README.md").write_text(model_card(out, arm, sources), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", help=argparse.SUPPRESS)  # The runs hold it.
    parser.add_argument("--runs", type=Path, required=True, help="folder of the arms' runs")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=PAIR, metavar="ARM")
    parser.add_argument("--text", type=Path, help="validation text; else that of the token files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pair")
    parser.add_argument("--sources", type=Path, help="Markdown on the training text, for the card")
    arguments = parser.parse_args()
    cli.check_output_folder(arguments.out)
    own, first = arguments.sources, arguments.runs / arguments.arms[0]
    sources = decode_text(read_bytes(own), own.name) if own else card_sources(first)
    export_arms(arguments.runs, arguments.text, arguments.out, sources, arguments.arms)


def card_sources(run: Path) -> str:
    """Describe the training text for a card: ours, or the names of other files."""
    config = read_run(run).config
    ours = CONFIGS.get(config.name)
    if ours is not None and config.mixture == ours.mixture:
        return SOURCES.read_text(encoding="utf-8")
    # No name of a file may be read as Markdown or HTML.
    names = (short_name(name).replace("`", "ˋ") for name in dict.fromkeys(config.mixture))
    return f"Token files: {', '.join(f'`{name}`' for name in names)}."


SOURCES = Path(__file__).resolve().parent / "sources.md"

if __name__ == "__main__":
    cli.run(main)
