"""Cross-entropy over part of a large vocabulary, for training when a full head is too expensive.

Notable:

- On a CPU a head of 50,257 tokens costs more than the rest of a small model. Scoring the
  frequent tokens, the batch's own targets and a sample of the others costs a fifth of that.
- The rest is estimated, not ignored: the sampled tokens are weighted to represent all the others,
  so the sum in the softmax is right on average.

Source: “On Using Very Large Target Vocabulary for Neural Machine Translation” (Jean et al. 2015).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled_cross_entropy(
    final: Tensor, weight: Tensor, targets: Tensor, frequent: int, scored: int, seed: int
) -> Tensor:
    """Return the mean cross-entropy of the targets in nats, with the sum in the softmax estimated
    from some of the tokens.

    Args:
        final: final hidden states, ``(rows, d_model)``.
        weight: the head's weight, ``(n_vocab, d_model)``.
        targets: ids, int64, ``(rows,)``.
        frequent: ids below this are always scored; byte-level BPE numbers tokens from frequent to
            rare.
        scored: number of ids that are scored in all. After the frequent ids and the targets, the
            rest (at least one) is drawn uniformly from the others, without repetition. If that
            takes all the others, the result is exact. A constant number lets the allocator reuse
            the same memory in each step.
        seed: seed of the draw.
    """
    device = weight.device
    exact = torch.cat([torch.arange(frequent, device=device), targets]).unique()
    other = torch.ones(len(weight), dtype=torch.bool, device=device)
    other[exact] = False
    others = other.nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(others), generator=generator)[: max(scored - len(exact), 1)]
    ids = torch.cat([exact, others[drawn.to(device)]])
    # Each drawn token is weighted by the number of tokens that it represents.
    correction = torch.zeros(len(ids), device=device)
    correction[len(exact) :] = math.log(max(len(others), 1) / max(len(drawn), 1))
    logits = F.linear(final, F.embedding(ids, weight), correction)
    return F.cross_entropy(logits.float(), torch.searchsorted(exact, targets))
