"""Cross-entropy over a part of a large vocabulary, for training where a full head is too dear.

Notable:

- On a CPU the head of 50,257 tokens costs more than the rest of a small model. Scoring the
  frequent tokens, the batch's own targets and a draw from the others costs a fifth of it.
- What is left out is estimated, not ignored: the drawn tokens stand for all the others by weight,
  so that the sum under the softmax is right on average.

Source: «On Using Very Large Target Vocabulary for Neural Machine Translation» (Jean et al. 2015).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled_cross_entropy(
    final: Tensor, weight: Tensor, targets: Tensor, frequent: int, drawn: int, seed: int
) -> Tensor:
    """Mean cross-entropy in nats of the targets, its normaliser estimated from some tokens.

    Args:
        final: final hidden states, ``(rows, d_model)``.
        weight: the head's, ``(n_vocab, d_model)``.
        targets: ids, int64, ``(rows,)``.
        frequent: ids below this are always scored; byte-level BPE numbers its tokens from the
            frequent to the rare.
        drawn: how many of the ids that are neither frequent nor a target are drawn, without
            repetition and each as likely; all of them if there are fewer, and then the result
            is the exact cross-entropy.
        seed: of the draw.
    """
    device = weight.device
    exact = torch.cat([torch.arange(frequent, device=device), targets]).unique()
    other = torch.ones(len(weight), dtype=torch.bool, device=device)
    other[exact] = False
    others = other.nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    chosen = others[torch.randperm(len(others), generator=generator)[:drawn].to(device)]
    scored = torch.cat([exact, chosen])
    # Each drawn token counts as often as there are tokens that it stands for.
    correction = torch.zeros(len(scored), device=device)
    correction[len(exact) :] = math.log(len(others) / max(len(chosen), 1) or 1)
    logits = F.linear(final, F.embedding(scored, weight), correction)
    return F.cross_entropy(logits.float(), torch.searchsorted(exact, targets))
