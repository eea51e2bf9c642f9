"""Reads and writes weights: sharded safetensors, int8 with a scale for each row.

A pair is a folder ``checkpoints/<name>/`` with two arms, in ``bpe/`` and ``kron/``. Each holds:

    config.json            the model's shape, its storage format, and the losses measured
    model-00001-of-….safetensors   shards of at most 8 MB
    log.jsonl              the training log
    README.md              the model card

Beside the arms lie results, where they were measured: ``seeds.json`` (the gap with several seeds at
a smaller size), ``rates.json`` (the same with nanoGPT's optimizer at several learning rates),
``rarity.json`` (the loss by how often training read a token), ``robustness.json`` (the spelling
test, see `kronviz.probes.kept`), ``continuation.json`` (see `kronviz.probes.kept_continuation`) and
others.

Notable:

- Safetensors only: nothing is ever unpickled.
- Matrices are stored as int8 with one float32 scale per row (``<name>.scale``), vectors as float32.
- Any problem with a folder is one sentence (`CheckpointError`), so that the app can start with the
  folders that work.
- ``config.json`` and the headers of the shards, which are small, are checked before any weight is
  read: names, types and shapes that do not fit are found at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kronviz.arms import ARMS
from kronviz.embedding import KroneckerEmbedding
from kronviz.errors import InputError, Sentence
from kronviz.lines import decode_text, finite, read_bytes, short_name, split_lines
from kronviz.model import GPT, ModelConfig
from kronviz.paths import CHECKPOINTS as CHECKPOINTS
from kronviz.tokenizer import VocabularyError, vocabulary_size

PAIR = ("bpe", "kron")
"""The paper's two arms, which every pair has."""
SHARD_BYTES = 7_900_000
"""Most bytes of tensors in a shard; with its header it stays under 8 MB."""
SCALE = ".scale"
MAX_SHARD_BYTES = 16_000_000
MAX_SHARDS = 512
MAX_CONFIG = 1_000_000
"""Bytes of a ``config.json``, and of the header of a file of weights."""
MAX_LOG = 64_000_000
PIECE = "#"
CONFIG = "config.json"
LOG = "log.jsonl"
SEEDS = "seeds.json"
RATES = "rates.json"
RARITY = "rarity.json"
RARITY_EDGES = (0, 1, 10, 100, 1_000, 10_000)
"""The smallest count of each class in it; the first class is tokens that training never read."""
FORMAT = "kronviz-1"
FURTHER = "+"
"""Separates a folder's name from the name of an arm beyond its pair, as in ``tiny+ngram-words``."""
_SHARD = re.compile(r"[\w.-]{1,100}\.safetensors")
_Stored = tuple[str, tuple[int, ...]]
"""A tensor's type, as safetensors writes it, and its shape."""
_log = logging.getLogger("kronviz")


class CheckpointError(Sentence, RuntimeError):
    """A checkpoint is missing, damaged or not kronviz's; the message is one sentence for a user."""


@dataclass(frozen=True)
class PairInfo:
    """The arms of a folder that are compared with each other.

    Attributes:
        name: the folder's name; with a further arm, ``<folder>+<arm>``.
        path: the folder.
        arms: the arms that look complete (of a shard only the header was read).
        problems: one sentence for each arm that does not.
    """

    name: str
    path: Path
    arms: tuple[str, ...]
    problems: tuple[str, ...]


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


def read_config(folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of an arm, with its ``model`` as a `ModelConfig`.

    Raises:
        CheckpointError: it is missing, damaged or not kronviz's, or does not describe a model that
            fits the weights beside it.
    """
    label = _label(folder)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"The checkpoint {label} is missing; restore the folder or train it again."
        )
    try:
        config = json.loads(
            read_bytes(folder / CONFIG, MAX_CONFIG), parse_constant=finite, parse_float=finite
        )
        if config["format"] != FORMAT:
            raise CheckpointError(
                f"The checkpoint {label} has format {short_name(str(config['format']))!r}; this "
                f"version of kronviz reads {FORMAT!r}."
            )
        shape = config["model"] = ModelConfig(**config["model"])
        names = config["sha256"]
        if not isinstance(names, dict) or not 1 <= len(names) <= MAX_SHARDS:
            raise ValueError
        if not all(isinstance(expected, str) for expected in names.values()):
            raise ValueError
        # Only a quick check: `load_arm` reports damaged or missing shards.
        sizes = [_size(folder / name) for name in names if _SHARD.fullmatch(name)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"The file config.json of checkpoint {label} is damaged or not kronviz's; restore it."
        ) from None
    if not _is_shape(shape):
        raise CheckpointError(
            f"The config.json of checkpoint {label} describes no model of kronviz; restore it."
        )
    total = sum(size or 0 for size in sizes)
    if len(sizes) == len(names) and None not in sizes and total < _least_bytes(shape):
        raise CheckpointError(
            f"The checkpoint {label} is damaged: its config.json describes a model of at least "
            f"{_least_bytes(shape):,} bytes, its files have {total:,}; restore it."
        )
    return config


def load_arm(folder: Path) -> GPT:
    """Load one arm in evaluation mode, on the CPU, in float32.

    Raises:
        CheckpointError: a file is missing, damaged (its SHA-256 is not the one in ``config.json``)
            or does not fit the model's shape.
    """
    config, label = read_config(folder), _label(folder)
    try:
        shapes = _shapes(folder, config["sha256"])
        model = _empty(config["model"], label)
        _check_fit(model, shapes, label)
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


def _shapes(folder: Path, hashes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an arm's weights, from the headers of its shards alone."""
    label = _label(folder)
    stored: dict[str, _Stored] = {}
    for name in hashes:
        path, shown = folder / Path(name).name, short_name(Path(name).name)
        if not _SHARD.fullmatch(name) or (size := _size(path)) is None:
            raise CheckpointError(
                f"The file {shown} of checkpoint {label} is missing; restore it from the "
                "repository."
            )
        if size > MAX_SHARD_BYTES:
            raise CheckpointError(
                f"The checkpoint {label} is damaged: {shown} is larger than the limit of "
                f"{MAX_SHARD_BYTES / 1e6:g} MB; restore it from the repository."
            )
        try:
            with path.open("rb") as file:
                if int.from_bytes(file.read(8), "little") > MAX_CONFIG:
                    raise SafetensorError
            with safe_open(path, "np") as file:
                for key in file.keys():  # noqa: SIM118 (it is no dict)
                    part = file.get_slice(key)
                    stored[key] = part.get_dtype(), tuple(part.get_shape())
        except Exception:
            # A crafted file may fail in ways that no list of exceptions covers.
            raise CheckpointError(
                f"The file {shown} of checkpoint {label} is not a complete safetensors file; "
                "restore it."
            ) from None
    try:
        return _unpacked_shapes(stored)
    except (ValueError, LookupError):
        raise CheckpointError(
            f"The weights of checkpoint {label} are not stored as kronviz stores them; restore it."
        ) from None


def _stored(folder: Path, hashes: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of all shards of an arm, as they are stored."""
    label = _label(folder)
    stored: dict[str, Tensor] = {}
    for name, expected in hashes.items():
        try:
            data = read_bytes(folder / name, MAX_SHARD_BYTES)
        except InputError as error:
            raise CheckpointError(f"The checkpoint {label} is damaged: {error}") from None
        if hashlib.sha256(data).hexdigest() != expected:
            raise CheckpointError(
                f"The file {short_name(name)} of checkpoint {label} is damaged: its SHA-256 "
                "differs from the one in config.json; restore it."
            )
        stored |= load(data)
    # 127 is the largest value that a scale is multiplied by.
    floats = [tensor for tensor in stored.values() if tensor.is_floating_point()]
    if not all(torch.isfinite(127 * tensor).all() for tensor in floats):
        raise CheckpointError(
            f"The weights of checkpoint {label} have values that are not finite; restore it."
        )
    return stored


def _empty(shape: ModelConfig, label: str) -> GPT:
    """Return a model whose weights are not set."""
    try:
        with _SkipInit():
            return GPT(shape).eval()
    except (ValueError, TypeError, AttributeError, RuntimeError, ZeroDivisionError):
        raise CheckpointError(
            f"The config.json of checkpoint {label} describes no model of kronviz; restore it."
        ) from None


def _check_fit(model: GPT, shapes: dict[str, tuple[int, ...]], label: str) -> None:
    """Check the names and shapes of the tensors that are to be a model's weights."""
    expected = {name: tuple(tensor.shape) for name, tensor in _state(model).items()}
    if expected.keys() != shapes.keys():
        odd = short_name(min(expected.keys() ^ shapes.keys()))
        raise CheckpointError(
            f"The weights of checkpoint {label} do not fit its config.json: only one of them has "
            f"{odd}; restore them."
        )
    if expected != shapes:
        raise CheckpointError(
            f"The weights of checkpoint {label} do not have the shapes that its config.json says; "
            "restore them."
        )


def _is_shape(shape: ModelConfig) -> bool:
    """Return whether this is a valid shape of a model."""

    def whole(value: object, low: int, high: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    try:
        vocabulary_size(shape.vocabulary)
    except (VocabularyError, AttributeError):
        return False
    return (
        isinstance(shape.arm, str)
        and shape.arm in ARMS
        and whole(shape.d_model, 1, 1 << 15)
        and whole(shape.n_layer, 1, 512)
        and whole(shape.n_head, 1, 512)
        and whole(shape.n_ctx, 8, 1 << 20)
        and whole(shape.pos_dim, 1, 256)
        and shape.d_model % shape.n_head == 0
    )


def _least_bytes(shape: ModelConfig) -> int:
    """Return the fewest bytes that a model of this shape takes on disk, without its input
    embedding.
    """
    rows = vocabulary_size(shape.vocabulary) + shape.n_ctx
    return (12 * shape.n_layer * shape.d_model + rows) * shape.d_model


def _size(path: Path) -> int | None:
    """Return the size of a regular file in bytes; ``None`` where there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None


def _label(folder: Path) -> str:
    return f"{short_name(folder.parent.name)}/{short_name(folder.name)}"


def read_log(folder: Path) -> list[dict[str, float]]:
    """Return the training log of an arm, a dict for each step; empty if there is none.

    Raises:
        CheckpointError: a line is not a JSON object.
    """
    path = folder / LOG
    if not path.is_file():
        return []
    try:
        lines = split_lines(decode_text(read_bytes(path, MAX_LOG), LOG))
        records = [json.loads(line) for line in lines]
        if not all(isinstance(record, dict) for record in records):
            raise ValueError
    except (ValueError, RecursionError):
        raise CheckpointError(
            f"The training log of checkpoint {folder.parent.name}/{folder.name} is damaged; "
            "restore log.jsonl from the repository."
        ) from None
    return records


def list_pairs(root: Path = CHECKPOINTS) -> list[PairInfo]:
    """List the pairs of a folder, sorted by name.

    A pair with arms beyond the paper's two is listed again for each of them, as three arms.
    """
    pairs = []
    for path in sorted(root.iterdir() if root.is_dir() else []):
        if not path.is_dir() or path.name.startswith("."):
            continue
        name = short_name(path.name)
        if name != path.name:
            problem = f"The folder {name} has a name that cannot be shown; rename it."
            pairs.append(PairInfo(name, path, (), (problem,)))
            continue
        arms, problems = _readable(path, PAIR)
        pairs.append(PairInfo(path.name, path, arms, problems))
        for further in (name for name in ARMS if name not in PAIR and (path / name).is_dir()):
            added, problems = _readable(path, (further,))
            name = f"{path.name}{FURTHER}{further}"
            pairs.append(PairInfo(name, path, (*arms, *added) if added else (), problems))
    return pairs


def find_pair(pair: str | Path) -> PairInfo | None:
    """Return a pair by its name in ``checkpoints/`` or by its folder, either with or without
    ``+arm``.
    """
    path = Path(pair)
    folder = path.with_name(path.name.partition(FURTHER)[0])
    root = folder.parent if folder.is_dir() else CHECKPOINTS
    return next((info for info in list_pairs(root) if info.name == path.name), None)


def _readable(folder: Path, arms: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the arms whose ``config.json`` and headers can be read, and a sentence for each of
    the others.
    """
    readable, problems = [], []
    for arm in arms:
        try:
            _shapes(folder / arm, read_config(folder / arm)["sha256"])
            readable.append(arm)
        except CheckpointError as error:
            problems.append(str(error))
    return tuple(readable), tuple(problems)


def fingerprint(folder: Path) -> str:
    """Return twelve hex digits that change whenever a weight of an arm changes."""
    hashes = read_config(folder)["sha256"]
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:12]


def arm_folders(pair: Path) -> dict[str, Path]:
    """Return the folder of each arm of a pair; ``+arm`` after its name adds one."""
    name, *further = pair.name.split(FURTHER)
    folders = {arm: pair.with_name(name) / arm for arm in (*PAIR, *further)}
    return {arm: folder for arm, folder in folders.items() if folder.is_dir()}


def beside(pair: Path, file: str) -> Path:
    """Return the path of a pair's stored result: in its folder, or in that of its further arm."""
    name, _, further = pair.name.partition(FURTHER)
    return pair.with_name(name) / further / file


def fingerprints(pair: Path) -> dict[str, str]:
    """Return the fingerprint of each arm of a pair, which stored results are checked against."""
    return {arm: fingerprint(folder) for arm, folder in arm_folders(pair).items()}


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


def _unpacked_shapes(stored: dict[str, _Stored]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what `_unpack` makes of stored tensors.

    Raises:
        ValueError, LookupError: they are not stored as `save_arm` stores them.
    """
    pieces: dict[str, dict[int, _Stored]] = {}
    for key, tensor in stored.items():
        name, _, number = key.partition(PIECE)
        pieces.setdefault(name, {})[int(number or 0)] = tensor
    joined: dict[str, _Stored] = {}
    for name, parts in pieces.items():
        (dtype, shape), *others = parts.values()
        if any(kind != dtype or part[1:] != shape[1:] for kind, part in others):
            raise ValueError
        rows = sum(part[0] for _, part in parts.values()) if others else 0
        joined[name] = dtype, (rows, *shape[1:]) if others else shape
    scales = {name: joined.pop(name) for name in list(joined) if name.endswith(SCALE)}
    for name, (dtype, shape) in joined.items():
        if dtype == "I8" and len(shape) == 2 and scales.pop(name + SCALE) == ("F32", shape[:1]):
            continue
        if dtype != "F32":
            raise ValueError
    if scales:
        raise ValueError
    return {name: shape for name, (_, shape) in joined.items()}


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
