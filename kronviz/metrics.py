"""Metrics that compare a model's answers to a clean and a misspelled text (paper, section 6).

All take logits or hidden states of one position or a batch of positions, and compute in float64
because the KL of two nearly equal distributions is a small difference of large sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class PairMetrics:
    """The paper's four metrics of one clean/misspelled pair, all at the last position.

    Attributes:
        top1_kept: whether both texts have the same most probable next token.
        kl_nats: KL(clean ‖ typo) over the whole vocabulary, in nats.
        hidden_cosine: cosine of the two final hidden states.
        logprob_drop_nats: how much log-probability the clean text's top token loses, in nats;
            negative if it gains.
    """

    top1_kept: bool
    kl_nats: float
    hidden_cosine: float
    logprob_drop_nats: float


@dataclass(frozen=True)
class AnswerMetrics:
    """How a model rates the right next token, after the clean and after the misspelled text.

    Attributes:
        clean_logprob, typo_logprob: natural log-probability of the token.
        clean_rank, typo_rank: its rank among all tokens, from 1; in a tie the best rank.
    """

    clean_logprob: float
    typo_logprob: float
    clean_rank: int
    typo_rank: int


def kl_divergence(clean: Tensor, typo: Tensor) -> Tensor:
    """Return KL(clean ‖ typo) in nats, from logits ``(..., vocab)``: float64, ``(...)``."""
    return _divergence(log_probs(clean), log_probs(typo))


def log_probs(logits: Tensor) -> Tensor:
    """Return the natural log-probabilities over the whole vocabulary, float64, from logits."""
    return logits.double().log_softmax(-1)


def pair_metrics(
    clean_logits: Tensor, typo_logits: Tensor, clean_hidden: Tensor, typo_hidden: Tensor
) -> list[PairMetrics]:
    """Return the four metrics of each pair.

    Args:
        clean_logits, typo_logits: logits at the last position, ``(pairs, vocab)``.
        clean_hidden, typo_hidden: final hidden states there, ``(pairs, d_model)``.
    """
    return log_prob_metrics(
        log_probs(clean_logits), log_probs(typo_logits), clean_hidden, typo_hidden
    )


def log_prob_metrics(
    p: Tensor, q: Tensor, clean_hidden: Tensor, typo_hidden: Tensor
) -> list[PairMetrics]:
    """Return `pair_metrics` from the log-probabilities of the clean and the misspelled text."""
    pair, top = torch.arange(len(p), device=p.device), p.argmax(-1)
    columns = (
        q.argmax(-1) == top,
        _divergence(p, q),
        F.cosine_similarity(clean_hidden.double(), typo_hidden.double()),
        p[pair, top] - q[pair, top],
    )
    return [PairMetrics(*row) for row in zip(*[c.tolist() for c in columns], strict=True)]


def answer_metrics(p: Tensor, q: Tensor, answers: Tensor) -> list[AnswerMetrics]:
    """Rate the right answer of each pair.

    Args:
        p, q: log-probabilities after the clean and the misspelled texts, ``(pairs, vocab)``.
        answers: ids of the right next tokens, int64, ``(pairs,)``.
    """
    pair = torch.arange(len(p), device=p.device)
    logs = [side[pair, answers] for side in (p, q)]
    ranks = [(side > log[:, None]).sum(-1) + 1 for side, log in zip((p, q), logs, strict=True)]
    columns = [column.tolist() for column in (*logs, *ranks)]
    return [AnswerMetrics(*row) for row in zip(*columns, strict=True)]


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    return (p.exp() * (p - q)).sum(-1).clamp(min=0)
