"""The inside of both networks for programs: plain arguments, JSON results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronviz.app.components import (
    MAX_SEED,
    QUEUE,
    Answer,
    add_endpoint,
    answer,
    optional,
    still_there,
)
from kronviz.app.context import Context
from kronviz.predictor import Predictor
from kronviz.probes.inside import InsideSettings, run, survey
from kronviz.probes.kept import INSIDE as STORED
from kronviz.probes.kept import kept
from kronviz.probes.pairs import load_pairs
from kronviz.settings import endpoint
from kronviz.strings import whole_number

INSIDE = """Follow one misspelling through the inside of both models.

The answer holds the tokens of both texts aligned word by word and, for each model: what both runs
predict; for each part that was asked, the share of the damage that is undone when one thing is
taken from the clean run (activation patching), by block and word; the logit lens; what the
attention heads look at, and which of them join the pieces of the misspelled word; and how much of
the change each byte of the misspelled word explains (integrated gradients, in nats)."""


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    inside, inside_pairs = endpoints(context)
    add_endpoint(inside, "inside-api")
    add_endpoint(inside_pairs, QUEUE)


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """Return the endpoints, functions of plain values, for the API and for agents."""

    def models(pair: str) -> Predictor:
        return context.predictor(optional(pair, "pair"))

    def inside_(settings: Callable[[], Any], pair: str = "") -> Answer:
        return answer(lambda: run(models(pair), settings(), still_there()))

    def inside_pairs(seed: int = 1, pair: str = "") -> Answer:
        """Tell where in both models the damage of a misspelling is undone, over 320 pairs of texts.

        The answer holds, for each model and block, the share of the damage that is undone when the
        stream at the misspelled word, the stream at the last token, or what attention or MLP add
        at the word is taken from the clean run, with 95% intervals, and the models' differences
        with paired intervals. It is measured once for each pair of models and then kept; another
        seed measures again, which takes minutes.

        Args:
            seed: Of the intervals.
            pair: Which pair of models answers; empty for the default pair.
        """

        def ask() -> object:
            predictor = models(pair)
            number = whole_number(seed, "seed", 0, MAX_SEED)
            found = kept(context.folder(predictor.pair), STORED)
            fresh = found is None or found.report.seed != number
            known = found.report.arms if found else ()
            if found is None or fresh or {arm.arm for arm in known} != set(predictor.arms):
                return survey(predictor, load_pairs(), seed=number, progress=still_there())
            return found.report

        return answer(ask, QUEUE)

    asked = {"pair": (str, "", "Which pair of models answers; empty for the default pair")}
    return endpoint(InsideSettings, inside_, "inside", INSIDE, asked), inside_pairs
