"""Follows one misspelling through the inside of both networks.

Notable:

- `inside` takes two texts: it aligns their words and computes activation patching, the logit lens,
  attention, and which byte does the damage. `Followed` does the same part by part.
- `survey` takes many pairs: it measures where, on average, the damage is undone.

>>> from kronviz.predictor import Predictor
>>> settings = InsideSettings(
...     "The capital of France is", "The captial of France is", parts=("residual",)
... )
>>> report = inside(Predictor.load("tiny"), settings)
>>> [round(outcome.kl_undone, 1) for outcome in report.arms[0].map("residual").outcomes[0]][0]
0.0
"""

from kronviz.probes.inside.patching import THINGS
from kronviz.probes.inside.probe import PARTS, Followed, InsideSettings, inside
from kronviz.probes.inside.report import ArmInside, Inside, PatchMap
from kronviz.probes.inside.survey import Survey, SurveySettings, survey

__all__ = [
    "PARTS",
    "THINGS",
    "ArmInside",
    "Followed",
    "Inside",
    "InsideSettings",
    "PatchMap",
    "Survey",
    "SurveySettings",
    "inside",
    "survey",
]
