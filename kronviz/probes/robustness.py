"""Read clean and misspelled prompts with both arms: the paper's robustness table (section 6.11).

Notable:

- `outcomes.outcomes` reads batch after batch, so a caller can show progress and stop; `summarise`
  turns what was read by then into the result.
- Intervals are paired: every arm and every difference is resampled over the same pairs.

    python -m kronviz.probes robustness --pair tiny --seed 1 --json robustness.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kronviz.checkpoint_files import PAIR
from kronviz.predictor import MAX_CHARS, InputError, Predictor
from kronviz.probes.answers import Answers, answers
from kronviz.probes.intervals import (
    RESAMPLES,
    ArmMean,
    Difference,
    Interval,
    bootstrap_intervals,
    differences,
    gaps,
    mcnemar_exact,
)
from kronviz.probes.outcomes import ArmOutcome, PairOutcome, fitted, outcomes
from kronviz.probes.pairs import Pair, PairSet, misspelled
from kronviz.progress import Progress, asking, gather
from kronviz.settings import check, refuse_idle, setting
from kronviz.typos import DEFAULT_KINDS, KEYBOARDS, KINDS

TIE = 1e-6
FEWEST = 6
"""Fewest pairs for an interval to decide anything: five pairs all fall on one side by chance in one
of 16 draws, which is more than the 5% by which a 95% interval may be wrong."""
MAX_SENTENCES = 500
METRICS = ("top1_kept", "kl_nats", "hidden_cosine", "logprob_drop_nats")
LARGER_IS_STEADIER = frozenset({"top1_kept", "hidden_cosine"})


@dataclass(frozen=True)
class MetricRow:
    """One of the four metrics over many pairs, in the unit its name ends with.

    Attributes:
        metric: ``top1_kept`` (its mean is a share, 0 to 1), ``kl_nats``, ``hidden_cosine`` or
            ``logprob_drop_nats``.
        difference: kron − bpe, pair by pair; ``None`` if an arm is missing.
        kron_wins, ties, bpe_wins: pairs on which the arm is steadier by more than `TIE`.
        further: the differences of every two arms that are not these two.
    """

    metric: str
    arms: tuple[ArmMean, ...]
    difference: Interval | None
    kron_wins: int
    ties: int
    bpe_wins: int
    further: tuple[Difference, ...] = ()

    @property
    def pairs(self) -> int:
        """Return how many pairs both arms were compared on."""
        return self.kron_wins + self.ties + self.bpe_wins

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Return the difference of every two arms, that of the paper's two first."""
        paper = (Difference("kron", "bpe", self.difference),) if self.difference else ()
        return paper + self.further

    @property
    def steadier(self) -> str | None:
        """Return the arm that is steadier than every other by an interval that excludes 0.

        ``None`` if there is none, an arm is missing or there are fewer than `FEWEST` pairs.
        """
        if self.pairs < FEWEST:
            return None
        larger = self.metric in LARGER_IS_STEADIER
        clear = [d for d in self.differences if not d.value.low <= 0 <= d.value.high]
        won = [d.arm if (d.value.mean > 0) == larger else d.base for d in clear]
        others = len(self.arms) - 1
        return next((arm for arm in dict.fromkeys(won) if won.count(arm) == others), None)


@dataclass(frozen=True)
class McNemar:
    """How many pairs each arm kept its first choice on, and the exact two-sided p-value."""

    both_kept: int
    only_bpe: int
    only_kron: int
    neither: int
    p_value: float


@dataclass(frozen=True)
class Inflation:
    """How misspelling changes the number of tokens, which is the same for both arms.

    Attributes:
        ratio: tokens of all misspelled texts over tokens of all clean ones.
        added: mean number of tokens that misspelling adds to a text.
        inflated_pairs: pairs whose misspelled text has more tokens.
    """

    ratio: float
    added: Interval
    inflated_pairs: int


@dataclass(frozen=True)
class CategoryRow:
    """The four metrics of one category; each arm's values are means over its pairs."""

    category: str
    pairs: int
    arms: tuple[CategoryArm, ...]


@dataclass(frozen=True)
class CategoryArm:
    """Means over the pairs of a category; ``top1_kept`` counts pairs."""

    arm: str
    top1_kept: int
    kl_nats: float
    hidden_cosine: float
    logprob_drop_nats: float


@dataclass(frozen=True)
class Robustness:
    """The result of a run over pairs, finished or stopped.

    Attributes:
        pair: name of the pair of models.
        asked, done: pairs to read, and pairs read.
        problems: a sentence for each thing that could not be used.
        seconds: time the run took.
        answers: how the right answers were rated, if any pair has one.
    """

    pair: str
    seed: int
    resamples: int
    asked: int
    done: int
    metrics: tuple[MetricRow, ...]
    mcnemar: McNemar | None
    inflation: Inflation | None
    categories: tuple[CategoryRow, ...]
    outcomes: tuple[PairOutcome, ...]
    problems: tuple[str, ...]
    seconds: float
    answers: Answers | None = None

    def metric(self, name: str) -> MetricRow | None:
        """Return the row of a metric, if anything was read."""
        return next((row for row in self.metrics if row.metric == name), None)


@dataclass(frozen=True)
class MisspellingSettings:
    """How clean sentences are misspelled for the robustness probe, and with which seed it runs."""

    sentences: tuple[str, ...] = setting(
        (), "Clean sentences to misspell instead of pairs", lines=True
    )
    kinds: tuple[str, ...] = setting(DEFAULT_KINDS, "Kinds of misspelling", choices=KINDS)
    edits: int = setting(1, "Misspellings in each sentence", low=0, high=8)
    seed: int = setting(0, "Seed of the misspellings and of the bootstrap")
    share: float = setting(
        0.0,
        "Share of each sentence's words to misspell; edits then counts per word. With 0, edits "
        "counts for the whole sentence",
        low=0,
        high=1,
        percent=True,
    )
    protect_first: bool = setting(True, "The first letter of every word stays", link="first")
    keyboard: str = setting("qwerty", "Keyboard, for hits on the key beside", choices=KEYBOARDS)

    def pairs_or(self, others: Callable[[], PairSet], progress: Progress | None = None) -> PairSet:
        """Return the sentences and their misspelled forms as pairs; without sentences, others.

        Args:
            progress: as for `kronviz.progress.asking`.

        Raises:
            InputError: a setting is invalid, or has no effect because there are no sentences.
        """
        if self.sentences:
            return self.pairs(progress)
        idle = "kinds", "edits", "share", "protect_first", "keyboard"
        refuse_idle(self, idle, "sentences to misspell")
        return others()

    def pairs(self, progress: Progress | None = None) -> PairSet:
        """Return the sentences and their misspelled forms as pairs; argument as for `pairs_or`.

        A pair's category is the kind of its misspelling.
        """
        check(self)
        pairs, problems = [], []
        lines = not_too_many(self.sentences, "sentences")
        if not lines:
            raise InputError("There are no sentences; type at least one.")
        for number, clean in enumerate(asking(lines, progress, 8), 1):
            if len(clean) > MAX_CHARS:
                problems.append(
                    f"Sentence {number} has {len(clean):,} characters; the limit is {MAX_CHARS:,}."
                )
                continue
            made = misspelled(
                clean,
                self.kinds,
                edits=self.edits,
                # Each sentence has its own seed, or the same place would be misspelled in all.
                seed=self.seed + number - 1,
                share=self.share or None,
                protect_first=self.protect_first,
                keyboard=self.keyboard,
            )
            if not made.edits:
                problems.append(f"Sentence {number} could not be misspelled that way.")
                continue
            names = " + ".join(dict.fromkeys(KINDS[edit.kind].label for edit in made.edits))
            pairs.append(Pair(str(number), names, clean, made.text, None, made.edits))
        return PairSet(tuple(pairs), tuple(problems))


def not_too_many(texts: Iterable[str], what: str) -> list[str]:
    """Return texts without the space around them and without empty ones.

    Args:
        what: what they are, in the plural.

    Raises:
        InputError: there are more than `MAX_SENTENCES`.
    """
    given = [stripped for text in texts if (stripped := text.strip())]
    if len(given) > MAX_SENTENCES:
        raise InputError(f"There are {len(given):,} {what}; give at most {MAX_SENTENCES:,}.")
    return given


def robustness(
    predictor: Predictor,
    pairs: PairSet,
    *,
    seed: int = MisspellingSettings.seed,
    progress: Progress | None = None,
) -> Robustness:
    """Read every pair with every arm and summarise.

    Args:
        pairs: from `pairs.load_pairs`, `pairs.parse_pairs` or `MisspellingSettings.pairs`.
        seed: of the bootstrap; the same pairs and seed give the same figures.
        progress: called after each batch; a stopped run returns what was read.
    """
    fitting = fitted(predictor, pairs, progress)
    return gather(
        outcomes(predictor, fitting.pairs),
        len(fitting.pairs),
        lambda read, seconds: summarise(predictor, fitting, read, seed=seed, seconds=seconds),
        progress,
    )


def summarise(
    predictor: Predictor,
    pairs: PairSet,
    read: Sequence[PairOutcome],
    *,
    seed: int = MisspellingSettings.seed,
    seconds: float = 0.0,
) -> Robustness:
    """Return the result of what was read of ``pairs`` so far."""
    return Robustness(
        pair=predictor.pair,
        seed=seed,
        resamples=RESAMPLES,
        asked=len(pairs.pairs),
        done=len(read),
        metrics=metric_rows([outcome.arms for outcome in read], seed),
        mcnemar=_mcnemar(read),
        inflation=_inflation(read, seed),
        categories=_categories(read),
        outcomes=tuple(read),
        problems=pairs.problems,
        seconds=seconds,
        answers=answers(read, seed),
    )


def metric_rows(read: Sequence[Sequence[ArmOutcome]], seed: int) -> tuple[MetricRow, ...]:
    """Return the four metrics over pairs; each entry has the arms' outcomes in the same order."""
    if not read:
        return ()
    names = [outcome.arm for outcome in read[0]]
    values = np.array(
        [[[getattr(o.metrics, metric) for metric in METRICS] for o in arms] for arms in read], float
    )
    columns = []
    for i in range(len(METRICS)):
        columns += [values[:, :, i], gaps(values[:, :, i])]
    intervals = iter(bootstrap_intervals(np.hstack(columns), seed))
    rows = []
    for i, metric in enumerate(METRICS):
        arms = tuple(ArmMean(name, next(intervals)) for name in names)
        every_two = differences(names, intervals)
        paper = next((gap for gap in every_two if {gap.arm, gap.base} == set(PAIR)), None)
        steadier = np.zeros(0)
        if paper:
            sign = 1 if metric in LARGER_IS_STEADIER else -1
            bpe, kron = (values[:, names.index(arm), i] for arm in ("bpe", "kron"))
            steadier = sign * (kron - bpe)
        rows.append(
            MetricRow(
                metric=metric,
                arms=arms,
                difference=paper.value if paper else None,
                kron_wins=int((steadier > TIE).sum()),
                ties=int((abs(steadier) <= TIE).sum()),
                bpe_wins=int((steadier < -TIE).sum()),
                further=tuple(gap for gap in every_two if gap is not paper),
            )
        )
    return tuple(rows)


def _mcnemar(read: Sequence[PairOutcome]) -> McNemar | None:
    if not read:
        return None
    counts = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0)
    for outcome in read:
        kept = {arm.arm: arm.metrics.top1_kept for arm in outcome.arms}
        if not all(arm in kept for arm in PAIR):
            return None
        counts[kept["bpe"], kept["kron"]] += 1
    only_bpe, only_kron = counts[True, False], counts[False, True]
    return McNemar(
        both_kept=counts[True, True],
        only_bpe=only_bpe,
        only_kron=only_kron,
        neither=counts[False, False],
        p_value=mcnemar_exact(only_bpe, only_kron),
    )


def _inflation(read: Sequence[PairOutcome], seed: int) -> Inflation | None:
    if not read:
        return None
    added = [outcome.typo_tokens - outcome.clean_tokens for outcome in read]
    return Inflation(
        ratio=sum(o.typo_tokens for o in read) / sum(o.clean_tokens for o in read),
        added=bootstrap_intervals([[more] for more in added], seed)[0],
        inflated_pairs=sum(more > 0 for more in added),
    )


def _categories(read: Sequence[PairOutcome]) -> tuple[CategoryRow, ...]:
    grouped: dict[str, list[PairOutcome]] = {}
    for outcome in read:
        grouped.setdefault(outcome.category, []).append(outcome)
    return tuple(
        CategoryRow(name, len(group), tuple(_category_arms(group)))
        for name, group in grouped.items()
    )


def _category_arms(group: Sequence[PairOutcome]) -> Iterator[CategoryArm]:
    for i, first in enumerate(group[0].arms):
        metrics = [outcome.arms[i].metrics for outcome in group]
        n = len(metrics)
        yield CategoryArm(
            arm=first.arm,
            top1_kept=sum(m.top1_kept for m in metrics),
            kl_nats=sum(m.kl_nats for m in metrics) / n,
            hidden_cosine=sum(m.hidden_cosine for m in metrics) / n,
            logprob_drop_nats=sum(m.logprob_drop_nats for m in metrics) / n,
        )
