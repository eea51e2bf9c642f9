"""Pairs of texts through both arms, batch after batch: how each pair is answered.

Notable:

- A batch is as large as a fixed amount of arithmetic allows, so that a stop is heard within about
  a second whatever the size of the models; a text that several pairs share is read once.
- What a run sums up is the business of the probes that ask: `robustness`, `sweep`, `sensitivity`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kronviz.metrics import PairMetrics, log_prob_metrics, log_probs
from kronviz.model import Reading, parameter_count
from kronviz.predictor import InputError, Predictor
from kronviz.probes.pairs import Pair, PairSet

BATCH_FLOP, BATCH_TOKENS = 3e10, 2_048
"""What a batch may cost: multiplications and additions of the larger model, and tokens."""
Progress = Callable[[int, int], object]
"""Told how many are done, of how many; an answer of ``False`` stops the run."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class ArmOutcome:
    """How one arm answered one pair: its first choices, readable, and the paper's four metrics."""

    arm: str
    clean_top: str
    typo_top: str
    metrics: PairMetrics


@dataclass(frozen=True)
class PairOutcome:
    """How every arm answered one pair. ``clean_tokens`` and ``typo_tokens`` are counts."""

    id: str
    category: str
    clean: str
    typo: str
    clean_tokens: int
    typo_tokens: int
    arms: tuple[ArmOutcome, ...]


def fitted(predictor: Predictor, pairs: PairSet) -> PairSet:
    """The pairs that the models can read whole, with a sentence for each that they cannot."""
    fitting, problems = [], list(pairs.problems)
    for pair in pairs.pairs:
        try:
            predictor.encode(pair.clean, "clean text")
            predictor.encode(pair.typo, "misspelled text")
        except InputError as error:
            problems.append(f"Pair {pair.id[:40]!r} is left out: {error}")
        else:
            fitting.append(pair)
    return PairSet(tuple(fitting), tuple(problems))


def outcomes(predictor: Predictor, pairs: Sequence[Pair]) -> Iterator[tuple[PairOutcome, ...]]:
    """Read pairs that fit the models, in their order, and yield those of each batch."""
    encode = predictor.tokenizer.encode
    encoded = [(tuple(encode(pair.clean)), tuple(encode(pair.typo))) for pair in pairs]
    start = 0
    for size in batch_sizes(predictor, [max(map(len, ids)) * 2 for ids in encoded]):
        chosen = slice(start, start + size)
        yield _read_batch(predictor, pairs[chosen], encoded[chosen])
        start += size


def batch_sizes(predictor: Predictor, tokens: Sequence[int]) -> Iterator[int]:
    """How many items each batch takes, when padded to its longest it may cost `BATCH_FLOP`.

    Args:
        tokens: what each item costs.
    """
    largest = max(parameter_count(model) for model in predictor.arms.values())
    budget = min(BATCH_FLOP / (2 * largest), BATCH_TOKENS)
    size = longest = 0
    for cost in tokens:
        if size and max(longest, cost) * (size + 1) > budget:
            yield size
            size = longest = 0
        size, longest = size + 1, max(longest, cost)
    if size:
        yield size


def _read_batch(
    predictor: Predictor, pairs: Sequence[Pair], encoded: Sequence[tuple[Ids, Ids]]
) -> tuple[PairOutcome, ...]:
    texts = list(dict.fromkeys(ids for both in encoded for ids in both))
    row = {ids: i for i, ids in enumerate(texts)}
    clean, typo = ([row[both[side]] for both in encoded] for side in (0, 1))
    found = predictor.by_arm(
        lambda arm: _arm_outcomes(predictor, arm, predictor.readers[arm].read(texts), clean, typo)
    )
    return tuple(
        PairOutcome(
            id=pair.id,
            category=pair.category,
            clean=pair.clean,
            typo=pair.typo,
            clean_tokens=len(ids[0]),
            typo_tokens=len(ids[1]),
            arms=tuple(by_arm),
        )
        for pair, ids, by_arm in zip(pairs, encoded, zip(*found, strict=True), strict=True)
    )


def _arm_outcomes(
    predictor: Predictor, arm: str, reading: Reading, clean: list[int], typo: list[int]
) -> list[ArmOutcome]:
    # Once a text, for a clean one stands in many pairs.
    logs, final = log_probs(reading.logits), reading.final
    metrics = log_prob_metrics(logs[clean], logs[typo], final[clean], final[typo])
    tops = [predictor.tokenizer.token_text(token) for token in logs.argmax(-1).tolist()]
    return [
        ArmOutcome(arm, tops[c], tops[t], values)
        for c, t, values in zip(clean, typo, metrics, strict=True)
    ]
