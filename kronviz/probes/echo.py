"""Measures how often a continuation repeats a novel string (section 6.12).

Notable:

- A novel string is not a single token of the vocabulary. It is put into prompts and read in two
  ways: as its own tokens by every arm, and as one forced slot by arms that embed bytes.
- `EchoRun.echoed` is a whole repetition. Small models rarely spell a long string without a mistake,
  so the longest piece of the string in the continuation is measured, too, and compared with the
  same figure for the other strings of the set, which is the level of chance.
- All readings of a string use the same random numbers.

Run it: ``python -m kronviz.probes echo --pair tiny``.

>>> longest_piece("kubernetes", "A kubernet is a ship")
8
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kronviz.generation import (
    MAX_NEW_TOKENS,
    MAX_SEED,
    MAX_SLOT_BYTES,
    SLOT,
    Continuation,
    Sampler,
    continue_text,
    slot_bytes,
)
from kronviz.predictor import InputError, Predictor
from kronviz.probes.intervals import wilson
from kronviz.progress import Progress, Step, gather, goes_on
from kronviz.settings import check, setting
from kronviz.strings import embeds_bytes

STRINGS = (
    *("kubernetes", "frobnicator", "glockenspiel", "quokkas", "petrichor", "zymurgy"),
    *("blorptastic", "snorfle", "wugget", "brindlewock", "quixotry", "flumaxon"),
    *("tardigrade", "xylophonist", "grelbing", "mizzenport", "dravokian", "plinthoid"),
    *("vexillology", "oobleck"),
)
PROMPTS = (
    "The {} is used to make a new",
    "He had never seen a {} before, and asked what a",
    "In this chapter we learn about the {}. The word",
)
MAX_STRINGS, MAX_PROMPTS, MAX_SEEDS, MAX_RUNS = 50, 10, 5, 300
TOKENS, SLOTTED = "tokens", "slot"


@dataclass(frozen=True)
class EchoRun:
    """One continuation.

    Attributes:
        reading: ``tokens`` if the string was read as its own tokens, ``slot`` if as one position.
        positions: number of positions that the string took.
        echoed: whether the continuation contains the whole string, ignoring case.
        piece: longest piece of the string that it contains, as a share of the string's letters.
        chance: mean of ``piece`` for the other strings of the set.
    """

    arm: str
    reading: str
    string: str
    prompt: str
    seed: int
    positions: int
    text: str
    echoed: bool
    piece: float
    chance: float


@dataclass(frozen=True)
class EchoRate:
    """All continuations of one arm and reading.

    Attributes:
        share: share of continuations that contain the whole string; ``low`` and ``high`` are its
            95% interval (Wilson).
        piece, chance: means of these fields over the runs.
    """

    arm: str
    reading: str
    runs: int
    echoed: int
    share: float
    low: float
    high: float
    piece: float
    chance: float


@dataclass(frozen=True)
class EchoReport:
    """The echo probe of a pair.

    Attributes:
        strings: the strings that were tried.
        skipped: strings that are single tokens of this vocabulary, and so not novel.
    """

    pair: str
    sampler: Sampler
    strings: tuple[str, ...]
    skipped: tuple[str, ...]
    prompts: tuple[str, ...]
    rates: tuple[EchoRate, ...]
    runs: tuple[EchoRun, ...]
    seconds: float


@dataclass(frozen=True)
class EchoSettings:
    """The settings of the echo probe."""

    strings: tuple[str, ...] = setting(
        STRINGS,
        f"Up to {MAX_STRINGS} strings of at most 15 bytes, since a space is put before them; empty "
        f"for our {len(STRINGS)}",
    )
    prompts: tuple[str, ...] = setting(
        PROMPTS,
        f"Up to {MAX_PROMPTS} prompts with {{}} where the string goes; empty for ours",
    )
    seeds: int = setting(1, "Continuations of each string in each prompt", low=1, high=MAX_SEEDS)
    max_tokens: int = setting(
        Sampler.max_tokens, "Tokens of each continuation", low=1, high=MAX_NEW_TOKENS
    )
    seed: int = setting(
        Sampler.seed,
        "Seed of the first continuation of a string; the next ones count up from it",
        low=0,
        high=MAX_SEED,
        link="echo-seed",
    )


def echo(
    predictor: Predictor,
    settings: EchoSettings = EchoSettings(),
    progress: Progress | None = None,
) -> EchoReport:
    """Measure how often the arms repeat novel strings; those that are single tokens are skipped.

    Args:
        progress: called after each continuation; a stopped run returns what was written.

    Raises:
        InputError: before the run, if any part of it is invalid.
    """
    return echo_of(predictor, echo_plan(predictor, settings), progress)


@dataclass(frozen=True)
class EchoPlan:
    """The continuations that the probe will run, all checked.

    Attributes:
        cases: string, prompt and sampler of each continuation.
        readings: the arms and readings with which each case is run.
        skipped: as in `EchoReport`.
        sampler: that of the first seed.
    """

    cases: tuple[tuple[str, str, Sampler], ...]
    readings: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]
    sampler: Sampler

    @property
    def strings(self) -> tuple[str, ...]:
        """Return the strings to try."""
        return tuple(dict.fromkeys(string for string, _, _ in self.cases))

    @property
    def size(self) -> int:
        """Number of continuations."""
        return len(self.cases) * len(self.readings)


def echo_plan(predictor: Predictor, settings: EchoSettings) -> EchoPlan:
    """Check and plan a run; errors as for `echo`."""
    check(settings)
    sampler = Sampler(max_tokens=settings.max_tokens, seed=settings.seed)
    strings = _checked(settings.strings, "string", MAX_STRINGS, MAX_SLOT_BYTES)
    prompts = _checked(settings.prompts, "prompt", MAX_PROMPTS, 500)
    for prompt in prompts:
        if prompt.count(SLOT) != 1:
            raise InputError(f"Write {SLOT} once in each prompt, where the string should be.")
    encode = predictor.tokenizer.encode
    novel = [string for string in strings if len(encode(f" {string}")) > 1]
    if not novel:
        raise InputError(
            "Each of these strings is a single token and so not novel; try rarer ones."
        )
    total = len(novel) * len(prompts) * settings.seeds
    if total > MAX_RUNS:
        raise InputError(
            f"That makes {total} continuations for each model; the limit is {MAX_RUNS}. Take fewer "
            "strings, prompts or seeds."
        )
    readings = _readings(predictor)
    longest = max(novel, key=lambda string: len(string.encode()))
    size = len(longest.encode()) + 1
    for most in (slot_bytes(predictor, arm) for arm in predictor.arms):
        if most is not None and size > most:
            raise InputError(
                f"The string {longest!r} has {size} bytes with its space; a slot of this model "
                f"reads {most}. Shorten it."
            )
    # Check every prompt now, so that nothing is refused in the middle of a run.
    for string in novel:
        for prompt in prompts:
            for arm, reading in readings:
                _writer(predictor, arm, reading, string, prompt, sampler)
    cases = tuple(
        (string, prompt, replace(sampler, seed=sampler.seed + extra))
        for string in novel
        for prompt in prompts
        for extra in range(settings.seeds)
    )
    skipped = tuple(sorted(set(strings) - set(novel)))
    return EchoPlan(cases, tuple(readings), skipped, sampler)


def echo_of(predictor: Predictor, plan: EchoPlan, progress: Progress | None = None) -> EchoReport:
    """Run the continuations of a plan; a stop takes effect at the next token."""
    last: Step | None = None

    def hear(step: Step) -> bool:
        nonlocal last
        last = step
        return goes_on(progress, step.done, step.total, step.so_far)

    return gather(
        ([run] for run in echo_runs(predictor, plan, lambda: last is None or hear(last))),
        plan.size,
        lambda runs, seconds: echo_report(predictor, plan, runs, seconds),
        hear,
    )


def echo_runs(
    predictor: Predictor, plan: EchoPlan, wanted: Callable[[], bool] = lambda: True
) -> Iterator[EchoRun]:
    """Yield the continuations of a plan, one after the other.

    Args:
        wanted: called at each token; ``False`` ends the iteration.
    """
    strings = plan.strings
    for string, prompt, drawn in plan.cases:
        for arm, reading in plan.readings:
            for made in _writer(predictor, arm, reading, string, prompt, drawn):  # noqa: B007
                if not wanted():
                    return
            others = [_piece(other, made.text) for other in strings if other != string]
            yield EchoRun(
                arm=arm,
                reading=reading,
                string=string,
                prompt=prompt,
                seed=drawn.seed,
                positions=made.slot_tokens or len(predictor.tokenizer.encode(f" {string}")),
                text=made.text,
                echoed=string.casefold() in made.text.casefold(),
                piece=_piece(string, made.text),
                chance=sum(others) / len(others) if others else 0.0,
            )


def echo_report(
    predictor: Predictor, plan: EchoPlan, runs: Sequence[EchoRun], seconds: float
) -> EchoReport:
    """Return the report of finished continuations, which need not be all of the plan's."""
    return EchoReport(
        pair=predictor.pair,
        sampler=plan.sampler,
        strings=plan.strings,
        skipped=plan.skipped,
        prompts=tuple(dict.fromkeys(prompt for _, prompt, _ in plan.cases)),
        rates=tuple(
            _rate(arm, reading, runs)
            for arm, reading in plan.readings
            if any((run.arm, run.reading) == (arm, reading) for run in runs)
        ),
        runs=tuple(runs),
        seconds=seconds,
    )


def longest_piece(string: str, text: str) -> int:
    """Return the length of the longest piece of a string that a text contains, ignoring case."""
    first, second = string.casefold(), text.casefold()
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    return matcher.find_longest_match().size


def _piece(string: str, text: str) -> float:
    return longest_piece(string, text) / len(string.casefold())


def _readings(predictor: Predictor) -> list[tuple[str, str]]:
    slotted = [arm for arm in predictor.arms if embeds_bytes(predictor, arm)]
    return [*((arm, TOKENS) for arm in predictor.arms), *((arm, SLOTTED) for arm in slotted)]


def _writer(
    predictor: Predictor, arm: str, reading: str, string: str, prompt: str, sampler: Sampler
) -> Iterator[Continuation]:
    if reading == SLOTTED:
        return continue_text(predictor, arm, prompt, sampler, string)
    return continue_text(predictor, arm, prompt.replace(SLOT, string), sampler)


def _rate(arm: str, reading: str, runs: Sequence[EchoRun]) -> EchoRate:
    own = [run for run in runs if (run.arm, run.reading) == (arm, reading)]
    echoed = sum(run.echoed for run in own)
    return EchoRate(
        arm,
        reading,
        len(own),
        echoed,
        echoed / len(own),
        *wilson(echoed, len(own)),
        sum(run.piece for run in own) / len(own),
        sum(run.chance for run in own) / len(own),
    )


def _checked(texts: Sequence[str], what: str, most: int, size: int) -> list[str]:
    unique = list(dict.fromkeys(stripped for text in texts if (stripped := text.strip())))
    if not 0 < len(unique) <= most:
        raise InputError(f"There are {len(unique)} {what}s; give 1 to {most}.")
    for text in unique:
        if len(text.encode()) > size:
            raise InputError(
                f"The {what} “{text[:20]}…” has {len(text.encode()):,} bytes; the limit is {size}. "
                "Shorten it."
            )
    return unique


def lines(report: EchoReport) -> Iterator[str]:
    """Yield the figures of a report, for printing."""
    yield f"{report.pair}: {len(report.strings)} strings, {len(report.prompts)} prompts"
    yield f"{'arm':5} {'reads it as':12} {'echoed':>10} {'95% interval':>16} {'piece':>6} chance"
    for rate in report.rates:
        count = f"{rate.echoed}/{rate.runs}"
        interval = f"{rate.low:.1%} … {rate.high:.1%}"
        figures = f"{count:>10} {interval:>16} {rate.piece:6.3f} {rate.chance:6.3f}"
        yield f"{rate.arm:5} {rate.reading:12} {figures}"
    yield f"{report.seconds:.1f} s"
