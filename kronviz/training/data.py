"""Token files, and which of their windows a step reads.

Notable:

- The rows of a step are a pure function of (configuration, step): there is no position to save,
  a resumed run reads what an uninterrupted one would have read, and both arms read the same.
- A source is read in windows without overlap, shuffled anew and shifted anew in each epoch.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kronviz.training.configs import TrainConfig


class TokenFiles:
    """The token files of a folder, as `prepare` wrote them: ``<source>.npy``, one row of ids."""

    def __init__(self, folder: Path, config: TrainConfig):
        self.config = config
        self.sources = {name: _open(folder, name) for name in dict.fromkeys(config.mixture)}
        self.val = _open(folder, "val")

    def rows(self, step: int) -> NDArray[np.int64]:
        """All rows of one step: int64, shape ``(batch_size, n_ctx + 1)``."""
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

    def val_rows(self, count: int) -> NDArray[np.int64]:
        """Validation windows without overlap: the first ``count`` spread evenly, or all (0)."""
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


def _open(folder: Path, name: str) -> NDArray[np.integer]:
    path = folder / f"{name}.npy"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no token file {path.name} in {folder}; make it with "
            "python -m kronviz.training.prepare."
        )
    return np.load(path, mmap_mode="r", allow_pickle=False)


def split(rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows as inputs and targets, each ``(batch, n_ctx)``, on a device."""
    tensor = torch.from_numpy(rows).to(device, non_blocking=True)
    return tensor[:, :-1], tensor[:, 1:]
