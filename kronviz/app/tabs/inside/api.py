"""The inside of both networks for programs: plain arguments, JSON results."""

from __future__ import annotations

from collections.abc import Callable

from kronviz.app.components import PAIR, QUEUE, Answer, add_endpoint, of_pair, still_there
from kronviz.app.context import Context
from kronviz.predictor import Predictor
from kronviz.probes.inside import InsideSettings, Survey, SurveySettings, inside, survey
from kronviz.probes.pairs import load_pairs
from kronviz.probes.stored_runs import INSIDE as STORED
from kronviz.probes.stored_runs import stored_run
from kronviz.settings import endpoint

INSIDE = """Follow one misspelling through the inside of both models.

The answer holds the tokens of both texts aligned word by word and, for each model: what both runs
predict; for each part that was asked, the share of the damage that is undone when one thing is
taken from the clean run (activation patching), by block and word; the logit lens; what the
attention heads look at, and which of them join the pieces of the misspelled word; and how much of
the change each byte of the misspelled word explains (integrated gradients, in nats)."""
INSIDE_PAIRS = """Tell where in each model the damage of a misspelling is undone, over 320 pairs.

The answer holds, for each model and block, the share of the damage that is undone when the stream
at the misspelled word, the stream at the last token, or what attention or MLP add at the word is
taken from the clean run, with 95% intervals, and the models' differences with paired intervals. It
is measured once for each pair of models and then kept; another seed measures again, which takes
minutes."""


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    inside, inside_pairs = endpoints(context)
    add_endpoint(inside, "inside-api")
    add_endpoint(inside_pairs, QUEUE)


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """Return the endpoints, functions of plain values, for the API and for agents."""

    def inside_pairs(models: Predictor, asked: SurveySettings) -> Survey:
        stored = stored_run(context.folder(models.pair), STORED)
        report = stored.report if stored else None
        known = {arm.arm for arm in report.arms} if report else set()
        if report and report.seed == asked.seed and known == set(models.arms):
            return report
        return survey(models, load_pairs(), seed=asked.seed, progress=still_there())

    followed = of_pair(
        context.predictor, lambda models, asked: inside(models, asked, still_there())
    )
    surveyed = of_pair(context.predictor, inside_pairs, QUEUE)
    return (
        endpoint(InsideSettings, followed, "inside", INSIDE, PAIR),
        endpoint(SurveySettings, surveyed, "inside_pairs", INSIDE_PAIRS, PAIR),
    )
