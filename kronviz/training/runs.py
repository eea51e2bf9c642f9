"""A run's folder: the configuration that it began with, and the state that it resumes from.

Notable:

- The configuration is in ``config.json``, so a run is resumed and exported without repeating any
  setting, and never with a different one.
- States are safetensors.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kronviz.errors import InputError
from kronviz.lines import short_name
from kronviz.model import GPT
from kronviz.training.configs import TrainConfig, config_of

STATE, RUN = "state.safetensors", "config.json"
FOLDED = "folded.wte.weight"
"""Key in a state: the input matrix to export, if a different one is trained (`arms.whitened`)."""


@dataclass(frozen=True)
class Run:
    """A run: the arm, its configuration, and the folder of token files."""

    arm: str
    config: TrainConfig
    data: Path


def read_run(folder: Path) -> Run:
    """Read the description of a run from its folder.

    Raises:
        InputError: there is no run in the folder, or its ``config.json`` is damaged.
    """
    path = folder / RUN
    name = short_name(str(folder))
    if not path.is_file() and not (folder / STATE).is_file():
        raise InputError(f"There is no training run in {name}; check the path, or train it.")
    # Version 0.1 stored a run's configuration only in its state.
    about = {} if path.is_file() else read_state(folder)[0]
    try:
        if about:
            return Run(folder.name, config_of(json.loads(about["config"])), Path())
        record = json.loads(path.read_text(encoding="utf-8"))
        return Run(str(record["arm"]), config_of(record["config"]), Path(record["data"]))
    except (ValueError, RecursionError, KeyError, TypeError):
        raise InputError(f"The file {RUN} of the run {name} is damaged; train it again.") from None


def read_state(folder: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a run's state.

    Raises:
        InputError: the run has saved no state yet, or the state is damaged.
    """
    name = short_name(str(folder))
    if not (folder / STATE).is_file():
        raise InputError(f"The run {name} has saved no state yet; train it first.")
    try:
        with safe_open(folder / STATE, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return file.metadata(), tensors
    except (SafetensorError, OSError):
        raise InputError(f"The state of the run {name} is damaged; train it again.") from None


def check_same_run(folder: Path, config: TrainConfig, arm: str) -> None:
    """Raise `InputError` if a run began with another arm or configuration."""
    if not (folder / RUN).is_file():
        return
    there = read_run(folder)
    old, new = (dataclasses.asdict(one) | {"arm": a} for one, a in
                ((there.config, there.arm), (config, arm)))  # fmt: skip
    if changed := [key for key in new if new[key] != old[key]]:
        raise InputError(
            f"The run in {short_name(str(folder))} began with {changed[0]} = "
            f"{json.dumps(old[changed[0]])}, not {json.dumps(new[changed[0]])}; give another "
            "--out, or resume it without settings."
        )


def load_weights(model: GPT, tensors: dict[str, Tensor]) -> None:
    """Copy the ``model.*`` tensors of a training state into a model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])


def load_exported(model: GPT, tensors: dict[str, Tensor]) -> None:
    """Copy a training state into a model that is to be exported."""
    load_weights(model, tensors)
    if FOLDED in tensors:
        with torch.no_grad():
            model.input_weight().copy_(tensors[FOLDED])
