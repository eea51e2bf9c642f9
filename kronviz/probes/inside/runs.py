"""A model's run on one text, with all inner states that can be patched, shown or resumed from.

Notable:

- The numbers are those of `GPT.forward`, up to float32 rounding. Attention is computed in two
  steps, because its patterns and the output of each head are needed.
- Queries, keys and values of each block are stored, so that a patched run (`patching`) computes
  only what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from kronviz.model import GPT, Block


@dataclass(frozen=True)
class Run:
    """The inner states of a model on ``T`` tokens, with ``L`` blocks of ``H`` heads.

    Attributes:
        model: the model that ran.
        streams: the residual stream before each block and after the last, ``(L + 1, T, d_model)``.
        qkv: queries, keys and values of each block side by side, ``(L, T, 3 · d_model)``.
        patterns: attention weights of each head, ``(L, H, T, T)``; rows sum to 1.
        heads: outputs of the heads before they are mixed, ``(L, T, H, d_head)``.
        attention, mlp: what each block's two layers add to the stream, ``(L, T, d_model)``.
    """

    model: GPT
    streams: Tensor
    qkv: Tensor
    patterns: Tensor
    heads: Tensor
    attention: Tensor
    mlp: Tensor

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.streams.shape[1]


def blocks(model: GPT) -> list[Block]:
    """Return the blocks of a model, with their type."""
    return cast(list[Block], list(model.blocks))


@torch.no_grad()
def trace(model: GPT, ids: Sequence[int]) -> Run:
    """Run a model on one text and store its inner states.

    Args:
        ids: 1 to ``n_ctx`` token ids.
    """
    tokens = torch.tensor([list(ids)], device=model.device)
    (stream,) = model.residual_stream(tokens, depth=0)[0]
    time = len(stream)
    future = torch.ones(time, time, dtype=torch.bool, device=model.device).triu(1)
    streams, stored = [stream], []
    for block in blocks(model):
        attention = block.attention
        qkv = attention.qkv(block.norm_1(stream))
        q, k, v = (part.unflatten(-1, (attention.n_head, -1)) for part in qkv.chunk(3, -1))
        scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        heads = torch.einsum("hqk,khd->qhd", pattern, v)
        mixed = attention.proj(heads.flatten(1))
        added = block.mlp(block.norm_2(stream + mixed))
        stream = stream + mixed + added
        streams.append(stream)
        stored.append((qkv, pattern, heads, mixed, added))
    return Run(model, torch.stack(streams), *map(torch.stack, zip(*stored, strict=True)))
