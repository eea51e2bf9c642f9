"""Continuations, the echo rate and the layered probe for programs: plain values, JSON results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from kronviz.app.components import PAIR, QUEUE, Answer, add_endpoint, of_pair, still_there
from kronviz.app.context import Context
from kronviz.generation import GenerationSettings, side_by_side
from kronviz.predictor import Predictor
from kronviz.probes import echo
from kronviz.probes.layers import layers
from kronviz.settings import NoSettings, endpoint

Result = TypeVar("Result")
GENERATE = """Continue a text with each model, from the same random numbers.

The answer holds for each model its new text, its tokens with their probabilities, and how it read
the prompt. Where a string is forced into the prompt's slot {}, the byte-level model "kron" reads it
as one position made of its bytes, as many as its code holds ("read" counts them); "bpe" has no row
for such a position and reads the string's own tokens instead, and the answer says how many."""
ECHO = """Measure how often the models repeat strings that they have never seen as a word.

Each string is put into each prompt and read in three ways: as its own tokens by "bpe" and by
"kron", and by "kron" as one position made of its bytes. The answer holds for each way the share of
continuations that repeat the whole string, with its 95% interval, the longest piece repeated beside
what chance gives, and every continuation."""
LAYERS = """Ask what is near a word at every depth of both models, and where look-alikes separate.

For the words of six families: which share of the ten nearest tokens has another canonical form
(other_form), holds the family's root (holds_root) or belongs to the family (in_family), entering
the first block and after each. And the mean cosine by depth of words with their misspellings, of
the ends of the two sentences, and of words one letter apart."""


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    generate, echo, layers = endpoints(context)
    add_endpoint(generate, "generate", limit=2)
    for function in (echo, layers):
        add_endpoint(function, QUEUE)


_turn = threading.Lock()


def by_turns(steps: Iterator[Result]) -> Iterator[Result]:
    """Yield steps, but never run the steps of two visitors at once."""
    while True:
        with _turn:
            step = next(steps, None)
        if step is None:
            return
        yield step


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """Return the endpoints, functions of plain values, for the API and for agents."""

    def generate(models: Predictor, asked: GenerationSettings) -> object:
        there = still_there()
        steps = side_by_side(models, [asked.prompt], asked.sampler, asked.forced or None)
        for generation in by_turns(steps):
            last = generation
            there()
        return last

    def published(
        settings: type,
        ask: Callable[[Predictor, Any], object],
        name: str,
        says: str,
        queue: str | None = QUEUE,
        order: Sequence[str] = (),
    ) -> Callable[..., Answer]:
        asked = of_pair(context.predictor, ask, queue)
        return endpoint(settings, asked, name, says, PAIR, order)

    order = "prompt forced temperature top_p max_tokens seed repeat_limit pair".split()
    return (
        published(GenerationSettings, generate, "generate", GENERATE, None, order),
        published(
            echo.EchoSettings,
            lambda models, asked: echo.echo(models, asked, still_there()),
            "echo",
            ECHO,
        ),
        published(NoSettings, lambda models, _: layers(models, still_there()), "layers", LAYERS),
    )
