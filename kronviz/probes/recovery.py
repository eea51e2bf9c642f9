"""Measure how long a model remembers a typo: KL(clean ‖ misspelled) at every later token.

Notable:

- The two runs are compared where both have read up to the same character: a place counts if a
  token ends there in both texts, so it does not matter how the words between are tokenized.
- The curve is an average over passages, several misspellings in each. Intervals resample passages,
  because misspellings in one passage are not independent of each other.
- `recovery_strip` is the same for one text, place by place.

    python -m kronviz.probes recovery --pair tiny --seed 1 --json recovery.json
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from kronviz.metrics import kl_divergence
from kronviz.model import GPT, parameter_count, right_padded
from kronviz.paths import ASSETS
from kronviz.predictor import InputError, Predictor, TokenView, clean_text
from kronviz.probes.alignment import Place, aligned, changed_bytes
from kronviz.probes.intervals import Interval, bootstrap_intervals
from kronviz.probes.outcomes import BATCH_FLOP
from kronviz.probes.pairs import misspelled
from kronviz.probes.robustness import MisspellingSettings, not_too_many
from kronviz.progress import Progress, gather
from kronviz.settings import check, narrowed, setting

PASSAGES = ASSETS / "passages.txt"
MAX_LATER = 64
MAX_REPEATS = 16


@dataclass(frozen=True)
class ArmKL:
    """KL(clean ‖ misspelled) of one arm's prediction, in nats."""

    arm: str
    kl_nats: float


@dataclass(frozen=True)
class ArmInterval:
    """Mean KL(clean ‖ misspelled) of one arm, in nats, with its 95% interval."""

    arm: str
    kl_nats: Interval


@dataclass(frozen=True)
class RecoveryPoint:
    """All runs ``later`` tokens after the misspelled word; ``runs`` is how many reach that far."""

    later: int
    runs: int
    arms: tuple[ArmInterval, ...]


@dataclass(frozen=True)
class RecoveryArm:
    """How long one arm remembers.

    Attributes:
        half_after, tenth_after: tokens until the mean KL is at most a half, a tenth of its value
            right after the misspelled word; ``None`` if that is not within the tokens compared.
        summed_nats: sum of the mean KL over all tokens compared.
    """

    arm: str
    half_after: int | None
    tenth_after: int | None
    summed_nats: float


@dataclass(frozen=True)
class Recovery:
    """The recovery curves; ``asked`` and ``done`` count passages."""

    pair: str
    seed: int
    kinds: tuple[str, ...]
    repeats: int
    asked: int
    done: int
    runs: int
    points: tuple[RecoveryPoint, ...]
    arms: tuple[RecoveryArm, ...]
    problems: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class StripToken:
    """A token of the misspelled text and how far the prediction after it has moved.

    Attributes:
        token: as shown; its ``changed`` marks the bytes that are not in the clean text.
        later: tokens since the last misspelled word; ``None`` before the first and inside one.
        arms: empty if no token of the clean text ends here.
    """

    token: TokenView
    later: int | None
    arms: tuple[ArmKL, ...]


@dataclass(frozen=True)
class RecoveryStrip:
    """One text, token by token."""

    pair: str
    clean: str
    typo: str
    tokens: tuple[StripToken, ...]
    seconds: float


@dataclass(frozen=True)
class PassageRuns:
    """KLs of one passage: arm → one list per misspelling, from right after the misspelled word."""

    kls: dict[str, list[list[float]]]


@dataclass(frozen=True)
class RecoverySettings:
    """The settings of the recovery probe."""

    passages: tuple[str, ...] = setting(
        (), "Clean texts of about fifty words; empty for our own", lines=True
    )
    kinds: tuple[str, ...] = narrowed(MisspellingSettings, "kinds")
    repeats: int = setting(4, "Misspellings tried in each passage", low=1, high=MAX_REPEATS)
    later: int = setting(24, "Tokens compared after the misspelling", low=1, high=MAX_LATER)
    seed: int = narrowed(MisspellingSettings, "seed")


def recovery(
    predictor: Predictor,
    settings: RecoverySettings = RecoverySettings(),
    progress: Progress | None = None,
) -> Recovery:
    """Misspell one word in the first half of each passage and compare the runs over the rest.

    Args:
        progress: called after each passage; a stopped run returns what was read.

    Raises:
        InputError: a setting is invalid.
    """
    check(settings)
    texts, problems = fitting_passages(predictor, settings.passages or our_passages())
    steps = passage_runs(predictor, texts, settings)

    def summarize(read: list[PassageRuns], seconds: float) -> Recovery:
        return summarise_recovery(
            predictor, read, settings, asked=len(texts), problems=problems, seconds=seconds
        )

    return gather(steps, len(texts), summarize, progress)


def our_passages() -> tuple[str, ...]:
    """Return the passages that come with kronviz: prose of about fifty words each."""
    return tuple(PASSAGES.read_text(encoding="utf-8").splitlines())


def fitting_passages(
    predictor: Predictor, passages: Iterable[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the passages that fit the models, and a sentence for each that does not."""
    lines = not_too_many(passages, "passages")
    if not lines:
        raise InputError("There are no passages; type at least one.")
    fitting, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            predictor.encode(line, f"passage {number}")
        except InputError as error:
            problems.append(str(error))
        else:
            fitting.append(line)
    return fitting, tuple(problems)


def passage_runs(
    predictor: Predictor, passages: Sequence[str], settings: RecoverySettings
) -> Iterator[Sequence[PassageRuns]]:
    """Read passage after passage, each clean and misspelled ``settings.repeats`` times.

    Yields:
        One passage that was read, or an empty tuple in between, so that the run can be stopped.
    """
    for number, clean in enumerate(passages):
        half = len(clean[: len(clean) // 2].rpartition(" ")[0]) or len(clean)
        typos = []
        for repeat in range(settings.repeats):
            draw = settings.seed + number * MAX_REPEATS + repeat
            made = misspelled(clean[:half], settings.kinds, seed=draw)
            if made.edits:
                typos.append(made.text + clean[half:])
        yield from _read_passage(predictor, clean, typos, settings.later)


def _read_passage(
    predictor: Predictor, clean: str, typos: Sequence[str], later: int
) -> Iterator[Sequence[PassageRuns]]:
    ids, *whole = (predictor.tokenizer.encode(text) for text in (clean, *typos))
    first, *others = ([predictor.tokenizer.token_bytes(i) for i in text] for text in (ids, *whole))
    # A misspelling may need more tokens than the model can read; its end is cut, but only after
    # alignment, because the end of a cut text does not match the end of the clean one.
    runs = [text[: predictor.n_ctx] for text in whole]
    after = [
        [
            place
            for place in aligned(first, other)
            if place.later is not None and place.later < later and place.typo < len(run)
        ]
        for other, run in zip(others, runs, strict=True)
    ]
    kls: dict[str, list[list[float]]] = {}
    for arm, model in predictor.arms.items():
        finals: list[torch.Tensor] = []
        for states in _final_states(model, [ids, *runs]):
            finals += states
            yield ()
        kls[arm] = []
        for final, places in zip(finals[1:], after, strict=True):
            if places:
                kls[arm].append(_kls(model, finals[0], final, places))
                yield ()
    yield (PassageRuns(kls),)


@torch.inference_mode()
def _final_states(model: GPT, texts: Sequence[Sequence[int]]) -> Iterator[list[torch.Tensor]]:
    """Yield the final hidden states ``(tokens, d_model)`` of each text, batch by batch."""
    longest = max(map(len, texts))
    size = max(1, int(BATCH_FLOP / (2 * parameter_count(model) * longest)))
    for start in range(0, len(texts), size):
        batch = texts[start : start + size]
        ids, _ = right_padded(batch)
        states = model.final_states(ids.to(model.device))
        yield [states[row, : len(text)] for row, text in enumerate(batch)]


@torch.inference_mode()
def _kls(
    model: GPT, clean: torch.Tensor, typo: torch.Tensor, places: Sequence[Place]
) -> list[float]:
    if not places:
        return []
    p = model.logits(clean[[place.clean for place in places]])
    q = model.logits(typo[[place.typo for place in places]])
    return kl_divergence(p, q).tolist()


def summarise_recovery(
    predictor: Predictor,
    read: Sequence[PassageRuns],
    settings: RecoverySettings,
    *,
    asked: int,
    problems: tuple[str, ...] = (),
    seconds: float = 0.0,
) -> Recovery:
    """Return the curves of what was read so far."""
    arms = list(predictor.arms)
    points = []
    lengths = [len(run) for passage in read for run in passage.kls[arms[0]]]
    for place in range(max(lengths, default=0)):
        by_passage = []
        for passage in read:
            reaching = [
                [run[place] for run in passage.kls[arm] if len(run) > place] for arm in arms
            ]
            if reaching[0]:
                by_passage.append([sum(values) / len(values) for values in reaching])
        intervals = bootstrap_intervals(by_passage, settings.seed)
        runs = sum(length > place for length in lengths)
        points.append(RecoveryPoint(place, runs, tuple(map(ArmInterval, arms, intervals))))
    return Recovery(
        pair=predictor.pair,
        seed=settings.seed,
        kinds=settings.kinds,
        repeats=settings.repeats,
        asked=asked,
        done=len(read),
        runs=len(lengths),
        points=tuple(points),
        arms=tuple(
            _arm(arm, [point.arms[i].kl_nats.mean for point in points])
            for i, arm in enumerate(arms)
        ),
        problems=problems,
        seconds=seconds,
    )


def _arm(arm: str, means: Sequence[float]) -> RecoveryArm:
    def first_below(share: float) -> int | None:
        return next((i for i, mean in enumerate(means) if mean <= share * means[0]), None)

    return RecoveryArm(arm, first_below(0.5), first_below(0.1), sum(means))


def recovery_strip(predictor: Predictor, clean: str, typo: str) -> RecoveryStrip:
    """Compare one misspelled text with its clean form, token by token, with every arm.

    Raises:
        InputError: a text is empty or too long.
    """
    started = time.perf_counter()
    clean, typo = clean_text(clean), clean_text(typo)
    ids = predictor.encode(clean, "clean text")
    run = predictor.encode(typo, "misspelled text")
    streams = [[predictor.tokenizer.token_bytes(i) for i in text] for text in (ids, run)]
    places = aligned(*streams)
    by_arm: dict[str, list[float]] = {}
    for arm, model in predictor.arms.items():
        finals = list(chain.from_iterable(_final_states(model, [ids, run])))
        by_arm[arm] = _kls(model, finals[0], finals[1], places)
    at = {place.typo: i for i, place in enumerate(places)}
    changed = changed_bytes(*streams)
    tokens = []
    for index, token in enumerate(run):
        place = at.get(index)
        tokens.append(
            StripToken(
                token=TokenView(
                    token,
                    predictor.tokenizer.token_text(token),
                    predictor.tokenizer.token_bytes(token).hex(" "),
                    changed[index],
                ),
                later=None if place is None else places[place].later,
                arms=()
                if place is None
                else tuple(ArmKL(arm, kls[place]) for arm, kls in by_arm.items()),
            )
        )
    return RecoveryStrip(predictor.pair, clean, typo, tuple(tokens), time.perf_counter() - started)
