"""Token files, and which of their windows a step reads.

Notable:

- The rows of a step are a pure function of (configuration, step): there is no position to save,
  a resumed run reads what an uninterrupted one would have read, and both arms read the same.
- A source is read in windows without overlap, reshuffled and shifted again in each epoch.
- A folder without ``val.npy`` holds validation text all the same: the last tenth of each source,
  which is then left out of training.
- A folder knows its vocabulary (``data.json``, written by `prepare`), and `run_config` takes it and
  the sources from there: your own text needs no setting of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kronviz.errors import InputError
from kronviz.lines import short_name
from kronviz.tokenizer import load_tokenizer
from kronviz.training.configs import TrainConfig, load_config

VALIDATION = "val"
"""Name of the source that is read for validation alone."""
MANIFEST = "data.json"
HELD_OUT = 0.1
"""Share of each source that is held out for validation where there is no such source."""


class TokenFiles:
    """The token files of a folder, as `prepare` wrote them: ``<source>.npy``, one row of ids.

    Attributes:
        sources: ids of each training source of the configuration.
        val: ids of the validation text.

    Raises:
        InputError: a file is missing or damaged, or too short for one window of ``n_ctx`` tokens.
    """

    def __init__(self, folder: Path, config: TrainConfig):
        self.config = config
        self.sources = {name: _open(folder, name) for name in dict.fromkeys(config.mixture)}
        self.val = validation_ids(folder, list(self.sources))
        if not (folder / f"{VALIDATION}.npy").is_file():
            self.sources = {name: _parted(ids)[0] for name, ids in self.sources.items()}
        shortest = min(self.sources, key=lambda name: len(self.sources[name]))
        # A window more than is read, for the windows of an epoch are shifted.
        for name, ids, windows in (
            (shortest, self.sources[shortest], 2),
            ("the validation text", self.val, 1),
        ):
            if len(ids) <= windows * config.n_ctx:
                raise InputError(
                    f"{short_name(name)} has {len(ids):,} tokens; windows of {config.n_ctx:,} need "
                    f"more than {windows * config.n_ctx:,}. Prepare more text, or set a smaller "
                    "n_ctx."
                )

    def rows(self, step: int) -> NDArray[np.int64]:
        """Return all rows of one step: int64, shape ``(batch_size, n_ctx + 1)``."""
        config = self.config
        cycle = len(config.mixture)
        rows = []
        for number in range(step * config.batch_size, (step + 1) * config.batch_size):
            turn, place = divmod(number, cycle)
            source = config.mixture[place]
            share = config.mixture.count(source)
            rows.append(self._window(source, turn * share + config.mixture[:place].count(source)))
        return np.stack(rows).astype(np.int64)

    def _window(self, source: str, number: int) -> NDArray[np.integer]:
        tokens, length = self.sources[source], self.config.n_ctx
        windows = (len(tokens) - 1) // length - 1
        epoch, place = divmod(number, windows)
        order, shift = _epoch(self.config.seed, source, epoch, windows, length)
        start = order[place] * length + shift
        return tokens[start : start + length + 1]

    def counts(self, ids: int) -> NDArray[np.int64]:
        """Return how often a pass over the mixture holds each of so many ids: ``(ids,)``."""
        found = np.zeros(ids)
        for source in self.config.mixture:
            tokens = self.sources[source]
            found += np.bincount(tokens, minlength=ids) * (1e9 / len(tokens))
        return found.round().astype(np.int64)

    def val_rows(self, count: int) -> NDArray[np.int64]:
        """Return the validation windows without overlap: the first ``count`` spread evenly, or all
        (0).
        """
        length = self.config.n_ctx
        windows = (len(self.val) - 1) // length
        chosen = np.arange(windows)
        if 0 < count < windows:
            chosen = chosen[np.linspace(0, windows - 1, count).astype(int)]
        return np.stack([self.val[i * length : (i + 1) * length + 1] for i in chosen]).astype(
            np.int64
        )


@functools.lru_cache(maxsize=16)
def _epoch(
    seed: int, source: str, epoch: int, windows: int, length: int
) -> tuple[NDArray[np.int64], int]:
    random = np.random.default_rng([seed, epoch, *source.encode()])
    return random.permutation(windows), int(random.integers(length))


def validation_ids(folder: Path, names: Sequence[str] = ()) -> NDArray[np.integer]:
    """Return the ids of a folder's validation text: ``val.npy``, or what is held out of sources.

    Args:
        names: the sources that something is held out of; all of the folder if empty.
    """
    if (folder / f"{VALIDATION}.npy").is_file():
        return _open(folder, VALIDATION)
    names = names or sources(folder)
    return np.concatenate([_parted(_open(folder, name))[1] for name in names])


def sources(folder: Path) -> list[str]:
    """Return the names of a folder's training sources. `InputError` if it has none."""
    found = sorted(path.stem for path in folder.glob("*.npy") if path.stem != VALIDATION)
    if not found:
        raise InputError(
            f"There is no training text in {short_name(str(folder))}; make token files with "
            "python -m kronviz.training.prepare."
        )
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what `prepare` noted about a folder: ``vocabulary`` and, for each source, ``texts``.

    A folder without a note, or with one that is not JSON object, gives an empty dict.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def run_config(name: str, overrides: Sequence[str], folder: Path) -> TrainConfig:
    """Return a configuration as it is run on a folder of token files.

    The vocabulary is the one that the folder was prepared with. The mixture is the configuration's
    where all its sources are there, else every source of the folder, each as often as another;
    what ``overrides`` set stays. What differs from the configuration is printed.

    Raises:
        InputError: as `load_config`; the folder has no source, or another vocabulary than asked.
    """
    config = load_config(name, overrides)
    asked = {override.partition("=")[0] for override in overrides}
    there = sources(folder)
    vocabulary = read_manifest(folder).get("vocabulary", config.vocabulary)
    if vocabulary != config.vocabulary:
        if "vocabulary" in asked:
            raise InputError(
                f"{short_name(str(folder))} was prepared with {vocabulary}; prepare another folder "
                f"with --vocabulary {config.vocabulary}."
            )
        _note(f"vocabulary {vocabulary}, with which {folder} was prepared")
        config = dataclasses.replace(config, vocabulary=vocabulary)
        if config.scored >= load_tokenizer(vocabulary).n_vocab:
            config = dataclasses.replace(config, frequent=0, scored=0)
    if "mixture" not in asked and not set(config.mixture) <= set(there):
        _note(f"mixture {', '.join(there)}: the text in {folder}")
        config = dataclasses.replace(config, mixture=tuple(there))
    return config


def _note(what: str) -> None:
    print(f"Taken in place of the configuration's: {what}.", file=sys.stderr)


def _parted(ids: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return a source's ids for training and for validation, where it serves for both."""
    cut = len(ids) - int(len(ids) * HELD_OUT)
    return ids[:cut], ids[cut:]


def _open(folder: Path, name: str) -> NDArray[np.integer]:
    path = folder / f"{name}.npy"
    if not path.is_file():
        raise InputError(
            f"There is no token file {short_name(path.name)} in {short_name(str(folder))}; make it "
            "with python -m kronviz.training.prepare."
        )
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError):
        ids = np.empty(0)
    if ids.ndim != 1 or ids.dtype not in (np.uint16, np.uint32):
        raise InputError(
            f"The token file {short_name(path.name)} is damaged; delete it and prepare it again."
        )
    return ids


def split(rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the rows as inputs and targets, each ``(batch, n_ctx)``, on a device."""
    tensor = torch.from_numpy(rows).to(device, non_blocking=True)
    return tensor[:, :-1], tensor[:, 1:]
