"""Read the gap between the arms over several seeds at a smaller size, with a control.

Notable:

- Everything is read from ``seeds.json``, which `kronviz.training.seeds` writes beside a pair, and
  from ``rates.json`` of `kronviz.training.rates`, which has such a spread per learning rate.
- Differences are taken seed by seed, because runs with one seed read the same batches in the same
  order; the spread is the sample standard deviation over the seeds.
- ``bpe-untied`` is a learned table with a separate head, like kron's. It splits the difference of
  the two published arms into two parts: the effect of the untied head and that of the code.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronviz.checkpoint_files import RATES, SEEDS, CheckpointError
from kronviz.lines import read_bytes
from kronviz.probes.intervals import Interval

BPE, KRON, CONTROL = "bpe", "kron", "bpe-untied"
NANOGPT_RATE = 6e-4
"""AdamW's peak rate for GPT-2 124M in nanoGPT, with which the paper trained."""


@dataclass(frozen=True)
class Spread:
    """Several values in nats per token, with their mean and sample standard deviation."""

    values: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True)
class SeedClass:
    """The gap and its parts over the validation tokens of one class, in nats, over all seeds.

    Attributes:
        low, tokens: as for `rarity.RarityClass`.
        gap, head, code: as for `SeedSpread`, with 95% intervals from resampled windows.
    """

    low: int
    tokens: int
    gap: Interval
    head: Interval
    code: Interval


@dataclass(frozen=True)
class SeedSpread:
    """Validation losses over several seeds, in nats per token.

    Attributes:
        config: name of the smaller configuration.
        d_model, n_layer, tokens: its width, depth, and tokens read in each run.
        rate: AdamW's peak learning rate.
        seeds: the seeds, in the order of all values below.
        losses: final validation losses of ``bpe``, ``kron`` and the control ``bpe-untied``.
        gap: kron's loss − bpe's; negative if kron is better.
        head: the control's − bpe's: what a separate head changes.
        code: kron's − the control's: what the code changes with the same kind of head.
        read, predicted: the same by how often training read the token just read, and the token to
            be predicted; empty if that was not measured.
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
    """Read ``seeds.json`` of a pair's folder; ``None`` if there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    spreads = _read(pair_dir / SEEDS)
    return spreads[0] if spreads else None


def rate_sweep(pair_dir: Path) -> tuple[SeedSpread, ...]:
    """Read ``rates.json`` of a pair's folder, lowest rate first; empty if there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    return tuple(sorted(_read(pair_dir / RATES), key=lambda spread: spread.rate))


def best_gap(sweep: Sequence[SeedSpread]) -> float | None:
    """Return kron's mean loss at its best rate − bpe's at its own, in nats; ``None`` if empty."""
    if not sweep:
        return None
    bpe, kron = (min(spread.losses[name].mean for spread in sweep) for name in (BPE, KRON))
    return kron - bpe


def _read(path: Path) -> list[SeedSpread]:
    if not path.is_file():
        return []
    try:
        stored = json.loads(read_bytes(path))
        return [_seed_spread(one) for one in (stored if path.name == RATES else [stored])]
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise CheckpointError(
            f"The file {path.name} of {path.parent.name} is damaged; restore it from the "
            "repository."
        ) from None


def _seed_spread(stored: dict[str, Any]) -> SeedSpread:
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
        gap=_difference(losses[KRON], losses[BPE]),
        head=_difference(losses[CONTROL], losses[BPE]),
        code=_difference(losses[KRON], losses[CONTROL]),
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
