"""Misspell every word of a text in turn and measure how far the prediction moves.

Notable:

- One word is misspelled at a time, a few times with different draws; the mean is reported. A word
  that could not be misspelled has no figures.
- Words are read from first to last, so a stopped run has the beginning of the text.

    python -m kronviz.probes sensitivity --pair tiny --text "The capital of France is"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kronviz.predictor import InputError, Predictor
from kronviz.probes.outcomes import PairOutcome, outcomes
from kronviz.probes.pairs import Pair, misspelled
from kronviz.probes.robustness import MisspellingSettings
from kronviz.progress import Progress, gather
from kronviz.settings import check, narrowed, setting
from kronviz.typos.words import Word, find_words

MAX_TRIES = 10
MAX_WORDS = 60


@dataclass(frozen=True)
class ArmHurt:
    """One arm's change when this word is misspelled, averaged over the variants.

    Attributes:
        kl_nats: KL(clean ‖ misspelled) at the end of the text.
        top1_kept: share of the variants, 0 to 1, that leave the first choice unchanged.
    """

    arm: str
    kl_nats: float
    top1_kept: float


@dataclass(frozen=True)
class WordHurt:
    """One word, characters ``start`` to ``end`` of the text, and its misspelled variants."""

    word: str
    start: int
    end: int
    variants: tuple[str, ...]
    arms: tuple[ArmHurt, ...]


@dataclass(frozen=True)
class ArmChoice:
    """The text of one arm's first choice after the clean text."""

    arm: str
    clean_top: str


@dataclass(frozen=True)
class Sensitivity:
    """A text, and how much each arm's prediction depends on the spelling of each word.

    Attributes:
        measured: how many words were measured, from the first on: all, unless it was stopped.
    """

    pair: str
    text: str
    seed: int
    kinds: tuple[str, ...]
    words: tuple[WordHurt, ...]
    arms: tuple[ArmChoice, ...]
    seconds: float
    measured: int = 0


@dataclass(frozen=True)
class Jobs:
    """What a run will read.

    Attributes:
        variants: the misspellings of each word.
        pairs: the text with itself, then with each variant; the id is the word's index.
    """

    text: str
    words: tuple[Word, ...]
    variants: tuple[tuple[str, ...], ...]
    pairs: tuple[Pair, ...]
    kinds: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class SensitivitySettings:
    """The settings of the sensitivity probe."""

    text: str = setting(..., f"A text of at most {MAX_WORDS} words")
    kinds: tuple[str, ...] = narrowed(MisspellingSettings, "kinds")
    tries: int = setting(3, "Misspellings tried of each word", low=1, high=MAX_TRIES)
    seed: int = setting(0, "Seed of the misspellings")


def sensitivity(
    predictor: Predictor, settings: SensitivitySettings, progress: Progress | None = None
) -> Sensitivity:
    """Misspell every word of a text in turn.

    Args:
        progress: called after each batch of texts; a stopped run returns what was read.

    Raises:
        InputError: the text is empty or too long, or a setting is invalid.
    """
    return sensitivity_of(predictor, sensitivity_jobs(predictor, settings), progress)


def sensitivity_of(
    predictor: Predictor, jobs: Jobs, progress: Progress | None = None
) -> Sensitivity:
    """Read the texts of `sensitivity_jobs` with every arm."""
    return gather(
        outcomes(predictor, jobs.pairs),
        len(jobs.pairs),
        lambda read, seconds: summarise_sensitivity(predictor, jobs, read, seconds),
        progress,
    )


def sensitivity_jobs(predictor: Predictor, settings: SensitivitySettings) -> Jobs:
    """Return what `sensitivity` will read, with its errors."""
    check(settings)
    text = settings.text
    predictor.encode(text, "text")
    words = find_words(text)
    if len(words) > MAX_WORDS:
        raise InputError(
            f"The text has {len(words):,} words; “where it hurts” takes {MAX_WORDS}. Shorten it."
        )
    variants = [
        word_variants(word.text, settings.kinds, settings.tries, settings.seed) for word in words
    ]
    # The clean text against itself gives the first choices, even where no word can be misspelled.
    pairs = [Pair("", "", text, text)]
    for number, (word, own) in enumerate(zip(words, variants, strict=True)):
        for variant in own:
            typo = text[: word.start] + variant + text[word.end :]
            if len(predictor.tokenizer.encode(typo)) <= predictor.n_ctx:
                pairs.append(Pair(str(number), "", text, typo))
    return Jobs(text, tuple(words), tuple(variants), tuple(pairs), settings.kinds, settings.seed)


def summarise_sensitivity(
    predictor: Predictor, jobs: Jobs, read: Sequence[PairOutcome], seconds: float = 0.0
) -> Sensitivity:
    """Return the result of what was read of the jobs so far, at least the first of them."""
    by_word: dict[str, list[PairOutcome]] = {}
    for outcome in read[1:]:
        by_word.setdefault(outcome.id, []).append(outcome)
    # The word of the next text counts as not measured, even if some of its variants were read.
    left = jobs.pairs[len(read) :]
    measured = int(left[0].id or 0) if left else len(jobs.words)
    return Sensitivity(
        pair=predictor.pair,
        text=jobs.text,
        seed=jobs.seed,
        kinds=jobs.kinds,
        words=tuple(
            WordHurt(
                word.text,
                word.start,
                word.end,
                variants,
                _arms(by_word.get(str(number), [])) if number < measured else (),
            )
            for number, (word, variants) in enumerate(zip(jobs.words, jobs.variants, strict=True))
        ),
        arms=tuple(ArmChoice(arm.arm, arm.clean_top) for arm in read[0].arms) if read else (),
        seconds=seconds,
        measured=measured,
    )


def word_variants(word: str, kinds: Sequence[str], tries: int, seed: int) -> tuple[str, ...]:
    """Return at most ``tries`` different misspellings of a word; none if it cannot be misspelled.

    Raises:
        InputError: an argument is invalid.
    """
    drawn = (misspelled(word, kinds, seed=seed * MAX_TRIES + draw) for draw in range(tries))
    return tuple(dict.fromkeys(made.text for made in drawn if made.edits))


def _arms(read: Sequence[PairOutcome]) -> tuple[ArmHurt, ...]:
    if not read:
        return ()
    arms = []
    for i, first in enumerate(read[0].arms):
        metrics = [outcome.arms[i].metrics for outcome in read]
        arms.append(
            ArmHurt(
                first.arm,
                sum(m.kl_nats for m in metrics) / len(metrics),
                sum(m.top1_kept for m in metrics) / len(metrics),
            )
        )
    return tuple(arms)
