"""Summarise a study of many input embeddings from its result files.

    python -m kronviz.probes.study

Notable:

- A study is all runs of one configuration, optimizer and number of steps
  (`kronviz.training.study`); `kronviz.training.measure` adds the loss on true continuations.
- Of an arm that was trained at several learning rates, or with several scales or rates of its
  input, the runs with the most seeds are shown, and of these the ones with the lowest mean
  validation loss; passages are read from a text on which nothing was chosen.
- Every arm is compared with the better of the two learned tables, of those with the most seeds: run
  by run over the seeds and passage by passage over the text, so that what both share cancels out.
- A verdict needs three seeds of the best arm and the table, which must agree, and intervals that
  exclude 0; the sentence says if they are missing.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from kronviz import cli
from kronviz.arms import ARMS
from kronviz.errors import InputError
from kronviz.lines import short_name
from kronviz.paths import ASSETS
from kronviz.probes.continuation import MEAN
from kronviz.probes.intervals import Interval, bootstrap_intervals
from kronviz.typos.noise import PERTURBATIONS

STUDIES = ASSETS / "studies"
Key = TypeVar("Key")
TABLES = ("bpe", "bpe-untied")
CLEAN, MISSPELLED = "clean", ("synthetic 15%", "human 15%")
PERTURBED = MEAN
"""The mean loss over the five perturbations, passage by passage."""
SHOWN = (CLEAN, *MISSPELLED, PERTURBED)
"""Conditions shown in tables, in this order."""
_VALIDATION = "validation"
_WHERE = {
    _VALIDATION: "in validation loss",
    CLEAN: "after clean contexts",
    MISSPELLED[0]: "after 15% misspelled words",
    MISSPELLED[1]: "after 15% of people’s misspellings",
    PERTURBED: "after the five perturbations",
}
"""Where an arm can lead, in a sentence."""
COSTS = "costs.json"
SEEDS = 3
"""Runs of an arm that a verdict needs."""
BUDGETS = 3
"""Different numbers of training tokens that a fit needs."""
PAPER_TOKENS = 2_500_000_000
"""Training tokens of the paper's models."""


@dataclass(frozen=True)
class Measured:
    """The loss on true continuations in one condition, in nats per token.

    Attributes:
        condition: as `kronviz.passages.Condition` writes itself.
        nats: mean over passages and seeds.
        difference: arm − table, passage by passage; ``None`` for the table itself.
        seeds: number of seeds that the difference averages over, for the table that `nats` does.
        gaps: mean of the differences for each of these seeds; none for the table itself.
    """

    condition: str
    nats: Interval
    difference: Interval | None
    seeds: int
    gaps: tuple[float, ...]


@dataclass(frozen=True)
class Cost:
    """What an input embedding costs, measured by ``benchmarks/arms.py``.

    Attributes:
        stored_bytes: size of its checkpoint: int8, with one float32 scale per row.
        embed_ms, embed_ratio: time to embed the ids of a text, and its ratio to a learned table's.
        step_ms, step_ratio: the same for a training step.
    """

    stored_bytes: int
    embed_ms: float
    embed_ratio: float
    step_ms: float
    step_ratio: float


@dataclass(frozen=True)
class CostsAbout:
    """How the costs were measured: ids embedded at once, tokens per step, the arm that counts 1."""

    machine: str
    command: str
    tokens: int
    step_tokens: int
    peer: str


@dataclass(frozen=True)
class Tuning:
    """At what rates a run was trained, see `kronviz.training.configs.TrainConfig`.

    Attributes:
        rate: the learning rate, ``adam_lr``.
        init_std, input_rate: scale and share of the rate of the input embedding.
    """

    rate: float
    init_std: float = 0.0
    input_rate: float = 1.0

    def said(self, usual: float) -> str:
        """Describe what differs from a run at the rate ``usual``; empty if nothing does."""
        parts = [f"learning rate {self.rate:g}"] if self.rate != usual else []
        parts += [f"input drawn with std {self.init_std:g}"] if self.init_std else []
        parts += [f"input at {self.input_rate:g}× the rate"] if self.input_rate != 1 else []
        return ", ".join(parts)


@dataclass(frozen=True)
class ArmResult:
    """The result of one arm's runs.

    Attributes:
        seeds: of its runs.
        val_nats: validation loss in nats per token, averaged over the seeds.
        gaps: arm − table for each seed that both have; none for the table itself.
        parameters, input_parameters: trained parameters of the model and of its input embedding.
        share: input parameters over the learned table's.
        curves: validation loss by the tokens read, for each seed.
        measured: by condition; empty if nothing was measured.
        tuning: of those that ran with the most seeds, the one with the lowest validation loss.
        cost: ``None`` if it was not measured.
    """

    arm: str
    seeds: tuple[int, ...]
    val_nats: float
    gaps: tuple[float, ...]
    parameters: int
    input_parameters: int
    share: float
    curves: Mapping[int, Mapping[int, float]]
    measured: tuple[Measured, ...]
    tuning: Tuning
    cost: Cost | None = None

    @property
    def difference(self) -> Interval | None:
        """Return the mean of `gaps`, with its 95% t-interval if there are two or more."""
        return _over_seeds(self.gaps)

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """Return tokens read and the mean validation loss."""
        return _mean_curve(self.curves.values())

    def curve_from(self, other: ArmResult) -> tuple[tuple[int, float], ...]:
        """Return tokens read and the mean of `gaps` from another arm, over the seeds of both."""
        pairs = [
            (self.curves[seed], other.curves[seed]) for seed in self.curves if seed in other.curves
        ]
        return _mean_curve(
            {at: own[at] - base[at] for at in own if at in base} for own, base in pairs
        )

    def at(self, condition: str) -> Measured | None:
        """Return what was measured in a condition, if it was."""
        return next((m for m in self.measured if m.condition == condition), None)


@dataclass(frozen=True)
class BudgetGaps:
    """How the difference between an arm and the better table changes with the training tokens.

    Attributes:
        points: tokens, and the difference in validation loss in nats per token, fewest tokens
            first.
        misspelled: the same after contexts with 15% of the words misspelled, where it was measured.
        extrapolated: the difference at `PAPER_TOKENS` from a line through every seed's difference
            over the logarithm of the tokens, with its 95% prediction interval; ``None`` with fewer
            than `BUDGETS` numbers of tokens.
    """

    arm: str
    points: tuple[tuple[int, Interval], ...]
    misspelled: tuple[tuple[int, Interval], ...]
    extrapolated: Interval | None


@dataclass(frozen=True)
class Study:
    """A study of several arms with one configuration.

    Attributes:
        name: name of the configuration.
        rate: the learning rate of the table's best runs.
        rates: all that were tried, with any arm.
        table: the better of the learned tables with the most seeds, with which the arms are
            compared.
        tokens: training tokens of each run.
        text, documents, passages: the text that the passages were cut from, and how many of each;
            empty, ``None`` and 0 if nothing was measured.
        arms: the arms, lowest validation loss first.
        costs: how the costs were measured, if they were.
        gaps: how the arms' differences change with the training tokens; empty if all runs of this
            configuration and optimizer read equally many.
        others: the studies of the runs that read more or fewer tokens, most tokens first.
    """

    name: str
    vocabulary: str
    optimizer: str
    rate: float
    rates: tuple[float, ...]
    d_model: int
    n_layer: int
    tokens: int
    table: str
    text: str
    documents: int | None
    passages: int
    arms: tuple[ArmResult, ...]
    costs: CostsAbout | None = None
    gaps: tuple[BudgetGaps, ...] = ()
    others: tuple[Study, ...] = ()

    def arm(self, name: str) -> ArmResult | None:
        """Return the result of an arm, if it has one."""
        return next((arm for arm in self.arms if arm.arm == name), None)

    def best(self, condition: str) -> ArmResult | None:
        """Return the arm with the lowest loss in a condition, if all were measured."""
        losses = [(m.nats.mean, arm) for arm in self.arms if (m := arm.at(condition))]
        return min(losses, key=lambda one: one[0])[1] if len(losses) == len(self.arms) else None


def studies(folder: Path = STUDIES) -> list[Study]:
    """Read the studies in a folder, the one with most training tokens first.

    Runs that differ only in their number of training tokens are one study. It shows those with
    most tokens of which enough seeds have run for a verdict, or else those with most tokens; the
    rest are in its `Study.gaps` and `Study.others`.

    Raises:
        InputError: a result file is damaged.
    """
    groups: dict[tuple[Any, ...], list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
    for path in sorted(folder.glob("*/*-s*.json")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            c = run["config"]
            key = path.parent, c["optimizer"], c["steps"]
            groups[key].append((path, run))
        except (ValueError, KeyError, TypeError):
            raise InputError(f"The result {path.name} is damaged; restore it.") from None
    by_budget: dict[tuple[Any, ...], list[Study]] = defaultdict(list)
    for key, runs in groups.items():
        if (study := _study(key[0], runs)) is not None:
            by_budget[key[:-1]].append(study)
    shown = []
    for budgets in by_budget.values():
        budgets.sort(key=lambda study: -study.tokens)
        settled = (study for study in budgets if _seeds(study, _leader(study)) >= SEEDS)
        first = next(settled, budgets[0])
        gaps = _gaps(budgets[::-1]) if len(budgets) > 1 else ()
        others = tuple(study for study in budgets if study is not first)
        shown.append(replace(first, gaps=gaps, others=others))
    return sorted(shown, key=lambda study: (-study.tokens, study.optimizer != "muon"))


def _seeds(study: Study, arm: ArmResult) -> int:
    """Return with how many seeds both an arm and the table have run and been measured."""
    both = [one for one in (arm, study.arm(study.table)) if one]
    return min(n for one in both for n in (len(one.seeds), *(m.seeds for m in one.measured)))


def _leader(study: Study) -> ArmResult:
    """Return the best arm; if it has too few seeds for a verdict, the best that has enough."""
    low = study.arms[0]
    return low if _seeds(study, low) >= SEEDS else _rival(study) or low


def _gaps(budgets: Sequence[Study]) -> tuple[BudgetGaps, ...]:
    """Return how the differences change with the tokens, for arms that ran at every budget."""
    by_arm = []
    for arm in budgets[-1].arms:
        ran = [(study.tokens, r) for study in budgets if (r := study.arm(arm.arm))]
        points = tuple((tokens, r.difference) for tokens, r in ran if r.difference)
        if arm.arm in TABLES or len(points) < len(budgets):
            continue
        measured = [(tokens, r.at(MISSPELLED[0])) for tokens, r in ran]
        misspelled = tuple((tokens, m.difference) for tokens, m in measured if m and m.difference)
        runs = [(tokens, gap) for tokens, r in ran for gap in r.gaps]
        fitted = _extrapolated(runs) if len(points) >= BUDGETS else None
        by_arm.append(BudgetGaps(arm.arm, points, misspelled, fitted))
    return tuple(by_arm)


def _extrapolated(runs: Sequence[tuple[int, float]]) -> Interval:
    """Fit a line to the tokens and differences of single runs and predict at `PAPER_TOKENS`."""
    x, y = np.log10([tokens for tokens, _ in runs]), np.array([gap for _, gap in runs])
    slope, intercept = np.polyfit(x, y, 1)
    at, freedom = np.log10(PAPER_TOKENS), len(runs) - 2
    mean = float(intercept + slope * at)
    spread = np.sqrt(((y - intercept - slope * x) ** 2).sum() / freedom)
    apart = (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    half = float(stdtrit(freedom, 0.975) * spread * np.sqrt(1 + 1 / len(runs) + apart))
    return Interval(mean, mean - half, mean + half)


def verdict(study: Study) -> str:
    """Say which arm wins what, whether that is settled, and how it does in longer runs."""
    return _won(study) + _longer(study)


def _won(study: Study) -> str:
    low = study.arms[0]
    said = _winners(study)
    if low.share > 1:
        small = next((arm for arm in study.arms if arm.share <= 1), None)
        if small is not None:
            said = (
                f"{said} {low.arm}’s input has {low.share:.2g}× the table’s parameters; among the "
                f"arms no larger than the table, {small.arm} has the lowest validation loss."
            )
    if (run := _seeds(study, low)) < SEEDS:
        have = "has" if run == 1 else "have"
        said += (
            f" Only {run} of {SEEDS} seeds {have} been run and measured for both {low.arm} and "
            f"{study.table}, so this is not settled."
        )
    rival = _rival(study)
    if rival is None:
        return said
    seeds = _seeds(study, rival)
    measured: dict[str, ArmResult | Measured] = {_VALIDATION: rival}
    measured |= {m.condition: m for m in rival.measured}
    ahead = [where for where, result in measured.items() if _side(result) < 0]
    if len(ahead) == len(measured):
        fewer = [arm.arm for arm in study.arms if len(arm.seeds) < SEEDS]
        said += f" In each of {seeds} seeds, and by every paired interval, {rival.arm} is ahead of "
        said += f"{study.table}."
        if fewer:
            names = _and(fewer) if len(fewer) <= 3 else f"{len(fewer)} other arms"
            said += f" {names} had fewer seeds."
        return said
    if run < SEEDS:
        return said
    behind = [where for where, result in measured.items() if _side(result) > 0]
    level = [where for where in measured if where not in ahead + behind]
    share = f" ({rival.share:.0%} of the input parameters)" if rival.share < 1 else ""
    parts = [
        f"{how} {_where(places)}"
        for how, places in (("ahead", ahead), ("behind", behind), ("level", level))
        if places
    ]
    both = {rival.arm, study.table}
    known = {low.arm, *(a.arm for c in SHOWN if (a := study.best(c)))} <= both and low.share <= 1
    return ("" if known else f"{said} ") + (
        f"No arm wins outright: against {study.table}, {rival.arm}{share} is "
        f"{_and(parts, ', and ')}. To count as ahead or behind, all {seeds} seeds must agree and "
        "the interval must exclude 0."
    )


def _winners(study: Study) -> str:
    """Say which arm has the lowest loss where, arm by arm."""
    low = study.arms[0].arm
    places: dict[str, list[str]] = {low: []}
    for condition in SHOWN:
        if (best := study.best(condition)) is not None:
            places.setdefault(best.arm, []).append(condition)
    said = f"{low} has the lowest validation loss"
    if len(places) == 1 and places[low]:
        said += " and the lowest loss on true continuations after clean, misspelled"
        return said + (
            " and perturbed contexts." if len(places[low]) == len(SHOWN) else " contexts."
        )
    if mine := places.pop(low):
        said += f" and loses least {_where(mine)}"
    for result in study.arms:
        if where := places.get(result.arm):
            few = f" ({_counted(len(result.seeds))})" if len(result.seeds) < SEEDS else ""
            said += f"; {result.arm}{few} loses least {_where(where)}"
    return f"{said}."


def _rival(study: Study) -> ArmResult | None:
    """Return the best arm that is no table and, like the table, has enough seeds for a verdict."""
    arms = (arm for arm in study.arms if arm.arm not in TABLES)
    return next((arm for arm in arms if _seeds(study, arm) >= SEEDS), None)


def _side(result: ArmResult | Measured) -> int:
    """Return -1 if an arm is ahead of the table, 1 if it is behind, and otherwise 0.

    The interval of the difference must exclude 0 and all seeds must agree, because an interval
    over passages says nothing about how seeds differ.
    """
    interval, gaps = result.difference, result.gaps
    if interval is None:
        return 0
    return int(interval.low > 0 and min(gaps) > 0) - int(interval.high < 0 and max(gaps) < 0)


def _where(places: Sequence[str]) -> str:
    """Name conditions: those that tables show, or else the others."""
    return _and(
        [_WHERE[p] for p in places if p in _WHERE] or [f"after {p} contexts" for p in places]
    )


def _and(parts: Sequence[str], last_of: str = " and ") -> str:
    *first, last = parts
    return f"{', '.join(first)}{last_of}{last}" if first else last


def _longer(study: Study) -> str:
    """Say how the best arm of a study does in the longest runs, if these are other runs."""
    longest = max(study.others, key=lambda other: other.tokens, default=study)
    arm = longest.arm(_leader(study).arm)
    if longest.tokens <= study.tokens or arm is None or arm.difference is None:
        return ""
    said = f"{apart(arm.difference.mean)} {longest.table} in validation loss"
    misspelled = arm.at(MISSPELLED[0])
    if misspelled and misspelled.difference:
        said += f" and {apart(misspelled.difference.mean)} after 15% misspelled words"
    length = f"{longest.tokens / 1e6:.1f} million tokens"
    return f" In runs of {length} {arm.arm} is {said} ({_counted(len(arm.gaps))})."


def _counted(seeds: int) -> str:
    return f"{seeds} seed{'s' * (seeds > 1)}"


def apart(nats: float) -> str:
    """Return a difference in nats in words, such as “0.004 below”."""
    return f"{abs(nats):.3f} {'above' if nats > 0 else 'below'}"


def _study(folder: Path, runs: Sequence[tuple[Path, dict[str, Any]]]) -> Study | None:
    """Return the study of some runs; ``None`` if no table has run yet."""
    tuned: dict[str, dict[Tuning, dict[int, tuple[Path, dict[str, Any]]]]]
    tuned = defaultdict(lambda: defaultdict(dict))
    for path, run in runs:
        if run["arm"] in ARMS:
            config = run["config"]
            scale, share = config.get("init_std", 0.0), config.get("input_rate", 1.0)
            tuning = Tuning(config["adam_lr"], scale, share)
            tuned[run["arm"]][tuning][run["seed"]] = path, run
    best = {arm: _best(tried) for arm, tried in tuned.items()}
    by_arm = {arm: tuned[arm][tuning] for arm, tuning in best.items()}
    tables = [arm for arm in TABLES if arm in by_arm]
    if not tables:
        return None
    losses = {
        arm: {seed: run["val_loss"] for seed, (_, run) in chosen.items()}
        for arm, chosen in by_arm.items()
    }
    table = _best({arm: by_arm[arm] for arm in tables})
    about = _passages(folder)
    one = runs[0][1]
    config = one["config"]
    full = by_arm[tables[0]][min(by_arm[tables[0]])][1]["input_parameters"]
    measured = _conditions(
        table,
        {arm: _measured(chosen) for arm, chosen in by_arm.items()},
        about.get("conditions", []),
    )
    costs, costs_about = _costs(folder)
    arms = tuple(
        replace(
            _arm(arm, by_arm[arm], losses, table, full, measured.get(arm, ()), best[arm]),
            cost=costs.get(arm),
        )
        for arm in by_arm
    )
    return Study(
        name=folder.name,
        vocabulary=config["vocabulary"],
        optimizer=config["optimizer"],
        rate=best[table].rate,
        rates=tuple(sorted({run["config"]["adam_lr"] for _, run in runs})),
        d_model=config["d_model"],
        n_layer=config["n_layer"],
        tokens=one["tokens"],
        table=table,
        text=about.get("text", ""),
        documents=about.get("documents"),
        passages=about.get("passages", 0),
        arms=tuple(sorted(arms, key=lambda arm: arm.val_nats)),
        costs=costs_about,
    )


def _best(tried: Mapping[Key, dict[int, tuple[Path, dict[str, Any]]]]) -> Key:
    """Return the key of the runs with the lowest mean loss, of those with the most seeds."""
    most = max(map(len, tried.values()))

    def loss(key: Key) -> float:
        return float(np.mean([run["val_loss"] for _, run in tried[key].values()]))

    return min((key for key, runs in tried.items() if len(runs) == most), key=loss)


def _costs(folder: Path) -> tuple[dict[str, Cost], CostsAbout | None]:
    """Read the costs that ``benchmarks/arms.py`` wrote for a study, by arm."""
    path = folder / COSTS
    if not path.exists():
        return {}, None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        by_arm = {arm: Cost(**cost) for arm, cost in stored.pop("arms").items()}
        return by_arm, CostsAbout(**stored)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"The file {folder.name}/{COSTS} is damaged; restore it.") from None


def _arm(
    arm: str,
    runs: dict[int, tuple[Path, dict[str, Any]]],
    losses: dict[str, dict[int, float]],
    table: str,
    full: int,
    measured: tuple[Measured, ...],
    tuning: Tuning,
) -> ArmResult:
    own = losses[arm]
    both = sorted(own.keys() & losses[table].keys()) if arm != table else []
    gaps = tuple(own[seed] - losses[table][seed] for seed in both)
    run = next(iter(runs.values()))[1]
    # A tied table is also the head: its rows are counted once, as input.
    return ArmResult(
        arm=arm,
        seeds=tuple(sorted(runs)),
        val_nats=float(np.mean(list(own.values()))),
        gaps=gaps,
        parameters=run["parameters"],
        input_parameters=run["input_parameters"],
        share=run["input_parameters"] / full,
        curves={seed: dict(run["curve"]) for seed, (_, run) in runs.items()},
        measured=measured,
        tuning=tuning,
    )


def _mean_curve(curves: Iterable[Mapping[int, float]]) -> tuple[tuple[int, float], ...]:
    """Return the mean at each number of tokens that all curves have."""
    known = list(curves)
    steps = sorted(set.intersection(*map(set, known))) if known else []
    return tuple((step, float(np.mean([curve[step] for curve in known]))) for step in steps)


def _over_seeds(gaps: Sequence[float]) -> Interval | None:
    """Return the mean of differences with its 95% t-interval."""
    if not gaps:
        return None
    mean = float(np.mean(gaps))
    if len(gaps) < 2 or np.ptp(gaps) == 0:
        return Interval(mean, mean, mean)
    half = float(stdtrit(len(gaps) - 1, 0.975)) * float(np.std(gaps, ddof=1)) / len(gaps) ** 0.5
    return Interval(mean, mean - half, mean + half)


def _conditions(
    table: str,
    measured: dict[str, dict[int, NDArray[np.float64]]],
    conditions: Sequence[str],
) -> dict[str, tuple[Measured, ...]]:
    """Return each arm's losses by condition; passages are resampled, seeds are averaged."""
    rows: dict[str, Any] = {condition: row for row, condition in enumerate(conditions)}
    if set(PERTURBATIONS) <= rows.keys():
        rows[PERTURBED] = [rows[name] for name in PERTURBATIONS]

    def columns(runs: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        losses = np.mean(runs, axis=0)
        return np.stack([np.atleast_2d(losses[row]).mean(0) for row in rows.values()], 1)

    own = {arm: columns(list(runs.values())) for arm, runs in measured.items() if runs}
    apart, seeds = {}, {arm: len(runs) for arm, runs in measured.items()}
    gaps: dict[str, Any] = {}
    for arm in own.keys() - {table}:
        if both := sorted(measured[arm].keys() & measured.get(table, {}).keys()):
            by_seed = [columns([measured[arm][seed] - measured[table][seed]]) for seed in both]
            apart[arm], seeds[arm] = np.mean(by_seed, axis=0), len(both)
            gaps[arm] = zip(*(one.mean(0).tolist() for one in by_seed), strict=True)
    if not own:
        return {}
    # From one call for all arms, because drawing the passages takes longest.
    drawn = iter(bootstrap_intervals(np.hstack([*own.values(), *apart.values()]), seed=0))
    nats, differences = (
        {arm: tuple(islice(drawn, len(rows))) for arm in part} for part in (own, apart)
    )
    return {
        arm: tuple(
            Measured(condition, mean, difference, seeds[arm], by_seed)
            for condition, mean, difference, by_seed in zip(
                rows,
                nats[arm],
                differences.get(arm, repeat(None, len(rows))),
                gaps.get(arm, repeat((), len(rows))),
                strict=True,
            )
        )
        for arm in own
    }


def _measured(runs: dict[int, tuple[Path, dict[str, Any]]]) -> dict[int, NDArray[np.float64]]:
    """Read the losses of the passages by seed: ``(conditions, passages)`` each."""
    files = {seed: path.with_suffix(".npy") for seed, (path, _) in runs.items()}
    return {
        seed: np.load(path, allow_pickle=False).astype(np.float64)
        for seed, path in files.items()
        if path.exists()
    }


def _passages(folder: Path) -> dict[str, Any]:
    path = folder / "passages.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def lines(study: Study) -> Iterator[str]:
    """Yield a study as text, one line per arm."""
    rates = f"{study.rate:g}"
    if len(study.rates) > 1:
        rates += f" (each arm at its best of {', '.join(f'{rate:g}' for rate in study.rates)})"
    yield (
        f"{study.name}: {study.vocabulary}, width {study.d_model}, {study.n_layer} layers, "
        f"{study.tokens:,} tokens per run, {study.optimizer} at {rates}; differences are "
        f"arm − {study.table}, nats per token"
    )
    yield verdict(study)
    for arm in study.arms:
        cells = [f"{arm.arm:15} seeds {len(arm.seeds)}  input {arm.input_parameters:>11,}"]
        cells.append(f"validation {arm.val_nats:.4f}")
        if arm.difference:
            cells.append(f"({signed(arm.difference, len(arm.gaps) > 1)})")
        if arm.cost:
            c = arm.cost
            cells.append(f"stored {c.stored_bytes / 1e6:.2f} MB, embedding ×{c.embed_ratio:.2f}")
            cells.append(f"step ×{c.step_ratio:.2f}")
        for condition in SHOWN:
            if (loss := arm.at(condition)) is not None:
                cells.append(f"{condition} {loss.nats.mean:.4f}")
                if loss.difference:
                    cells.append(f"({signed(loss.difference)})")
        tuning = arm.tuning.said(study.rate)
        yield "  ".join(cells + ([f"({tuning})"] if tuning else []))
    for gap in study.gaps:
        said = ", ".join(f"{signed(d, d.low < d.high)} at {t:,}" for t, d in gap.points)
        if gap.extrapolated:
            said += f"; extrapolated to {PAPER_TOKENS:,}: {signed(gap.extrapolated)}"
        yield f"{gap.arm:15} validation, by tokens per run: {said}"
        if gap.misspelled:
            said = ", ".join(f"{signed(d)} at {t:,}" for t, d in gap.misspelled)
            yield f"{gap.arm:15} {MISSPELLED[0]}, by tokens per run: {said}"
    for other in study.others:
        yield ""
        yield from lines(other)


def signed(value: Interval, bounds: bool = True, digits: int = 3) -> str:
    """Return a difference as text, with its interval if there is one to show."""
    limits = f" [{value.low:+.{digits}f}, {value.high:+.{digits}f}]" if bounds else ""
    return f"{value.mean:+.{digits}f}{limits}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=STUDIES)
    folder = parser.parse_args().folder
    listed = studies(folder)
    if not listed:
        raise InputError(f"There is no study in {short_name(str(folder))}; give another folder.")
    for study in listed:
        print("\n".join(lines(study)), end="\n\n")


if __name__ == "__main__":
    cli.run(main)
