"""Where it hurts: every word of a text misspelled in turn, and how far the prediction moves.

Notable:

- Only one word is misspelled at a time, a few times each with different draws; what is reported is
  the mean. A word in which nothing could be misspelled has no figures.
- Words are read from the first to the last, so a run that is stopped has the beginning of the
  text.

    python -m kronviz.probes sensitivity --pair tiny --text "The capital of France is"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kronviz.predictor import InputError, Predictor, clean_text
from kronviz.probes.outcomes import PairOutcome, outcomes
from kronviz.probes.pairs import Pair
from kronviz.progress import Progress, gather
from kronviz.settings import setting
from kronviz.typos import KINDS as ALL_KINDS
from kronviz.typos import misspell
from kronviz.typos.words import Word, find_words

KINDS = ("swap", "drop", "double", "insert", "neighbour")
TRIES = 3
MAX_TRIES = 10
MAX_WORDS = 60


@dataclass(frozen=True)
class ArmHurt:
    """One arm, when this word is misspelled: means over the variants.

    Attributes:
        kl_nats: KL(clean ‖ misspelled) at the end of the text.
        top1_kept: share of the variants, 0 to 1, after which the first choice is the same.
    """

    arm: str
    kl_nats: float
    top1_kept: float


@dataclass(frozen=True)
class WordHurt:
    """One word: characters ``start`` to ``end`` of the text, and what it was turned into."""

    word: str
    start: int
    end: int
    variants: tuple[str, ...]
    arms: tuple[ArmHurt, ...]


@dataclass(frozen=True)
class ArmChoice:
    """The first choice of one arm after the clean text, readable."""

    arm: str
    clean_top: str


@dataclass(frozen=True)
class Sensitivity:
    """A text and what each of its words is worth to each arm's prediction.

    Attributes:
        measured: how many words, from the first on, the run came to: all, unless it was stopped.
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
        variants: of each word.
        pairs: the text against itself, then with each variant; the id is the word's index.
    """

    text: str
    words: tuple[Word, ...]
    variants: tuple[tuple[str, ...], ...]
    pairs: tuple[Pair, ...]
    kinds: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class SensitivitySettings:
    """What the sensitivity probe can be asked for."""

    text: str = setting(..., f"A text of at most {MAX_WORDS} words")
    kinds: tuple[str, ...] = setting(KINDS, "Kinds of misspelling", choices=ALL_KINDS)
    tries: int = setting(TRIES, "Misspellings tried of each word", low=1, high=MAX_TRIES)
    seed: int = setting(0, "Seed of the misspellings")


def run(
    predictor: Predictor, asked: SensitivitySettings, progress: Progress | None = None
) -> Sensitivity:
    """Run `sensitivity` as the settings say."""
    return sensitivity(
        predictor,
        asked.text,
        kinds=asked.kinds,
        tries=asked.tries,
        seed=asked.seed,
        progress=progress,
    )


def sensitivity(
    predictor: Predictor,
    text: str,
    *,
    kinds: Sequence[str] = KINDS,
    tries: int = TRIES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sensitivity:
    """Misspell every word of a text in turn.

    Args:
        text: at most `MAX_WORDS` words.
        kinds: names in `typos.KINDS`, one of them drawn for each variant.
        tries: variants of each word, 1 to `MAX_TRIES`; equal ones count once.
        progress: told after each batch of texts; a stopped run returns what was read.

    Raises:
        InputError: the text is empty or too long, or an argument is invalid.
    """
    jobs = sensitivity_jobs(predictor, text, kinds=kinds, tries=tries, seed=seed)
    return sensitivity_of(predictor, jobs, progress)


def sensitivity_of(
    predictor: Predictor, jobs: Jobs, progress: Progress | None = None
) -> Sensitivity:
    """Read what `sensitivity_jobs` returned with every arm."""
    return gather(
        outcomes(predictor, jobs.pairs),
        len(jobs.pairs),
        lambda read, seconds: summarise_sensitivity(predictor, jobs, read, seconds),
        progress,
    )


def sensitivity_jobs(
    predictor: Predictor,
    text: str,
    *,
    kinds: Sequence[str] = KINDS,
    tries: int = TRIES,
    seed: int = 0,
) -> Jobs:
    """Return what `sensitivity` will read; its arguments and errors."""
    text = clean_text(text)
    predictor.encode(text, "text")
    if not isinstance(tries, int) or isinstance(tries, bool) or not 1 <= tries <= MAX_TRIES:
        raise InputError(f"tries is {tries!r}; give a whole number from 1 to {MAX_TRIES}.")
    words = find_words(text)
    if len(words) > MAX_WORDS:
        raise InputError(
            f"The text has {len(words):,} words; “where it hurts” takes {MAX_WORDS}. Shorten it."
        )
    variants = [word_variants(word.text, kinds, tries, seed) for word in words]
    # The clean text against itself gives the first choices, even where no word can be misspelled.
    pairs = [Pair("", "", text, text)]
    for number, (word, made) in enumerate(zip(words, variants, strict=True)):
        for variant in made:
            typo = text[: word.start] + variant + text[word.end :]
            if len(predictor.tokenizer.encode(typo)) <= predictor.n_ctx:
                pairs.append(Pair(str(number), "", text, typo))
    return Jobs(text, tuple(words), tuple(variants), tuple(pairs), tuple(kinds), seed)


def summarise_sensitivity(
    predictor: Predictor, jobs: Jobs, read: Sequence[PairOutcome], seconds: float = 0.0
) -> Sensitivity:
    """Return what was found by what was read of the jobs so far; at least the first of them was."""
    by_word: dict[str, list[PairOutcome]] = {}
    for outcome in read[1:]:
        by_word.setdefault(outcome.id, []).append(outcome)
    # The word that the next text is about counts as not measured, though some of it was read.
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
                made,
                _arms(by_word.get(str(number), [])) if number < measured else (),
            )
            for number, (word, made) in enumerate(zip(jobs.words, jobs.variants, strict=True))
        ),
        arms=tuple(ArmChoice(arm.arm, arm.clean_top) for arm in read[0].arms) if read else (),
        seconds=seconds,
        measured=measured,
    )


def word_variants(word: str, kinds: Sequence[str], tries: int, seed: int) -> tuple[str, ...]:
    """Return different misspellings of one word, at most ``tries``; none where it cannot be
    misspelled so.

    Raises:
        InputError: an argument is invalid to the engine.
    """
    made = []
    for draw in range(tries):
        try:
            found = misspell(word, kinds=tuple(kinds), edits=1, seed=seed * MAX_TRIES + draw)
        except (TypeError, ValueError) as error:
            raise InputError(str(error)) from None
        if found.edits:
            made.append(found.text)
    return tuple(dict.fromkeys(made))


def _arms(read: Sequence[PairOutcome]) -> tuple[ArmHurt, ...]:
    if not read:
        return ()
    found = []
    for i, first in enumerate(read[0].arms):
        metrics = [outcome.arms[i].metrics for outcome in read]
        found.append(
            ArmHurt(
                first.arm,
                sum(m.kl_nats for m in metrics) / len(metrics),
                sum(m.top1_kept for m in metrics) / len(metrics),
            )
        )
    return tuple(found)
