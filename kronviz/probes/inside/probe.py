"""Follows a clean and a misspelled text through every arm of a pair, part by part."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from kronviz.predictor import InputError, Predictor, clean_text
from kronviz.probes.inside.attention import joining_heads, looks
from kronviz.probes.inside.attribution import attribute
from kronviz.probes.inside.damage import Damage
from kronviz.probes.inside.lens import lens_lines
from kronviz.probes.inside.patching import THINGS, batches, patches, resume
from kronviz.probes.inside.report import BYTES, ArmInside, Inside, PatchMap
from kronviz.probes.inside.runs import Run, trace
from kronviz.probes.inside.words import AlignedWord, align_words
from kronviz.progress import Progress, Stopped, goes_on, tell
from kronviz.settings import check, setting

MAX_TOKENS = 64
_LOOK_S = 0.3
"""Seconds between two checks for a stop while another visitor's run on the same texts goes on."""
PARTS = (*THINGS, BYTES)
"""The parts of an answer: the things that are patched, and which byte does the damage."""


@dataclass(frozen=True)
class InsideSettings:
    """The settings of the probe."""

    clean: str = setting(
        ...,
        f"The text as it should be spelled, up to {MAX_TOKENS} tokens",
        example="The capital of France is",
    )
    typo: str = setting(..., "The same text, misspelled", example="The captial of France is")
    right: str = setting(
        "",
        "The right next word, which the logit lens follows; empty if there is none",
        option="--answer",
    )
    parts: tuple[str, ...] = setting(
        PARTS, "What to patch and compute; head makes the answer long", choices=PARTS
    )


def inside(
    predictor: Predictor, settings: InsideSettings, progress: Progress | None = None
) -> Inside:
    """Follow a clean and a misspelled text through every arm.

    Alignment, lens and attention are always included.

    Args:
        progress: called during and after each part; a stopped run returns what is known.

    Raises:
        InputError: a text is empty or too long, both are the same, or one is not a misspelling of
            the other.
    """
    check(settings)
    parts = settings.parts
    followed = Followed(predictor, settings.clean, settings.typo, settings.right)
    for count in range(min(1, len(parts)), len(parts) + 1):
        report = followed.report(parts[:count], progress)
        if not goes_on(progress, count, len(parts)):
            break
    return report


class Followed:
    """Two texts followed through every arm; each part is computed once, when first needed.

    Args:
        clean, typo: the text as it should be spelled, and misspelled; at most `MAX_TOKENS` tokens.
        answer: the right next word; the logit lens follows its first token.

    Raises:
        InputError: as for `inside`.
    """

    def __init__(self, predictor: Predictor, clean: str, typo: str, answer: str = ""):
        started = time.perf_counter()
        self._predictor, self._tokenizer = predictor, predictor.tokenizer
        clean, typo, answer = map(clean_text, (clean, typo, answer))
        self.clean_ids = _encode(predictor, clean, "clean text")
        self.typo_ids = _encode(predictor, typo, "misspelled text")
        tokens = [
            [self._tokenizer.token_bytes(token) for token in ids]
            for ids in (self.clean_ids, self.typo_ids)
        ]
        words = align_words(*tokens)
        self._answer = predictor.answer_token(clean, typo, answer)
        self._runs: dict[str, tuple[Run, Run, Damage]] = {}
        self._lock = threading.Lock()
        clean_tokens, typo_tokens = predictor.token_views(self.clean_ids, self.typo_ids)
        self._known = Inside(
            pair=predictor.pair,
            clean=clean,
            typo=typo,
            answer=answer.strip(),
            clean_tokens=clean_tokens,
            typo_tokens=typo_tokens,
            words=words,
            arms=(),
            seconds=time.perf_counter() - started,
        )

    def report(self, parts: Sequence[str], progress: Progress | None = None) -> Inside:
        """Return all parts computed so far, with at least the given ones.

        Args:
            parts: names of `PARTS`.
            progress: called during each part; a stopped run leaves out the unfinished part.
        """
        while not self._lock.acquire(timeout=_LOOK_S):
            if not goes_on(progress, 0):
                return self._known
        try:
            for part in parts or (None,):
                started = time.perf_counter()
                if not self._known.arms:
                    self._update(self._predictor.by_arm(self._begin), started)
                if part is not None and part not in self._known.parts:
                    before = {arm.arm: arm for arm in self._known.arms}
                    try:
                        arms = self._predictor.by_arm(partial(self._add, before, part, progress))
                    except Stopped:
                        break
                    self._update(arms, started)
            return self._known
        finally:
            self._lock.release()

    def _update(self, arms: list[ArmInside], started: float) -> None:
        seconds = self._known.seconds + time.perf_counter() - started
        self._known = replace(self._known, arms=tuple(arms), seconds=seconds)

    def _begin(self, arm: str) -> ArmInside:
        """Run an arm on both texts and compute the parts that take no time."""
        model = self._predictor.arms[arm]
        clean, typo = trace(model, self.clean_ids), trace(model, self.typo_ids)
        damage = Damage(clean, typo, self._tokenizer)
        self._runs[arm] = clean, typo, damage
        targets = {"first": (damage.top, self._tokenizer.token_text(damage.top))}
        if self._answer is not None:
            targets["answer"] = (self._answer, self._tokenizer.token_text(self._answer))
        return ArmInside(
            arm=arm,
            clean=damage.clean,
            typo=damage.typo,
            blocks=model.config.n_layer,
            heads=model.config.n_head,
            maps=(),
            lens=lens_lines(clean, typo, targets),
            looks=looks(clean, typo, self._known.words),
            joining=joining_heads(typo, self._known.words),
            attribution=None,
        )

    def _add(
        self, known: dict[str, ArmInside], part: str, progress: Progress | None, arm: str
    ) -> ArmInside:
        """Compute one more part of an arm."""
        clean, typo, damage = self._runs[arm]
        report = known[arm]
        if part == BYTES:
            attribution = attribute(
                clean,
                self.clean_ids,
                self.typo_ids,
                self._known.words,
                damage,
                self._tokenizer.token_bytes,
                progress,
            )
            return replace(report, attribution=attribution)
        patched = patch_map(part, clean, typo, self._known.words, damage, progress)
        return replace(report, maps=(*report.maps, patched))


def patch_map(
    thing: str,
    clean: Run,
    typo: Run,
    words: Sequence[AlignedWord],
    damage: Damage,
    progress: Progress | None = None,
) -> PatchMap:
    """Patch a thing at every word and in every block (or head).

    Patches that change nothing get the misspelled run's outcome without a run: those at words
    before the first change, and those whose states are equal, such as before the first block.

    Args:
        progress: called with the number of patches done.

    Raises:
        Stopped: ``progress`` returned ``False``.
    """
    first = next(place for place, word in enumerate(words) if word.changed)
    chosen = [list(patches(thing, clean, typo, word)) for word in words[first:]]
    rows = len(chosen[0])
    patched = [patch for column in chosen for patch in column]
    results = [damage.typo] * len(patched)
    changing = [place for place, patch in enumerate(patched) if patch.changes(typo)]
    for batch in batches(typo, [patched[place] for place in changing]):
        tell(progress, batch.start, len(changing))
        places = [changing[i] for i in batch]
        outcomes = damage.outcomes(resume(typo, [patched[place] for place in places]))
        for place, outcome in zip(places, outcomes, strict=True):
            results[place] = outcome
    columns = [[damage.typo] * rows] * first
    columns += [results[start : start + rows] for start in range(0, len(results), rows)]
    return PatchMap(thing, tuple(zip(*columns, strict=True)))


def _encode(predictor: Predictor, text: str, label: str) -> list[int]:
    ids = predictor.encode(text, label)
    if len(ids) > MAX_TOKENS:
        raise InputError(
            f"The {label} has {len(ids):,} tokens; this view reads up to {MAX_TOKENS}. Shorten it."
        )
    return ids
