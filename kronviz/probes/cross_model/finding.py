"""Sums up the probe of a table in two sentences: the main figure, and what it means.

Notable:

- The figure is how much closer a word is to the same word with an ending (run, runs) than to a
  random word, in cosine; the difference removes what all rows share.
- It is compared with the same difference for the paper's six models. These were measured on the
  paper's own pairs, so only the side on which the whole interval lies is interpreted.
"""

from __future__ import annotations

from kronviz.probes.cross_model.report import CrossModelReport
from kronviz.probes.intervals import Interval


def headline(report: CrossModelReport) -> tuple[str, ...]:
    """Return the finding and its meaning.

    Returns nothing for too few words, and no meaning if the report has warnings.
    """
    margin = report.margin
    if margin is None:
        return ()
    figure = (
        "In this table a word and the same word with an ending (run, runs) are closer than two "
        f"random words by {_closer(margin.table.mean)} in cosine (95% interval "
        f"{_bounds(margin.table)}); in the paper’s six models by "
        f"{_closer(margin.paper_table)}, in the byte code of these tokens by "
        f"{_closer(margin.code.mean)}."
    )
    return (figure,) if report.warnings else (figure, meaning(report))


def meaning(report: CrossModelReport) -> str:
    """Return what the finding means for someone considering Kronecker embeddings."""
    margin = report.margin
    if margin is None:
        return ""
    low, high, paper = margin.table.low, margin.table.high, margin.paper_table
    if low <= 0:
        return (
            "No trace of spelling shows in it: a Kronecker embedding, which begins with words of "
            "similar spelling close together, would be a different starting point altogether."
        )
    if low > paper:
        return (
            "It has learned more of spelling than those models: a Kronecker embedding gives this "
            "model from the first step, without a table, much of what its own had to learn."
        )
    if high < paper:
        return (
            "It has learned less of spelling than those models: a Kronecker embedding would put "
            "words of similar spelling closer than this model does, and later layers would have "
            "to separate them."
        )
    return (
        "It has learned as much of spelling as those models, so what the paper found for them is a "
        "fair guide: a Kronecker embedding gives that part from the first step, without a table."
    )


def _closer(value: float) -> str:
    return _signed(value).removeprefix("+")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _bounds(value: Interval) -> str:
    return f"{_signed(value.low)} to {_signed(value.high)}"
