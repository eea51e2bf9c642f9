"""The gap with a spread: what several seeds at a smaller size came to, and a control beside them.

Notable:

- Everything is read from ``seeds.json``, which `kronviz.training.seeds` writes beside a pair, and
  from ``rates.json``, which `kronviz.training.rates` does: such a spread for each learning rate.
- Differences are taken seed by seed, for runs of one seed read the same batches in the same order;
  the spread is the sample standard deviation over the seeds.
- ``bpe-untied`` is a learned table with a head of its own, as kron's is. The difference of the two
  published arms is thereby two: what the untied head does, and what the code does.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronviz.checkpoint import RATES, SEEDS, CheckpointError
from kronviz.lines import read_bytes
from kronviz.probes.intervals import Interval

BPE, KRON, CONTROL = "bpe", "kron", "bpe-untied"
NANOGPT_RATE = 6e-4
"""AdamW's peak rate for GPT-2 124M in nanoGPT, with which the paper trained."""


@dataclass(frozen=True)
class Spread:
    """Several numbers in nats a token: their mean and sample standard deviation."""

    values: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True)
class SeedClass:
    """The gap and its parts over the validation tokens of one class, means over the seeds in nats.

    Attributes:
        low, tokens: as for `rarity.RarityClass`.
        gap, head, code: as for `SeedSpread`, with 95% bootstrap intervals, drawn by windows.
    """

    low: int
    tokens: int
    gap: Interval
    head: Interval
    code: Interval


@dataclass(frozen=True)
class SeedSpread:
    """Validation losses over several seeds, in nats a token.

    Attributes:
        config: name of the smaller configuration.
        d_model, n_layer, tokens: its width, depth, and tokens read in each run.
        rate: AdamW's peak learning rate.
        seeds: the seeds, in the order of all values below.
        losses: final validation losses of ``bpe``, ``kron`` and the control ``bpe-untied``.
        gap: bpe's loss − kron's; above zero, kron is better.
        head: bpe's − the control's: what a head of its own gains.
        code: the control's − kron's: what the code gains where the heads are alike.
        read, predicted: the same by how often training read the token just read, and the token to
            be predicted; empty where that was not measured.
    """

    config: str
    d_model: int
    n_layer: int
    tokens: int
    rate: float
    seeds: tuple[int, ...]
    losses: dict[str, Spread]
    gap: Spread
    head: Spread
    code: Spread
    read: tuple[SeedClass, ...] = ()
    predicted: tuple[SeedClass, ...] = ()


def seed_spread(pair_dir: Path) -> SeedSpread | None:
    """Read ``seeds.json`` of a pair's folder; ``None`` where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    found = _read(pair_dir / SEEDS)
    return found[0] if found else None


def rate_sweep(pair_dir: Path) -> tuple[SeedSpread, ...]:
    """Read ``rates.json`` of a pair's folder, slowest rate first; empty where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    return tuple(sorted(_read(pair_dir / RATES), key=lambda found: found.rate))


def best_gap(sweep: Sequence[SeedSpread]) -> float | None:
    """Return bpe's mean loss at its best rate − kron's at its own, in nats; ``None`` of no rate."""
    if not sweep:
        return None
    bpe, kron = (min(found.losses[name].mean for found in sweep) for name in (BPE, KRON))
    return bpe - kron


def _read(path: Path) -> list[SeedSpread]:
    if not path.is_file():
        return []
    try:
        stored = json.loads(read_bytes(path))
        return [_found(one) for one in (stored if path.name == RATES else [stored])]
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise CheckpointError(
            f"The file {path.name} of {path.parent.name} is damaged; restore it from the "
            "repository."
        ) from None


def _found(stored: dict[str, Any]) -> SeedSpread:
    config, runs = stored["config"], stored["runs"]
    by_run = {(run["variant"], run["seed"]): float(run["val_loss"]) for run in runs}
    seeds = tuple(sorted({int(run["seed"]) for run in runs}))
    losses = {name: [by_run[name, seed] for seed in seeds] for name in (BPE, KRON, CONTROL)}
    return SeedSpread(
        config=str(config["name"]),
        d_model=int(config["d_model"]),
        n_layer=int(config["n_layer"]),
        tokens=int(runs[0]["tokens"]),
        rate=float(config["adam_lr"]),
        seeds=seeds,
        losses={name: _spread(values) for name, values in losses.items()},
        gap=_difference(losses[BPE], losses[KRON]),
        head=_difference(losses[BPE], losses[CONTROL]),
        code=_difference(losses[CONTROL], losses[KRON]),
        **{side: _classes(rows) for side, rows in stored.get("rarity", {}).items()},
    )


def _classes(rows: list[dict]) -> tuple[SeedClass, ...]:
    return tuple(
        SeedClass(
            int(row["low"]),
            int(row["tokens"]),
            *(Interval(*map(float, row[part])) for part in ("gap", "head", "code")),
        )
        for row in rows
    )


def _difference(first: list[float], second: list[float]) -> Spread:
    return _spread([one - other for one, other in zip(first, second, strict=True)])


def _spread(values: list[float]) -> Spread:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(tuple(values), statistics.fmean(values), deviation)
