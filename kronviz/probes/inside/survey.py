"""Measures where in the network a misspelling's damage is undone, on average over many pairs.

Notable:

- Four places are patched before, or in, every block: the misspelled word (the stream at all its
  pieces), the last token (the stream there), and what attention and MLP add at the word.
- A share is relative to the mean damage of all pairs, ``1 − Σ KL(patched) / Σ KL(misspelled)``, so
  that a pair with hardly any damage cannot outweigh the others. Intervals resample pairs, the same
  for every arm.
- Pairs whose last word is the misspelled one are left out, because their places coincide.

Run it: ``python -m kronviz.probes inside-pairs --pair tiny``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from kronviz.model import GPT
from kronviz.predictor import InputError, Predictor
from kronviz.probes.inside.attention import JOINING, JoiningHead
from kronviz.probes.inside.damage import Damage
from kronviz.probes.inside.patching import patches, resume
from kronviz.probes.inside.runs import trace
from kronviz.probes.inside.words import AlignedWord, align_words
from kronviz.probes.intervals import (
    Interval,
    bootstrap_intervals,
    ratio_differences,
    ratio_intervals,
)
from kronviz.probes.outcomes import fitted
from kronviz.probes.pairs import PairSet
from kronviz.progress import Progress, goes_on
from kronviz.settings import setting

PLACES = ("word", "last", "attention", "mlp")
MAX_TOKENS = 64


@dataclass(frozen=True)
class PlaceShares:
    """The share of the damage undone by restoring one place, by block, with intervals."""

    place: str
    shares: tuple[Interval, ...]


@dataclass(frozen=True)
class ArmSurvey:
    """One arm over all pairs.

    Attributes:
        damage_kl_nats: mean KL(clean ‖ misspelled).
        places: the shares undone, by place and block.
        joining: the heads that, on average, most join the pieces of the misspelled words.
    """

    arm: str
    damage_kl_nats: Interval
    places: tuple[PlaceShares, ...]
    joining: tuple[JoiningHead, ...]


@dataclass(frozen=True)
class SurveyDifference:
    """The shares of an arm minus those of another, with paired intervals."""

    arm: str
    other: str
    places: tuple[PlaceShares, ...]


@dataclass(frozen=True)
class Survey:
    """Where the damage is undone, over many pairs.

    Attributes:
        asked, done, used: number of readable pairs, of those read before a stop, and of those used
            (see the module's notes).
        problems: a sentence for each pair that could not be used.
        seed: seed of the intervals.
        arms: empty if fewer than two pairs are used.
        differences: every other arm minus the first.
        seconds: the time taken.
    """

    pair: str
    asked: int
    done: int
    used: int
    problems: tuple[str, ...]
    seed: int
    arms: tuple[ArmSurvey, ...]
    differences: tuple[SurveyDifference, ...]
    seconds: float


@dataclass(frozen=True)
class SurveySettings:
    """The settings of `survey`, apart from the pairs."""

    seed: int = setting(1, "Seed of the intervals")


def survey(
    predictor: Predictor,
    pairs: PairSet,
    *,
    seed: int = SurveySettings.seed,
    progress: Progress | None = None,
) -> Survey:
    """Patch every pair in every arm.

    Args:
        progress: called after each pair; a stopped run returns what was read.
    """
    started = time.perf_counter()
    pairs = fitted(predictor, pairs, progress)
    problems = list(pairs.problems)
    readings: list[list[_Reading]] = []
    done = 0

    def so_far() -> Survey:
        arms, differences = (
            _summed(list(predictor.arms), readings, seed) if len(readings) > 1 else ((), ())
        )
        return Survey(
            pair=predictor.pair,
            asked=len(pairs.pairs),
            done=done,
            used=len(readings),
            problems=tuple(problems),
            seed=seed,
            arms=arms,
            differences=differences,
            seconds=time.perf_counter() - started,
        )

    for pair in pairs.pairs:
        try:
            texts = _Texts.of(predictor, pair.clean, pair.typo)
        except InputError as error:
            problems.append(f"Pair {pair.id[:40]!r} is left out: {error}")
        else:
            if texts is not None:
                readings.append(predictor.by_arm(partial(_read, predictor, texts)))
        done += 1
        if not goes_on(progress, done, len(pairs.pairs), so_far):
            break
    return so_far()


@dataclass(frozen=True)
class _Texts:
    """Ids of two texts, the stretch that is misspelled and the last word."""

    clean: list[int]
    typo: list[int]
    word: AlignedWord
    last: AlignedWord

    @classmethod
    def of(cls, predictor: Predictor, clean: str, typo: str) -> _Texts | None:
        """Return the texts of a pair; ``None`` if its last word is the misspelled one."""
        tokenizer = predictor.tokenizer
        ids = tokenizer.encode(clean), tokenizer.encode(typo)
        words = align_words(*([tokenizer.token_bytes(i) for i in own] for own in ids))
        changed = [word for word in words if word.changed]
        first, final = changed[0], changed[-1]
        if words[-1].changed or max(map(len, ids)) > MAX_TOKENS:
            return None
        whole = AlignedWord((first.clean[0], final.clean[1]), (first.typo[0], final.typo[1]), True)
        return cls(*ids, whole, words[-1])


@dataclass(frozen=True)
class _Reading:
    """One pair in one arm.

    Attributes:
        damage: KL(clean ‖ misspelled).
        patched: KL(clean ‖ patched), ``(places, blocks)``.
        joins: how much each head joins the word's pieces, ``(blocks, heads)``; ``None`` if the
            word is one token.
    """

    damage: float
    patched: NDArray[np.float64]
    joins: NDArray[np.float64] | None


@torch.no_grad()
def _read(predictor: Predictor, texts: _Texts, arm: str) -> _Reading:
    model: GPT = predictor.arms[arm]
    clean, typo = trace(model, texts.clean), trace(model, texts.typo)
    damage = Damage(clean, typo, predictor.tokenizer)
    chosen = [
        patch
        for thing, word in (
            ("residual", texts.word),
            ("residual", texts.last),
            ("attention", texts.word),
            ("mlp", texts.word),
        )
        for patch in patches(thing, clean, typo, word)
    ]
    kl, _ = damage.measure(resume(typo, chosen))
    start, end = texts.word.typo
    joins = [typo.patterns[:, :, i, start:i].sum(-1) for i in range(start + 1, end)]
    return _Reading(
        damage.typo.kl_nats,
        kl.clamp(min=0).double().reshape(len(PLACES), -1).cpu().numpy(),
        torch.stack(joins).mean(0).double().cpu().numpy() if joins else None,
    )


def _summed(
    names: Sequence[str], readings: Sequence[Sequence[_Reading]], seed: int
) -> tuple[tuple[ArmSurvey, ...], tuple[SurveyDifference, ...]]:
    """Return means, intervals and paired differences over all pairs."""
    damage = np.array([[reading.damage for reading in row] for row in readings])
    means = bootstrap_intervals(damage, seed)
    patched = [np.stack([row[i].patched for row in readings]) for i in range(len(names))]
    blocks = [own.shape[2] for own in patched]
    # Numerators and denominators of the shares, by pair and column (place, then block).
    ratios = []
    for i, own in enumerate(patched):
        flat = own.reshape(len(readings), -1)
        whole = np.broadcast_to(damage[:, i, None], flat.shape)
        ratios.append((whole - flat, whole))
    shares = [ratio_intervals(*own, seed) for own in ratios]
    arms = tuple(
        ArmSurvey(
            arm=name,
            damage_kl_nats=means[i],
            places=tuple(_by_place(shares[i], blocks[i])),
            joining=_joining([row[i].joins for row in readings]),
        )
        for i, name in enumerate(names)
    )
    differences = tuple(
        SurveyDifference(
            names[i],
            names[0],
            tuple(_by_place(ratio_differences(ratios[i], ratios[0], seed), blocks[i])),
        )
        for i in range(1, len(names))
        # Models of different depth cannot be compared block by block.
        if blocks[i] == blocks[0]
    )
    return arms, differences


def _by_place(flat: Sequence[Interval], blocks: int) -> Iterator[PlaceShares]:
    for i, place in enumerate(PLACES):
        yield PlaceShares(place, tuple(flat[i * blocks : (i + 1) * blocks]))


def _joining(joins: Sequence[NDArray[np.float64] | None]) -> tuple[JoiningHead, ...]:
    joined = [own for own in joins if own is not None]
    if not joined:
        return ()
    means = np.mean(joined, axis=0)
    best = np.argsort(-means, axis=None)[:JOINING].tolist()
    heads = means.shape[1]
    return tuple(JoiningHead(i // heads + 1, i % heads + 1, float(means.flat[i])) for i in best)
