"""Reads pairs of texts with every arm, batch by batch, and returns the outcome of each pair.

Notable:

- The size of a batch is limited by a fixed number of operations, so that a stop takes effect within
  about half a second whatever the models' size. A text that several pairs share is read once.
- The probes `robustness`, `sweep` and `sensitivity` summarize the outcomes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from kronviz.metrics import (
    AnswerMetrics,
    PairMetrics,
    answer_metrics,
    log_prob_metrics,
    log_probs,
)
from kronviz.model import Reading, parameter_count
from kronviz.predictor import InputError, Predictor
from kronviz.probes.pairs import Pair, PairSet
from kronviz.progress import Progress, asking

BATCH_FLOP, BATCH_TOKENS = 2e10, 2_048
"""Limits of a batch: operations of the larger model, and tokens."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class ArmOutcome:
    """How one arm answered one pair.

    Attributes:
        clean_top, typo_top: its first choices, readable.
        metrics: the paper's four metrics.
        answer: how it rates the right answer; ``None`` if the pair has none.
    """

    arm: str
    clean_top: str
    typo_top: str
    metrics: PairMetrics
    answer: AnswerMetrics | None = None


@dataclass(frozen=True)
class PairOutcome:
    """How every arm answered one pair.

    Attributes:
        clean_tokens, typo_tokens: number of tokens of the two texts.
        answer: the first token of the right answer, readable; ``None`` if the pair has none.
    """

    id: str
    category: str
    clean: str
    typo: str
    clean_tokens: int
    typo_tokens: int
    arms: tuple[ArmOutcome, ...]
    answer: str | None = None


def fitted(predictor: Predictor, pairs: PairSet, progress: Progress | None = None) -> PairSet:
    """Return the pairs that fit the models, with a sentence for each that does not.

    Args:
        progress: as for `kronviz.progress.asking`.
    """
    fitting, problems = [], list(pairs.problems)
    for pair in asking(pairs.pairs, progress):
        try:
            predictor.encode(pair.clean, "clean text")
            predictor.encode(pair.typo, "misspelled text")
            predictor.answer_token(pair.clean, pair.typo, pair.expected or "")
        except InputError as error:
            problems.append(f"Pair {pair.id[:40]!r} is left out: {error}")
        else:
            fitting.append(pair)
    return PairSet(tuple(fitting), tuple(problems))


def outcomes(predictor: Predictor, pairs: Sequence[Pair]) -> Iterator[tuple[PairOutcome, ...]]:
    """Read pairs that fit the models, in order; yield the outcomes of each batch."""
    encode = predictor.tokenizer.encode
    # Only those of the next batch: the ids of all texts would take gigabytes.
    encoded: deque[tuple[Ids, Ids]] = deque()

    def costs() -> Iterator[int]:
        for pair in pairs:
            encoded.append((tuple(encode(pair.clean)), tuple(encode(pair.typo))))
            yield max(map(len, encoded[-1])) * 2

    start = 0
    for size in batch_sizes(predictor, costs()):
        batch = [encoded.popleft() for _ in range(size)]
        yield _read_batch(predictor, pairs[start : start + size], batch)
        start += size


def batch_sizes(predictor: Predictor, tokens: Iterable[int]) -> Iterator[int]:
    """Yield the number of items in each batch, whose padded cost is at most `BATCH_FLOP`.

    Args:
        tokens: the number of tokens of each item.
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
    answers = [predictor.answer_token(p.clean, p.typo, p.expected or "") for p in pairs]
    arms = predictor.by_arm(
        lambda arm: _arm_outcomes(
            predictor, arm, predictor.readers[arm].read(texts), clean, typo, answers
        )
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
            answer=None if answer is None else predictor.tokenizer.token_text(answer),
        )
        for pair, ids, by_arm, answer in zip(
            pairs, encoded, zip(*arms, strict=True), answers, strict=True
        )
    )


def _arm_outcomes(
    predictor: Predictor,
    arm: str,
    reading: Reading,
    clean: list[int],
    typo: list[int],
    answers: Sequence[int | None],
) -> list[ArmOutcome]:
    # Once per text, because many pairs may share a clean text.
    logs, final = log_probs(reading.logits), reading.final
    metrics = log_prob_metrics(logs[clean], logs[typo], final[clean], final[typo])
    tops = [predictor.tokenizer.token_text(token) for token in logs.argmax(-1).tolist()]
    known = [i for i, answer in enumerate(answers) if answer is not None]
    ids = torch.tensor([answers[i] for i in known], dtype=torch.long, device=logs.device)
    c, t = ([side[i] for i in known] for side in (clean, typo))
    rated = dict(zip(known, answer_metrics(logs[c], logs[t], ids), strict=True))
    return [
        ArmOutcome(arm, tops[clean[i]], tops[typo[i]], values, rated.get(i))
        for i, values in enumerate(metrics)
    ]
