"""Reads the files of checkpoints without PyTorch: which pairs there are, and if they are intact.

A pair is a folder ``checkpoints/<name>/`` with two arms, in ``bpe/`` and ``kron/``. Each holds:

    config.json            the model's shape, its storage format, and the losses measured
    model-00001-of-….safetensors   shards of at most 8 MB
    log.jsonl              the training log
    README.md              the model card

Beside the arms lie results, where they were measured: ``seeds.json`` (the gap with several seeds at
a smaller size), ``rates.json`` (the same with nanoGPT's optimizer at several learning rates),
``rarity.json`` (the loss by how often training read a token), ``robustness.json`` (the spelling
test, see `kronviz.probes.stored_runs`), ``continuation.json`` (see
`kronviz.probes.stored_continuation`) and others.

Notable:

- Any problem with a folder is one sentence (`CheckpointError`), so that the app can start with the
  folders that work.
- ``config.json`` and the headers of the shards, which are small, are checked before any weight is
  read: names, types and shapes that do not fit are found at once.
- The app checks the weights, too, before its slow imports. Hashes are remembered, so that loading
  the same files computes them no second time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from kronviz.arms import ARMS
from kronviz.errors import Sentence
from kronviz.lines import decode_text, finite, read_bytes, short_name, split_lines
from kronviz.model_config import ModelConfig, is_shape, weight_shapes
from kronviz.paths import CHECKPOINTS

PAIR = ("bpe", "kron")
"""The paper's two arms, which every pair has."""
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
_SHARED = ("vocabulary", "d_model", "n_layer", "n_head", "n_ctx")
"""Fields of a model's shape that all arms of a pair have in common."""
_SHARD = re.compile(r"[\w.-]{1,100}\.safetensors")
_LARGEST = float(np.finfo(np.float32).max) / 127
"""127 is the largest value that a scale is multiplied by."""
_Stored = tuple[str, tuple[int, ...]]
"""A tensor's type, as safetensors writes it, and its shape."""


class CheckpointError(Sentence, RuntimeError):
    """A checkpoint is missing, damaged or not kronviz's; the message is one sentence for a user."""


@dataclass(frozen=True)
class PairInfo:
    """The arms of a folder that are compared with each other.

    Attributes:
        name: the folder's name; with a further arm, ``<folder>+<arm>``.
        path: the folder.
        arms: the arms that look complete (of a shard only the header was read, unless asked).
        problems: one sentence for each arm that does not.
    """

    name: str
    path: Path
    arms: tuple[str, ...]
    problems: tuple[str, ...]


def read_config(folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of an arm, with its ``model`` as a `ModelConfig`.

    Raises:
        CheckpointError: it is missing, damaged or not kronviz's, or describes no model.
    """
    label = label_of(folder)
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
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"The file config.json of checkpoint {label} is damaged or not kronviz's; restore it."
        ) from None
    if not is_shape(shape):
        raise CheckpointError(
            f"The config.json of checkpoint {label} describes no model of kronviz; restore it."
        )
    trained = config.get("training")
    for name, value in vars(shape).items() if isinstance(trained, dict) else ():
        if trained.get(name, value) != value:
            raise CheckpointError(
                f"The config.json of checkpoint {label} is damaged: {name} is {value} for the "
                "model and another for its training; restore it."
            )
    return config


def stored_shapes(folder: Path, hashes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an arm's weights, from the headers of its shards alone."""
    label = label_of(folder)
    stored: list[tuple[str, _Stored]] = []
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
                    stored.append((key, (part.get_dtype(), tuple(part.get_shape()))))
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


def check_fit(model: ModelConfig, shapes: dict[str, tuple[int, ...]], label: str) -> None:
    """Check the names and shapes of stored tensors; `CheckpointError` if they are not the model's.

    Args:
        label: as from `label_of`.
    """
    expected = weight_shapes(model)
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


def check_weights(folder: Path, hashes: dict[str, Any]) -> None:
    """Check that an arm's shards have the SHA-256 that ``config.json`` says, and finite values.

    Raises:
        CheckpointError: one has not.
    """
    label = label_of(folder)
    for name, expected in hashes.items():
        path = folder / name
        try:
            stat = path.stat()
            actual, usable = _read_weights(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise CheckpointError(
                f"The file {short_name(name)} of checkpoint {label} cannot be read: {reason}."
            ) from None
        if actual != expected:
            raise CheckpointError(
                f"The file {short_name(name)} of checkpoint {label} is damaged: its SHA-256 "
                "differs from the one in config.json; restore it."
            )
        if not usable:
            raise CheckpointError(
                f"The weights of checkpoint {label} have values that are not finite; restore it."
            )


@functools.lru_cache(maxsize=4096)
def _read_weights(path: Path, stamp: tuple[int, int, int]) -> tuple[str, bool]:
    """Return the SHA-256 of a shard, and whether all its values are finite.

    Args:
        stamp: tells two states of a file apart.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with safe_open(path, "np") as shard:
        floats = [key for key in shard.keys() if shard.get_slice(key).get_dtype() == "F32"]  # noqa: SIM118
        return digest, all((np.abs(shard.get_tensor(key)) <= _LARGEST).all() for key in floats)


def _size(path: Path) -> int | None:
    """Return the size of a regular file in bytes; ``None`` where there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None


def label_of(folder: Path) -> str:
    """Return what a message calls an arm: its pair and its own name."""
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


def list_pairs(root: Path = CHECKPOINTS, *, whole: bool = False) -> list[PairInfo]:
    """List the pairs of a folder, sorted by name.

    A pair with arms beyond the paper's two is listed again for each of them, as three arms.

    Args:
        whole: read the weights, too, and leave out arms whose weights are damaged.
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
        arms, problems = _readable(path, PAIR, whole)
        pairs.append(PairInfo(path.name, path, tuple(arms), problems))
        for further in (name for name in ARMS if name not in PAIR and (path / name).is_dir()):
            together, problems = _readable(path, (further,), whole, arms)
            name = f"{path.name}{FURTHER}{further}"
            pairs.append(PairInfo(name, path, tuple(together), problems))
    return pairs


def find_pair(pair: str | Path) -> PairInfo | None:
    """Return a pair by its name in ``checkpoints/`` or by its folder, either with or without
    ``+arm``.
    """
    path = Path(pair)
    name = path.name.partition(FURTHER)[0]
    if not name:
        return None
    folder = path.with_name(name)
    root = folder.parent if folder.is_dir() else CHECKPOINTS
    return next((info for info in list_pairs(root) if info.name == path.name), None)


def _readable(
    folder: Path, arms: Iterable[str], whole: bool, beside: Mapping[str, ModelConfig] | None = None
) -> tuple[dict[str, ModelConfig], tuple[str, ...]]:
    """Return the shapes of the arms that can be read, and a sentence for each of the others.

    Args:
        whole: as for `list_pairs`.
        beside: other arms, which come first; without a readable arm they are left out, too.
    """
    readable: dict[str, ModelConfig] = {}
    problems = []
    for arm in arms:
        label = label_of(folder / arm)
        try:
            config = read_config(folder / arm)
            shape, hashes = config["model"], config["sha256"]
            if shape.arm != arm:
                raise CheckpointError(
                    f"The checkpoint {label} holds the arm {shape.arm}; restore the folder."
                )
            check_fit(shape, stored_shapes(folder / arm, hashes), label)
            if whole:
                check_weights(folder / arm, hashes)
            readable[arm] = shape
        except CheckpointError as error:
            problems.append(str(error))
    together = {**(beside or {}), **readable} if readable else {}
    for name in _SHARED:
        values = {getattr(shape, name): None for shape in together.values()}
        if len(values) > 1:
            problem = (
                f"The arms of {short_name(folder.name)} do not belong together: {name} is "
                f"{' and '.join(map(str, values))}; restore them or train a pair."
            )
            return {}, (*problems, problem)
    return together, tuple(problems)


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


def _unpacked_shapes(stored: Iterable[tuple[str, _Stored]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what `_unpack` makes of stored tensors.

    Raises:
        ValueError, LookupError: they are not stored as `save_arm` stores them.
    """
    pieces: dict[str, dict[int, _Stored]] = {}
    for key, tensor in stored:
        name, _, number = key.partition(PIECE)
        parts, place = pieces.setdefault(name, {}), int(number or 0)
        if place in parts:
            raise ValueError
        parts[place] = tensor
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
