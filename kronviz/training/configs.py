"""Named training runs. A run is one data class, and both arms of a pair share every field."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kronviz.arms import ARMS
from kronviz.checkpoint_files import PAIR
from kronviz.errors import InputError
from kronviz.lines import decode_text, read_bytes, short_name
from kronviz.model import ModelConfig


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes.

    Attributes:
        name: name of the pair's folders.
        mixture: token files; sequences are drawn from them in this order, again and again:
            ``("textbooks", "textbooks", "books-1")`` is two thirds textbooks.
        batch_size: sequences per step, over all processes.
        micro_batch: sequences that a process holds in memory at once.
        steps: optimizer steps.
        warmup: steps of linear growth of the learning rate.
        schedule: ``trapezoid`` (constant, then linear to zero over the last ``decay`` share of the
            steps) or ``cosine`` (down to a tenth).
        optimizer: ``muon`` (Muon for the blocks' matrices, AdamW for the rest) or ``adamw``.
        adam_lr: peak learning rate of AdamW.
        muon_lr: peak learning rate of Muon, scaled to AdamW's update size.
        grad_clip: largest global gradient norm.
        eval_every: steps between validation losses.
        eval_sequences: sequences per validation, spread evenly over the text; 0 takes all.
        save_every: steps between resumable states.
        seed: seed of the initialisation and of the order of batches.
        bf16: autocast to bfloat16, except on a CPU that only emulates it.
        compile: `torch.compile` the blocks and the head (on CUDA).
        untied: give the bpe arm a head separate from its table, the control of `training.seeds`.
        init_std: initial standard deviation of the input embedding's matrix, to which the arm's
            own draw is scaled; 0 leaves it as drawn.
        input_rate: AdamW's rate for the input embedding, as a share of ``adam_lr``; a table that
            is also the head keeps ``adam_lr``.
        frequent, scored: tokens that the head scores in a training step, see
            `sampled.sampled_cross_entropy`; ``scored`` 0 scores all. Validation always scores all.
        exact: share of the steps at the end in which training also scores all tokens.
    """

    name: str
    vocabulary: str
    d_model: int
    n_layer: int
    n_head: int
    n_ctx: int
    mixture: tuple[str, ...]
    steps: int
    batch_size: int
    micro_batch: int
    pos_dim: int = 16
    warmup: int = 50
    schedule: str = "trapezoid"
    decay: float = 0.3
    optimizer: str = "muon"
    adam_lr: float = 3e-3
    muon_lr: float = 6e-3
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    eval_every: int = 100
    eval_sequences: int = 128
    save_every: int = 100
    seed: int = 1
    bf16: bool = True
    compile: bool = False
    untied: bool = False
    init_std: float = 0.0
    input_rate: float = 1.0
    frequent: int = 0
    scored: int = 0
    exact: float = 0.1

    @property
    def tokens_per_step(self) -> int:
        """Number of tokens that one optimizer step reads."""
        return self.batch_size * self.n_ctx

    def model(self, arm: str) -> ModelConfig:
        """Return the shape of one arm."""
        return ModelConfig(
            arm=arm,
            vocabulary=self.vocabulary,
            d_model=self.d_model,
            n_layer=self.n_layer,
            n_head=self.n_head,
            n_ctx=self.n_ctx,
            pos_dim=self.pos_dim,
            untied=self.untied,
        )


# Two CPU cores, one arm on each, about an hour and a half.
TINY = TrainConfig(
    name="tiny",
    vocabulary="r50k_base:8192",
    d_model=256,
    n_layer=6,
    n_head=4,
    n_ctx=256,
    mixture=("textbooks", "textbooks", "books-1"),
    steps=2200,
    batch_size=16,
    micro_batch=16,
    adam_lr=2e-3,
)
# The same with GPT-2's whole vocabulary, two to three hours. A step that scores all tokens takes
# five times as long as one that scores a part; validation scores all.
SMALL = replace(
    TINY,
    name="small",
    vocabulary="r50k_base",
    steps=9200,
    decay=0.13,
    frequent=2048,
    scored=5120,
    exact=0.002,
    eval_every=400,
)
# A smaller tiny pair, for several seeds: minutes per run on one CPU core.
TINY_SEEDS = replace(
    TINY,
    name="tiny-seeds",
    d_model=128,
    n_layer=4,
    n_head=2,
    n_ctx=128,
    steps=600,
    eval_sequences=512,
)
# One large CUDA GPU, about four minutes per arm.
GPT2 = TrainConfig(
    name="gpt2",
    vocabulary="r50k_base",
    d_model=512,
    n_layer=8,
    n_head=8,
    n_ctx=512,
    mixture=("textbooks", "books-1", "books-2", "books-3"),
    steps=2700,
    batch_size=192,
    micro_batch=96,
    warmup=100,
    decay=0.5,
    eval_every=100,
    eval_sequences=256,
    save_every=500,
    compile=True,
)
# A smaller version, for several seeds: about half a minute per run on such a GPU.
GPT2_SEEDS = replace(
    GPT2,
    name="gpt2-seeds",
    d_model=256,
    n_layer=4,
    n_head=4,
    n_ctx=256,
    steps=400,
    batch_size=128,
    micro_batch=128,
    warmup=50,
    eval_sequences=512,
    save_every=200,
)
# The small pair's sampled head with the gpt2 pair's text, for several seeds on CPUs that multiply
# in bfloat16: a quarter of an hour per run on one core.
SMALL_SEEDS = replace(
    SMALL,
    name="small-seeds",
    mixture=GPT2.mixture,
    n_layer=4,
    steps=800,
    batch_size=32,
    micro_batch=32,
    adam_lr=GPT2.adam_lr,
    decay=GPT2.decay,
    exact=0.02,
    eval_every=200,
    eval_sequences=256,
)
# The paper's own run (section 5): GPT-2 124M on 2.5 billion tokens of FineWeb-Edu.
PAPER = TrainConfig(
    name="paper",
    vocabulary="r50k_base",
    d_model=768,
    n_layer=12,
    n_head=12,
    n_ctx=1024,
    mixture=("fineweb-edu",),
    steps=4623,
    batch_size=512,
    micro_batch=32,
    warmup=200,
    schedule="cosine",
    optimizer="adamw",
    adam_lr=6e-4,
    eval_every=100,
    eval_sequences=512,
    save_every=250,
    compile=True,
)
# Seconds on a CPU: shows that the whole pipeline works on a machine.
SMOKE = TrainConfig(
    name="smoke",
    vocabulary="r50k_base:512",
    d_model=32,
    n_layer=2,
    n_head=2,
    n_ctx=32,
    mixture=("text",),
    steps=6,
    batch_size=4,
    micro_batch=2,
    warmup=2,
    eval_every=3,
    eval_sequences=4,
    save_every=2,
)

CONFIGS = {
    config.name: config
    for config in (TINY, SMALL, TINY_SEEDS, SMALL_SEEDS, GPT2, GPT2_SEEDS, PAPER, SMOKE)
}


_OPTIONS: dict[str, dict[str, Any]] = {
    "--config": {"required": True, "help": "a name of configs.py or a JSON file"},
    "--set": {"nargs": "*", "default": [], "metavar": "FIELD=VALUE"},
    "--arms": {"nargs": "+", "choices": ARMS, "default": PAIR, "metavar": "ARM"},
    "--seeds": {"nargs": "*", "type": int, "default": [1, 2, 3]},
    "--data": {"type": Path, "required": True, "help": "folder of token files"},
}
"""Options of several commands, with their arguments for `argparse`."""


def add_config_arguments(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add the options that `load_config` reads, and ``more`` of `_OPTIONS`."""
    for name in ("--config", "--set", *more):
        parser.add_argument(name, **_OPTIONS[name])


def load_config(name: str, overrides: Sequence[str] | None = None) -> TrainConfig:
    """Return a named configuration, or one from a JSON file, with ``field=value`` overrides.

    Args:
        overrides: each value is JSON or else a string; ``mixture=mine`` is one source.

    Raises:
        InputError: the name, a field or a value is invalid.
    """
    if name in CONFIGS:
        fields = dataclasses.asdict(CONFIGS[name])
    elif Path(name).is_file():
        path = Path(name)
        try:
            fields = json.loads(decode_text(read_bytes(path), path.name))
        except InputError:
            raise
        except (ValueError, RecursionError):
            raise InputError(
                f"{short_name(path.name)} is not JSON; give a configuration file."
            ) from None
    else:
        raise InputError(
            f"There is no configuration {short_name(name)!r}; there are {', '.join(CONFIGS)}."
        )
    for override in overrides or []:
        key, _, value = override.partition("=")
        if key not in TrainConfig.__dataclass_fields__:
            raise InputError(f"{short_name(override)!r} sets no field of a configuration.")
        try:
            fields[key] = json.loads(value)
        except (ValueError, RecursionError):
            fields[key] = value
        if key == "mixture" and not isinstance(fields[key], list):
            fields[key] = value  # A source may be called 1984, or null.
    return config_of(fields)


def config_of(fields: Any) -> TrainConfig:
    """Return the configuration that a JSON object describes.

    Raises:
        InputError: a field is unknown or missing, or its value is invalid.
    """
    known = TrainConfig.__dataclass_fields__
    if not isinstance(fields, dict):
        raise InputError("A configuration is a JSON object of fields and values.")
    if unknown := sorted(fields.keys() - known.keys()):
        raise InputError(f"A configuration has no field {short_name(unknown[0])!r}.")
    needed = {key for key, field in known.items() if field.default is dataclasses.MISSING}
    if missing := sorted(needed - fields.keys()):
        raise InputError(f"The configuration lacks {missing[0]!r}.")
    fields = {key: _checked(key, str(known[key].type), value) for key, value in fields.items()}
    config = TrainConfig(**fields)
    if config.d_model % config.n_head:
        raise InputError(
            f"d_model is {config.d_model}; it must be a multiple of n_head, {config.n_head}."
        )
    return config


_CHOICES = {"schedule": ("trapezoid", "cosine"), "optimizer": ("muon", "adamw")}
_MAY_BE_ZERO = (
    "warmup", "weight_decay", "eval_sequences", "seed", "init_std", "frequent", "scored", "exact",
)  # fmt: skip
_SHARES = ("decay", "exact")


def _checked(key: str, kind: str, value: Any) -> Any:
    """Return a field's value in the field's type; `InputError` if it is invalid."""
    shown = short_name(json.dumps(value))
    if kind.startswith("tuple"):
        sources = [value] if isinstance(value, str) else value
        if not isinstance(sources, list | tuple) or not sources:
            raise InputError(f"{key} is {shown}; give a list of sources.")
        if not all(isinstance(source, str) and source for source in sources):
            raise InputError(f"{key} is {shown}; each source is a name.")
        return tuple(sources)
    if kind == "str":
        # JSON reads a name made of digits, such as a source called 1984, as a number.
        value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(value, str) or not value:
            raise InputError(f"{key} is {shown}; it must be text.")
        if value not in _CHOICES.get(key, (value,)):
            raise InputError(f"{key} is {shown}; choose {' or '.join(_CHOICES[key])}.")
        return value
    if kind == "bool":
        if not isinstance(value, bool):
            raise InputError(f"{key} is {shown}; it must be true or false.")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    low = 0 if key in _MAY_BE_ZERO else 1 if kind == "int" else 0.0
    high = 1 if key in _SHARES else 10**12
    whole = kind != "int" or (number and float(value).is_integer())
    above = number and (value > 0 or key in _MAY_BE_ZERO)
    if not number or not whole or not above or not low <= value <= high:
        form = "whole number" if kind == "int" else "number"
        raise InputError(f"{key} is {shown}; it must be a {form} from {low:g} to {high:g}.")
    return int(value) if kind == "int" else float(value)
