"""Reads and writes weights: sharded safetensors, int8 with a scale for each row.

Notable:

- Safetensors only: nothing is ever unpickled.
- Matrices are stored as int8 with one float32 scale per row (``<name>.scale``), vectors as float32.
- `checkpoint_files` checks all that can be checked without PyTorch, and says what a folder holds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kronviz.checkpoint_files import (
    CONFIG,
    FORMAT,
    MAX_SHARD_BYTES,
    PIECE,
    SCALE,
    CheckpointError,
    check_fit,
    check_weights,
    label_of,
    read_config,
    stored_shapes,
)
from kronviz.embedding import KroneckerEmbedding
from kronviz.errors import Sentence
from kronviz.lines import read_bytes
from kronviz.model import GPT

SHARD_BYTES = 7_900_000
"""Most bytes of tensors in a shard; with its header it stays under 8 MB."""
_log = logging.getLogger("kronviz")


def quantise(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a matrix: return int8 values ``q`` and float32 row scales, to be multiplied as
    ``q * scale[:, None]``.
    """
    scale = tensor.float().abs().amax(1) / 127
    rounded = (tensor.float() / scale.clamp(min=1e-12)[:, None]).round()
    return rounded.to(torch.int8), scale


def save_arm(
    model: GPT, folder: Path, about: dict[str, Any] | None = None, *, int8: bool = True
) -> None:
    """Write a model's weights and ``config.json``.

    Args:
        model: the model; tied weights are written once.
        folder: created if missing; shards of an earlier save are removed.
        about: more entries for ``config.json``, such as losses and training settings.
        int8: store matrices as int8 rather than float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model-*.safetensors"):
        old.unlink()
    tensors: dict[str, Tensor] = {}
    for name, tensor in _state(model).items():
        tensor = tensor.detach().cpu().contiguous()
        if int8 and tensor.dim() == 2:
            tensors[name], tensors[name + SCALE] = quantise(tensor)
        else:
            tensors[name] = tensor.float()
    shards = list(_shards(tensors))
    hashes = {}
    for number, shard in enumerate(shards, start=1):
        path = folder / f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(shard, path)
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    config = {
        "format": FORMAT,
        "model": dataclasses.asdict(model.config),
        "storage": "int8" if int8 else "float32",
        "sha256": hashes,
        **(about or {}),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_arm(folder: Path) -> GPT:
    """Load one arm in evaluation mode, on the CPU, in float32.

    Raises:
        CheckpointError: a file is missing, damaged (its SHA-256 is not the one in ``config.json``)
            or does not fit the model's shape.
    """
    config, label = read_config(folder), label_of(folder)
    try:
        check_fit(config["model"], stored_shapes(folder, config["sha256"]), label)
        check_weights(folder, config["sha256"])
        with _SkipInit():
            model = GPT(config["model"]).eval()
        model.load_state_dict(_unpack(_stored(folder, config["sha256"])), strict=False)
        return model
    except (Sentence, KeyboardInterrupt):
        raise
    except Exception as error:
        # A crafted file may fail in ways that no list of exceptions covers.
        _log.warning("%s of checkpoint %s", type(error).__name__, label, exc_info=True)
        raise CheckpointError(
            f"The checkpoint {label} cannot be read; restore it from the repository."
        ) from None


def _stored(folder: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the tensors of all shards of an arm, as they are stored."""
    stored: dict[str, Tensor] = {}
    for name in names:
        stored |= load(read_bytes(folder / name, MAX_SHARD_BYTES))
    return stored


class _SkipInit(TorchFunctionMode):
    """A mode in which modules do not draw initial weights, because loading overwrites them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _state(model: GPT) -> dict[str, Tensor]:
    """Return a model's tensors by name, without a tied head and with projections as the reference
    stores them.
    """
    reference = {
        f"{name}.weight": {f"{name}.{key}": value for key, value in state.items()}
        for name, module in model.named_modules()
        if isinstance(module, KroneckerEmbedding)
        for state in [module.to_reference_state_dict()]
    }
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        state |= reference.get(name, {name: tensor})
    if model.lm_head.weight is model.input_weight():
        del state["lm_head.weight"]
    return state


def _shards(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Group tensors, in order, into files of at most `SHARD_BYTES`.

    A larger tensor is split by rows into pieces named ``<name>#0``, ``<name>#1`` and so on.
    """
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        pieces = {name: tensor}
        if tensor.nbytes > SHARD_BYTES:
            rows = max(1, SHARD_BYTES * len(tensor) // tensor.nbytes)
            pieces = {f"{name}{PIECE}{i}": part for i, part in enumerate(tensor.split(rows))}
        for piece, part in pieces.items():
            if shard and size + part.nbytes > SHARD_BYTES:
                yield shard
                shard, size = {}, 0
            shard[piece] = part.contiguous()
            size += part.nbytes
    if shard:
        yield shard


def _unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join the pieces of split tensors, and multiply int8 matrices by their scales."""
    pieces: dict[str, dict[int, Tensor]] = {}
    for key, tensor in stored.items():
        name, _, number = key.partition(PIECE)
        pieces.setdefault(name, {})[int(number or 0)] = tensor
    joined = {
        name: torch.cat([parts[i] for i in sorted(parts)]) if len(parts) > 1 else parts[0]
        for name, parts in pieces.items()
    }
    return {
        name: tensor * joined[name + SCALE][:, None] if name + SCALE in joined else tensor
        for name, tensor in joined.items()
        if not name.endswith(SCALE)
    }
