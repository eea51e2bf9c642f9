"""Continuations, the echo rate and the layered probe for programs: plain arguments, JSON results.

Long runs have their own places in the queue, one at a time for each probe.
"""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from kronviz.app.components import Answer, answer, still_there, typed
from kronviz.app.context import Context
from kronviz.generation import Sampler, side_by_side
from kronviz.predictor import Predictor
from kronviz.probes.echo import STRINGS, echo
from kronviz.probes.layers import layers


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    for function in endpoints(context):
        name = function.__name__
        limit = 2 if name == "generate" else 1
        gr.api(function, api_name=name, concurrency_limit=limit, concurrency_id=name)


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """The endpoints as functions of plain values, for the API and for agents."""

    def models(pair: str) -> Predictor:
        return context.predictor(typed(pair or "", "pair"))

    def generate(
        prompt: str,
        forced: str = "",
        temperature: float = 0.7,
        top_p: float = 0.9,
        max_tokens: int = 30,
        seed: int = 42,
        repeat_limit: int = 5,
        pair: str = "",
    ) -> Answer:
        """Continue a text with both models, from the same random numbers.

        The answer holds for each model its new text, its tokens with their probabilities, and how
        it read the prompt. Where a string is forced into the prompt's slot {}, the byte-level
        model "kron" reads it as one position made of its bytes, as many as its code
        holds ("read" counts them); "bpe" has no row for such a position and reads the string's own
        tokens instead, and the answer says how many.

        Args:
            prompt: The text to continue; with {} once in it if a string is forced.
            forced: A string of 1 to 64 bytes for the slot; empty if the prompt has none.
            temperature: Divides the logits, 0 to 5; 0 takes the likeliest token.
            top_p: Share of the probability that is drawn from, 0.01 to 1.
            max_tokens: How many tokens are written, 1 to 200.
            seed: Of the draws; the same seed gives the same text.
            repeat_limit: After so many repeats of one token the likeliest is taken, 1 to 200.
            pair: Which pair of models writes; empty for the default pair.
        """

        def ask() -> object:
            sampler = Sampler(temperature, top_p, max_tokens, seed, repeat_limit)
            texts = [typed(prompt, "prompt")]
            slot = typed(forced or "", "forced") or None
            there = still_there()
            for generation in side_by_side(models(pair), texts, sampler, slot):
                last = generation
                if not there():
                    break
            return last

        return answer(ask)

    def echo_(
        strings: list[str] | None = None,
        prompts: list[str] | None = None,
        seeds: int = 1,
        max_tokens: int = 30,
        seed: int = 42,
        pair: str = "",
    ) -> Answer:
        """Measure how often the models repeat strings that they have never seen as a word.

        Each string is put into each prompt and read in three ways: as its own tokens by "bpe" and
        by "kron", and by "kron" as one position made of its bytes. The answer holds for each way
        the share of continuations that repeat the whole string, with its 95% interval, the
        longest piece repeated beside what chance gives, and every continuation.

        Args:
            strings: Up to 50 strings that fit the code with a blank before them (15 bytes); leave
                out for the 20 of this page.
            prompts: Up to 10 prompts with {} where the string is to stand; leave out for ours.
            seeds: Continuations of each string in each prompt, 1 to 5.
            max_tokens: How many tokens each continuation has, 1 to 200.
            seed: Of the first continuation's draws; further ones count up from it.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(
            lambda: echo(
                models(pair),
                STRINGS if strings is None else strings,
                prompts,
                seeds=seeds,
                sampler=Sampler(max_tokens=max_tokens, seed=seed),
                progress=still_there(),
            )
        )

    def layers_(pair: str = "") -> Answer:
        """Ask what is near a word at every depth of both models, and where look-alikes part.

        For the words of six families: which share of the ten nearest tokens has another canonical
        form (other_form), holds the family's root (holds_root) or belongs to the family
        (in_family), entering the first block and after each. And the mean cosine by depth of words
        with their misspellings, of the ends of the two sentences, and of words one letter apart.

        Args:
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(lambda: layers(models(pair), still_there()))

    published: tuple[Callable[..., Answer], ...] = (generate, echo_, layers_)
    for function in published:
        function.__name__ = function.__name__.rstrip("_")
    return published
