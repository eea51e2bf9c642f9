"""The tab “Robustness” for programs: six named endpoints with plain arguments and JSON results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kronviz.app.components import (
    PAIR,
    QUEUE,
    Answer,
    add_endpoint,
    answer,
    of_pair,
    optional,
    still_there,
)
from kronviz.app.context import Context
from kronviz.predictor import InputError, Predictor
from kronviz.probes import minimal_pairs, recovery, sensitivity, sweep
from kronviz.probes.continuation import ContinuationSettings, continuation_of
from kronviz.probes.minimal_pairs import MinimalPairSettings
from kronviz.probes.pairs import PairSet, load_pairs, parse_pairs
from kronviz.probes.robustness import MisspellingSettings, robustness
from kronviz.probes.stored_continuation import stored_continuation
from kronviz.settings import endpoint, narrowed, refuse_idle, setting
from kronviz.strings import shown

ROBUSTNESS = """Measure how steady both models are over clean/misspelled pairs of texts.

The answer holds, for first choice kept, KL(clean || typo) in nats, cosine of the final hidden
states and drop of log-probability: each model's mean with its 95% bootstrap interval, the paired
difference, wins and ties; where pairs have a right answer, its log-probability and rank after both
texts, with the paired differences; McNemar's exact test on the first choice; figures by category;
and every pair with its figures."""
RECOVERY = """Follow both models after a misspelling: how many tokens until it is forgotten?

With "clean" and "typo", the answer holds KL in nats after every token of that one text; else it is
an average over passages, with 95% intervals."""

CONTINUED = """Measure the loss on how texts truly go on after their beginning was misspelled.

For each model the loss of the true continuation in nats per token and bits per byte, with 95%
bootstrap intervals and paired differences, after a clean context and after contexts of which 5, 15
or 30% of the words are misspelled, by slips of the keyboard and as people do."""

JUDGED = """Judge minimal pairs: is the grammatical sentence the more probable one?

For each model the share of the pairs with its 95% bootstrap interval and the paired differences, on
clean sentences and where the words that both sentences share are misspelled or perturbed; the score
is how much of what is above chance is left; figures by phenomenon."""

COLUMNS = ("clean", "typo", "expected", "category", "id")
MAX_DOCUMENTS = 200_000
"""Largest total length of the documents for one answer, in characters."""


@dataclass(frozen=True)
class DocumentSettings(ContinuationSettings):
    """Settings of the continuation probe, with documents in the call."""

    documents: tuple[str, ...] = setting(
        (),
        "Real texts, each of some hundred words or more; empty for the stored measurement over "
        "passages of a text that no model was trained on",
    )
    count: int = setting(100, "Passages to cut from the documents", low=1, high=200)
    context: int = narrowed(ContinuationSettings, "context", low=4, high=128)
    tokens: int = narrowed(ContinuationSettings, "tokens", high=64)


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    for function in endpoints(context):
        quick = function.__name__ == "sensitivity"
        add_endpoint(function, "lab-typing" if quick else QUEUE)


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """Return the endpoints, functions of plain values, for the API and for agents."""

    def models(pair: str) -> Predictor:
        return context.predictor(optional(pair, "pair"))

    Ask = Callable[[], Any]

    def robustness_(settings: Ask, pairs: object = None, pair: str = "") -> Answer:
        def ask() -> object:
            manner = settings()
            ours = pairs in (None, [])
            if manner.sentences and not ours:
                raise InputError("Give pairs or sentences, not both.")
            there = still_there()
            chosen = manner.pairs_or(lambda: load_pairs() if ours else given(pairs), there)
            return robustness(models(pair), chosen, seed=manner.seed, progress=there)

        return answer(ask, QUEUE)

    def recovery_(settings: Ask, clean: str = "", typo: str = "", pair: str = "") -> Answer:
        def ask() -> object:
            asked, one = settings(), (optional(clean, "clean"), optional(typo, "typo"))
            if any(one):
                idle = "passages", "kinds", "repeats", "later", "seed"
                refuse_idle(asked, idle, "passages instead of clean and typo")
                return recovery.recovery_strip(models(pair), *one)
            return recovery.recovery(models(pair), asked, still_there())

        return answer(ask, QUEUE)

    def plain(probe: Callable[..., Any], queue: str | None = None) -> Callable[..., Answer]:
        return of_pair(
            context.predictor, lambda models, asked: probe(models, asked, still_there()), queue
        )

    def continuation_(settings: Ask, pair: str = "") -> Answer:
        def ask() -> object:
            predictor = models(pair)
            given: DocumentSettings = settings()
            if not given.documents:
                idle = "count", "context", "tokens", "conditions", "kinds", "seed"
                refuse_idle(given, idle, "documents")
                stored = stored_continuation(context.folder(pair))
                if stored is None:
                    raise InputError(
                        f"Nothing is stored for the pair {predictor.pair}; give documents."
                    )
                return stored
            if sum(map(len, given.documents)) > MAX_DOCUMENTS:
                raise InputError(f"The documents are longer than {MAX_DOCUMENTS:,} characters.")
            return continuation_of(
                predictor, given.documents, "documents", given, progress=still_there()
            )[0]

        return answer(ask, QUEUE)

    def minimal_pairs_(settings: Ask, pair: str = "") -> Answer:
        def ask() -> object:
            given: MinimalPairSettings = settings()
            if any("\n" in line for line in given.sentences):
                raise InputError("Each of the sentences must be one line.")
            lines = "\n".join(given.sentences)
            pairs = minimal_pairs.parse_pairs(lines, "sentences", minimal_pairs.MAX_ASKED)
            return minimal_pairs.minimal_pairs(
                models(pair), pairs, "sentences", seed=given.seed, progress=still_there()
            )

        return answer(ask, QUEUE)

    return (
        endpoint(
            MisspellingSettings,
            robustness_,
            "robustness",
            ROBUSTNESS,
            {
                "pairs": (
                    list[dict[str, str]] | None,
                    None,
                    'Objects with "clean" and "typo" (and "expected", "category"); empty for ours',
                ),
                **PAIR,
            },
            "pairs sentences kinds edits seed pair share protect_first keyboard".split(),
        ),
        endpoint(
            sweep.SweepSettings,
            plain(sweep.sweep, QUEUE),
            "sweep",
            "Misspell sentences in every kind and strength and measure both models on each.",
            PAIR,
        ),
        endpoint(
            recovery.RecoverySettings,
            recovery_,
            "recovery",
            RECOVERY,
            {
                "clean": (str, "", "One text as it should be spelled"),
                "typo": (str, "", "The same text, misspelled"),
                **PAIR,
            },
            "passages clean typo kinds repeats later seed pair".split(),
        ),
        endpoint(
            sensitivity.SensitivitySettings,
            plain(sensitivity.sensitivity),
            "sensitivity",
            "Misspell every word of a text in turn and measure how far each prediction moves.",
            PAIR,
        ),
        endpoint(
            DocumentSettings,
            continuation_,
            "continuation",
            CONTINUED,
            PAIR,
            "documents count context tokens conditions kinds seed pair".split(),
        ),
        endpoint(MinimalPairSettings, minimal_pairs_, "minimal_pairs", JUDGED, PAIR),
    )


def given(pairs: object) -> PairSet:
    """Return pairs from JSON, checked row by row like those of a file.

    Raises:
        InputError: the value is not a list, or a pair has a name that means nothing.
    """
    if not isinstance(pairs, list):
        raise InputError("pairs must be a list of objects with “clean” and “typo”.")
    for number, pair in enumerate(pairs, 1):
        if isinstance(pair, dict) and (unknown := sorted(pair.keys() - COLUMNS)):
            raise InputError(
                f"Pair {number} has {shown(unknown[0])}; a pair has {', '.join(COLUMNS)}."
            )
    return parse_pairs(json.dumps(pairs).encode(), "pairs.json")
