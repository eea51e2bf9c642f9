"""Token files, and the windows of them that each step reads.

Notable:

- The rows of a step depend only on (configuration, step): there is no position to save,
  a resumed run reads what an uninterrupted one would have read, and both arms read the same.
- A source is read in windows without overlap, shifted and reshuffled in each epoch.
- Without ``val.npy``, the last tenth of each source is the validation text and is left out of
  training.
- A folder records its vocabulary (``data.json``, written by `prepare`). `run_config` takes the
  vocabulary and the sources from there, so your own text needs no extra settings.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
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
"""Name of the source that is read only for validation."""
MANIFEST = "data.json"
HELD_OUT = 0.1
"""Share of each source that is held out for validation if there is no such source."""


class TokenFiles:
    """The token files of a folder as written by `prepare`: ``<source>.npy``, one row of ids each.

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
        # One window more than an epoch reads, because the windows are shifted.
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
        """Count each of the first ``ids`` ids in one pass over the mixture: int64, ``(ids,)``."""
        counts = np.zeros(ids)
        for source in self.config.mixture:
            tokens = self.sources[source]
            counts += np.bincount(tokens, minlength=ids) * (1e9 / len(tokens))
        return counts.round().astype(np.int64)

    def val_rows(self, count: int) -> NDArray[np.int64]:
        """Return ``count`` validation windows without overlap, spread evenly over the text, or all
        if ``count`` is 0.
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
    random = np.random.default_rng([seed, epoch, *os.fsencode(source)])
    return random.permutation(windows), int(random.integers(length))


def validation_ids(folder: Path, names: Sequence[str] = ()) -> NDArray[np.integer]:
    """Return the ids of a folder's validation text: ``val.npy``, or the held-out part of sources.

    Args:
        names: the sources with a held-out part; every source of the folder if empty.
    """
    if (folder / f"{VALIDATION}.npy").is_file():
        return _open(folder, VALIDATION)
    names = names or sources(folder)
    return np.concatenate([_parted(_open(folder, name))[1] for name in names])


def sources(folder: Path) -> list[str]:
    """Return the names of a folder's training sources; `InputError` if it has none."""
    names = sorted(path.stem for path in folder.glob("*.npy") if path.stem != VALIDATION)
    if not names:
        raise InputError(
            f"There is no training text in {short_name(str(folder))}; make token files with "
            "python -m kronviz.training.prepare."
        )
    return names


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the ``vocabulary`` and the ``texts`` of a folder, as `prepare` recorded them.

    Without a record, or if it is not a JSON object, the result is an empty dict.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def run_config(name: str, overrides: Sequence[str], folder: Path) -> TrainConfig:
    """Return a configuration adapted to a folder of token files, and print what was adapted.

    The vocabulary is the one that the folder was prepared with. The mixture is the configuration's
    if the folder has all its sources, else every source of the folder equally often. What
    ``overrides`` set stays.

    Raises:
        InputError: as in `load_config`, or the folder has no source or not the requested
            vocabulary.
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
        _note(f"vocabulary {vocabulary}, used when {folder} was prepared")
        config = dataclasses.replace(config, vocabulary=vocabulary)
        if config.scored >= load_tokenizer(vocabulary).n_vocab:
            config = dataclasses.replace(config, frequent=0, scored=0)
    if "mixture" not in asked and not set(config.mixture) <= set(there):
        _note(f"mixture {', '.join(map(short_name, there))}: the text in {folder}")
        config = dataclasses.replace(config, mixture=tuple(there))
    return config


def _note(what: str) -> None:
    print(f"Instead of the configuration's: {what}.", file=sys.stderr)


def _parted(ids: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Split a source that serves for both into its ids for training and for validation."""
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
    """Return the inputs and the targets of rows, each ``(batch, n_ctx)``, on a device."""
    tensor = torch.from_numpy(rows).to(device, non_blocking=True)
    return tensor[:, :-1], tensor[:, 1:]
