"""Chooses the examples of the first page from a finished run, by a rule rather than by hand.

Notable:

- `RULE` is the rule, and the page shows it.
- The other examples are spread evenly from the pair where kron is furthest ahead to the one where
  it is furthest behind, so that wins and losses appear in their true proportion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kronviz.checkpoint_files import PAIR
from kronviz.probes.outcomes import PairOutcome

OTHERS = 6
RULE = (
    "Of the {candidates} pairs (of {pairs}) whose right answer both models put first in the clean "
    "text, the first example is the one whose difference is nearest the average over all pairs, "
    "{mean} nats. The difference is how much more loss on the right answer the misspelling adds "
    "for kron than for bpe. The others are spread evenly over the ranking by that difference."
)


@dataclass(frozen=True)
class Example:
    """A pair of texts with its right answer.

    Attributes:
        clean, typo, answer: the clean text, the misspelled text and the right answer.
        difference_nats: rise of the loss on the right answer, kron − bpe.
    """

    clean: str
    typo: str
    answer: str
    difference_nats: float


@dataclass(frozen=True)
class Examples:
    """The examples in order, and what they were chosen from.

    Attributes:
        pairs, candidates: number of pairs with a right answer, and of those that passed the rule.
        mean_nats: mean difference over ``pairs``.
    """

    pairs: int
    candidates: int
    mean_nats: float
    chosen: tuple[Example, ...]

    @property
    def rule(self) -> str:
        """Return the rule with this run's numbers."""
        mean = f"{self.mean_nats:+.2f}".replace("-", "−")
        return RULE.format(candidates=self.candidates, pairs=self.pairs, mean=mean)


def choose(read: Sequence[PairOutcome], answers: Mapping[str, str]) -> Examples | None:
    """Choose examples from the outcomes of pairs; ``None`` if no pair passes the rule.

    Args:
        answers: the right answer in words, by the pair's id.
    """
    differences: list[float] = []
    candidates: list[tuple[float, PairOutcome]] = []
    for outcome in read:
        rated = {arm.arm: arm.answer for arm in outcome.arms if arm.answer}
        if any(arm not in rated for arm in PAIR) or outcome.id not in answers:
            continue
        bpe, kron = (rated[arm].clean_logprob - rated[arm].typo_logprob for arm in PAIR)
        differences.append(kron - bpe)
        if all(rated[arm].clean_rank == 1 for arm in PAIR):
            candidates.append((kron - bpe, outcome))
    if not candidates:
        return None
    mean = sum(differences) / len(differences)
    ranked = sorted(candidates, key=lambda one: (one[0], one[1].id))
    first = min(ranked, key=lambda one: (abs(one[0] - mean), one[1].id))
    ranked.remove(first)
    places = [round(step * (len(ranked) - 1) / (OTHERS - 1)) for step in range(OTHERS)]
    others = [ranked[place] for place in dict.fromkeys(places)] if ranked else []
    return Examples(
        len(differences),
        len(candidates),
        mean,
        tuple(
            Example(outcome.clean, outcome.typo, answers[outcome.id], difference)
            for difference, outcome in (first, *others)
        ),
    )
