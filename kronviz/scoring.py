"""Scores given tokens after a context by a model's log-probability, many texts at a time.

Notable:

- Texts are read in batches padded on the right, which a causal model does not see. Only the scored
  positions go through the head, which costs more than the rest of a small model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from kronviz.model import GPT, right_padded
from kronviz.progress import Progress, goes_on

TOKENS_AT_ONCE, HEAD_ROWS = 4_096, 384
"""Tokens in a batch, padding included, and positions whose logits are in memory at once."""

Ids = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Scores:
    """How a model rates each of several targets.

    Attributes:
        logprobs: sum of the natural log-probabilities of a target's tokens, float64, ``(texts,)``.
        greedy: whether all of its tokens are the most probable ones, bool, ``(texts,)``.
    """

    logprobs: NDArray[np.float64]
    greedy: NDArray[np.bool_]


@torch.inference_mode()
def score(
    model: GPT,
    texts: Sequence[tuple[Ids, Ids]],
    *,
    tokens: int = TOKENS_AT_ONCE,
    progress: Progress | None = None,
) -> Scores:
    """Score targets after their contexts.

    Args:
        model: in evaluation mode.
        texts: ids of a context and of a target, at least one each. The model reads the end of a
            context that is too long for it.
        tokens: most tokens in a batch, padding included; a batch has at least one text.
        progress: called after each batch, see `kronviz.progress.asking`.

    Raises:
        ValueError: a context or a target is empty, or a target is longer than ``n_ctx``.
    """
    n_ctx = model.config.n_ctx
    for context, target in texts:
        if not context or not target:
            raise ValueError("A context and a target need at least one token each.")
        if len(target) > n_ctx:
            raise ValueError(f"A target has {len(target)} tokens; the model reads {n_ctx}.")
    inputs = [(*context, *target)[-n_ctx - 1 : -1] for context, target in texts]
    logprobs, greedy = np.empty(len(texts)), np.empty(len(texts), bool)
    order = sorted(range(len(texts)), key=lambda i: len(inputs[i]))
    while order:
        # The longest first: if its batch fits in memory, so do all others.
        rows = order[-max(1, tokens // len(inputs[order[-1]])) :]
        del order[-len(rows) :]
        ids, last = right_padded([inputs[i] for i in rows])
        states = model.residual_stream(ids.to(model.device))[-1]
        lengths = torch.tensor([len(texts[i][1]) for i in rows])
        row = torch.arange(len(rows)).repeat_interleave(lengths)
        # Counted back from the last position of each row.
        back = torch.cat([torch.arange(n - 1, -1, -1) for n in lengths.tolist()])
        scored = states[row.to(model.device), (last[row] - back).to(model.device)]
        targets = torch.tensor([token for i in rows for token in texts[i][1]], device=model.device)
        nats, hits = [], []
        for part, wanted in zip(scored.split(HEAD_ROWS), targets.split(HEAD_ROWS), strict=True):
            logits = model.logits(model.norm(part)).float()
            nats.append(F.cross_entropy(logits, wanted, reduction="none").double())
            hits.append(logits.argmax(-1) == wanted)
        starts = np.cumsum([0, *lengths.tolist()[:-1]])
        logprobs[rows] = -np.add.reduceat(torch.cat(nats).cpu().numpy(), starts)
        greedy[rows] = np.logical_and.reduceat(torch.cat(hits).cpu().numpy(), starts)
        goes_on(progress, 0)
    return Scores(logprobs, greedy)
