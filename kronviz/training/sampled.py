"""Cross-entropy over a part of a large vocabulary, for training where a full head is too dear.

Notable:

- On a CPU the head of 50,257 tokens costs more than the rest of a small model. Scoring the
  frequent tokens, the batch's own targets and a draw from the others costs a fifth of it.
- What is left out is estimated, not ignored: the drawn tokens stand for all the others by weight,
  so that the sum under the softmax is right on average.

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
    """Return the mean cross-entropy in nats of the targets, its normaliser estimated from some
    tokens.

    Args:
        final: final hidden states, ``(rows, d_model)``.
        weight: the head's, ``(n_vocab, d_model)``.
        targets: ids, int64, ``(rows,)``.
        frequent: ids below this are always scored; byte-level BPE numbers its tokens from the
            frequent to the rare.
        scored: how many ids are scored in all. What the frequent and the targets leave of them is
            drawn from the others, at least one, without repetition and each as likely. If that
            is all the others, the result is the exact cross-entropy. A number that never changes
            lets the allocator use the same memory in each step.
        seed: of the draw.
    """
    device = weight.device
    exact = torch.cat([torch.arange(frequent, device=device), targets]).unique()
    other = torch.ones(len(weight), dtype=torch.bool, device=device)
    other[exact] = False
    others = other.nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(others), generator=generator)[: max(scored - len(exact), 1)]
    ids = torch.cat([exact, others[drawn.to(device)]])
    # Each drawn token counts as often as there are tokens that it stands for.
    correction = torch.zeros(len(ids), device=device)
    correction[len(exact) :] = math.log(max(len(others), 1) / max(len(drawn), 1))
    logits = F.linear(final, F.embedding(ids, weight), correction)
    return F.cross_entropy(logits.float(), torch.searchsorted(exact, targets))
