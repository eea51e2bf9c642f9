"""The lab for programs: five named endpoints with plain arguments and JSON results."""

from __future__ import annotations

import json
from collections.abc import Callable

import gradio as gr

from kronviz.app.components import MAX_SEED, QUEUE, Answer, answer, listed, texts, typed, whole
from kronviz.app.context import Context
from kronviz.passages import CONTEXT, CONTINUATION, SYNTHETIC
from kronviz.predictor import InputError, Predictor
from kronviz.probes import recovery, sensitivity, sweep
from kronviz.probes.continuation import SETS, continuation_of
from kronviz.probes.kept_continuation import kept_continuation
from kronviz.probes.pairs import PairSet, load_pairs, parse_pairs
from kronviz.probes.robustness import robustness, spoiled
from kronviz.typos import KINDS

MAX_DOCUMENTS = 200_000
"""Characters of all documents that are read for one answer."""


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    for function in endpoints(context):
        quick = function.__name__ == "sensitivity"
        gr.api(
            function,
            api_name=function.__name__,
            concurrency_limit=1,
            concurrency_id="lab-typing" if quick else QUEUE,
        )


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """The endpoints as functions of plain values, for the API and for agents."""
    context_ = context

    def models(pair: str) -> Predictor:
        return context.predictor(typed(pair or "", "pair"))

    def robustness_(
        pairs: list[dict[str, str]] | None = None,
        sentences: list[str] | None = None,
        kinds: list[str] | None = None,
        edits: int = 1,
        seed: int = 0,
        pair: str = "",
        share: float = 0,
        protect_first: bool = True,
        keyboard: str = "qwerty",
    ) -> Answer:
        """Measure how steady both models are over clean/misspelled pairs of texts.

        The answer holds, for first choice kept, KL(clean || typo) in nats, cosine of the final
        hidden states and drop of log-probability: each model's mean with its 95% bootstrap
        interval, the paired difference, wins and ties; where pairs have a right answer, its
        log-probability and rank after both texts, with the paired differences; McNemar's exact test
        on the first choice; figures by category; and every pair with its figures.

        Args:
            pairs: Objects with "clean" and "typo" (and "expected", the right next word, "category",
                "id"); empty for our 320 pairs.
            sentences: Clean sentences to misspell instead of pairs.
            kinds: Kinds of misspelling for the sentences; empty for the five usual ones.
            edits: Misspellings in each sentence, 0 to 8.
            seed: Of the misspellings and of the bootstrap.
            pair: Which pair of models is asked; empty for the default pair.
            share: Share of each sentence's words to misspell, 0 to 1, each with "edits"
                misspellings; 0 for "edits" in the whole sentence.
            protect_first: Whether the first letter of every word stays.
            keyboard: qwerty, qwertz or azerty, for hits on the key beside.
        """

        def ask() -> object:
            number = whole(seed, "seed", 0, MAX_SEED)
            if sentences:
                chosen = spoiled(
                    texts(sentences, "sentences"),
                    kinds=names(kinds) or sensitivity.KINDS,
                    edits=whole(edits, "edits", 0, 8),
                    seed=number,
                    share=part(share) or None,
                    protect_first=bool(protect_first),
                    keyboard=typed(keyboard, "keyboard"),
                )
            else:
                chosen = given(pairs) if pairs else load_pairs()
            return robustness(models(pair), chosen, seed=number)

        return answer(ask, QUEUE)

    def sweep_(
        sentences: list[str] | None = None,
        kinds: list[str] | None = None,
        strengths: list[int] | None = None,
        count: int = sweep.SENTENCES,
        seed: int = 0,
        pair: str = "",
    ) -> Answer:
        """Misspell sentences in every kind and strength and measure both models on each.

        Args:
            sentences: Clean sentences; empty for our own.
            kinds: Kinds of misspelling; empty for all of them.
            strengths: Misspellings in a sentence, each 1 to 8; empty for 1, 2, 3 and 4.
            count: How many of our own sentences, 1 to 320.
            seed: Of the misspellings and of the bootstrap.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(
            lambda: sweep.sweep(
                models(pair),
                texts(sentences, "sentences") or sweep.our_sentences(whole(count, "count", 1, 320)),
                kinds=names(kinds) or tuple(KINDS),
                strengths=[
                    whole(s, "strengths", 1, sweep.MAX_STRENGTH)
                    for s in listed(strengths, "strengths")
                ]
                or sweep.STRENGTHS,
                seed=whole(seed, "seed", 0, MAX_SEED),
            ),
            QUEUE,
        )

    def recovery_(
        passages: list[str] | None = None,
        clean: str = "",
        typo: str = "",
        kinds: list[str] | None = None,
        repeats: int = recovery.REPEATS,
        later: int = recovery.LATER,
        seed: int = 0,
        pair: str = "",
    ) -> Answer:
        """Follow both models after a misspelling: how many tokens until it is forgotten?

        With "clean" and "typo", the answer holds KL in nats after every token of that one text;
        else it is an average over passages, with 95% intervals.

        Args:
            passages: Clean texts of some fifty words; empty for our own.
            clean: One text as it should be spelled.
            typo: The same text, misspelled.
            kinds: Kinds of misspelling; empty for the five usual ones.
            repeats: Misspellings tried in each passage, 1 to 16.
            later: Tokens looked at after the misspelling, 1 to 64.
            seed: Of the misspellings and of the bootstrap.
            pair: Which pair of models is asked; empty for the default pair.
        """

        def ask() -> object:
            if clean or typo:
                return recovery.recovery_strip(
                    models(pair), typed(clean, "clean"), typed(typo, "typo")
                )
            return recovery.recovery(
                models(pair),
                texts(passages, "passages") or None,
                kinds=names(kinds) or recovery.KINDS,
                repeats=whole(repeats, "repeats", 1, recovery.MAX_REPEATS),
                later=whole(later, "later", 1, recovery.MAX_LATER),
                seed=whole(seed, "seed", 0, MAX_SEED),
            )

        return answer(ask, QUEUE)

    def sensitivity_(
        text: str,
        kinds: list[str] | None = None,
        tries: int = sensitivity.TRIES,
        seed: int = 0,
        pair: str = "",
    ) -> Answer:
        """Misspell every word of a text in turn and measure how far each model's prediction moves.

        Args:
            text: A text of at most 60 words.
            kinds: Kinds of misspelling; empty for the five usual ones.
            tries: Misspellings tried of each word, 1 to 10.
            seed: Of the misspellings.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(
            lambda: sensitivity.sensitivity(
                models(pair),
                typed(text, "text"),
                kinds=names(kinds) or sensitivity.KINDS,
                tries=whole(tries, "tries", 1, sensitivity.MAX_TRIES),
                seed=whole(seed, "seed", 0, MAX_SEED),
            )
        )

    def continuation_(
        documents: list[str] | None = None,
        count: int = 100,
        context: int = CONTEXT,
        tokens: int = CONTINUATION,
        conditions: str = "misspelled",
        kinds: list[str] | None = None,
        seed: int = 0,
        pair: str = "",
    ) -> Answer:
        """Measure the loss on how texts truly go on after their beginning was misspelled.

        For each model the loss of the true continuation in nats a token and bits a byte, with 95%
        bootstrap intervals and paired differences, after a clean context and after contexts of
        which 5, 15 or 30% of the words are misspelled, by slips of the keyboard and as people do.

        Args:
            documents: Real texts, each of some hundred words or more; empty for the stored
                measurement over 2,000 passages of a text that no model was trained on.
            count: Passages to cut from the documents, 1 to 200.
            context: Clean tokens before the cut, 4 to 128.
            tokens: Tokens after the cut that are scored, 1 to 64.
            conditions: misspelled; perturbed, by AntSpeak, Drop, RandomCase, Repeat and UpperCase;
                or all.
            kinds: Kinds of slips; empty for the five usual ones.
            seed: Of the passages, the misspellings and the bootstrap.
            pair: Which pair of models is asked; empty for the default pair.
        """

        def ask() -> object:
            predictor = models(pair)
            given = texts(documents, "documents")
            if not given:
                stored = kept_continuation(context_.folder(pair))
                if stored is None:
                    raise InputError(
                        f"Nothing is stored for the pair {predictor.pair}; give documents."
                    )
                return stored
            if sum(map(len, given)) > MAX_DOCUMENTS:
                raise InputError(f"The documents are longer than {MAX_DOCUMENTS:,} characters.")
            if conditions not in SETS:
                raise InputError(f"conditions must be one of {', '.join(SETS)}.")
            return continuation_of(
                predictor,
                given,
                "documents",
                count=whole(count, "count", 1, 200),
                context=whole(context, "context", 4, 128),
                length=whole(tokens, "tokens", 1, 64),
                conditions=SETS[conditions],
                kinds=names(kinds) or SYNTHETIC,
                seed=whole(seed, "seed", 0, MAX_SEED),
            )[0]

        return answer(ask)

    published = (robustness_, sweep_, recovery_, sensitivity_, continuation_)
    for function in published:
        function.__name__ = function.__name__.rstrip("_")
    return published


def given(pairs: object) -> PairSet:
    """Pairs that came as JSON, checked row by row like a file.

    Raises:
        InputError: they are no list.
    """
    if not isinstance(pairs, list):
        raise InputError("pairs must be a list of objects with “clean” and “typo”.")
    return parse_pairs(json.dumps(pairs).encode(), "pairs.json")


def names(values: object) -> tuple[str, ...]:
    """Checked names of kinds, none for nothing."""
    chosen = tuple(texts(values, "kinds"))
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown:
        raise InputError(f"kinds names {unknown[0][:40]!r}; choose from {', '.join(KINDS)}.")
    return chosen


def part(value: object) -> float:
    """A checked share; `InputError` if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise InputError("share must be a number from 0 to 1.")
