"""Reads several texts at once, computing common prefixes only once.

Notable:

- A clean text and a misspelled one agree up to the first mistake, and a causal model has the same
  states there. The texts become a tree with one node for each distinct prefix. Everything computed
  per token (nine tenths of the work) is computed once per node and without padding; only attention
  goes text by text.
- In the last block only what the last tokens need is computed.
- The results equal those of `GPT.read` up to float32 rounding.
- For CPUs: on a GPU a batch of fixed shape is faster, even with padding (`kronviz.graphs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.model import GPT, Block, Reading, right_padded, split_heads

FEW = 4
"""Rows up to which the product with the head is faster with the large matrix first."""


@dataclass(frozen=True)
class PrefixTree:
    """Texts as nodes, one for each distinct prefix.

    Attributes:
        ids, depths: token of each node and its position in a text; int64, ``(nodes,)``.
        rows: the nodes of each text, padded with 0: int64, ``(texts, longest)``.
        places: index of each node's first occurrence in ``rows``, flattened; int64, ``(nodes,)``.
        last: index of each text's last token; int64, ``(texts,)``.
    """

    ids: Tensor
    depths: Tensor
    rows: Tensor
    places: Tensor
    last: Tensor

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> PrefixTree:
        """Return the tree of texts of any lengths, at least one id each."""
        longest = max(map(len, texts))
        known: dict[tuple[int, int], int] = {}
        ids: list[int] = []
        depths: list[int] = []
        places: list[int] = []
        paths: list[list[int]] = []
        for row, text in enumerate(texts):
            node, path = -1, []
            for depth, token in enumerate(text):
                step = node, token
                if step not in known:
                    known[step] = len(ids)
                    ids.append(token)
                    depths.append(depth)
                    places.append(row * longest + depth)
                node = known[step]
                path.append(node)
            paths.append(path)
        rows, last = right_padded(paths)
        return cls(torch.tensor(ids), torch.tensor(depths), rows, torch.tensor(places), last)


class PrefixReader:
    """Reads texts like `GPT.read`, but common prefixes only once.

    Args:
        model: on a CPU, in evaluation mode.
    """

    def __init__(self, model: GPT):
        self.model = model

    @torch.inference_mode()
    def read(self, texts: Sequence[Sequence[int]]) -> Reading:
        """Read texts; arguments and result as for `GPT.read`."""
        model, tree = self.model, PrefixTree.of(texts)
        if model.reads_context:
            embedded = model.embed(tree.ids[tree.rows]).flatten(0, 1)[tree.places]
        else:
            embedded = model.wte(tree.ids)
        states = embedded + model.wpe(tree.depths)
        *blocks, final_block = cast(list[Block], list(model.blocks))
        for block in blocks:
            states = _pass(block, states, tree)
        final = model.norm(_pass_last(final_block, states, tree))
        return Reading(_logits(model, final), final)


def _logits(model: GPT, final: Tensor) -> Tensor:
    """Compute `GPT.logits`, by a product that is twice as fast for the two texts of a pair."""
    if len(final) > FEW:
        return model.logits(final)
    return (model.lm_head.weight @ final.T)[: model.n_vocab].T.contiguous()


def _pass(block: Block, states: Tensor, tree: PrefixTree) -> Tensor:
    """Run one block for all nodes: ``(nodes, d_model)``."""
    attention = block.attention
    mixed = attention.qkv(block.norm_1(states))
    q, k, v = (split_heads(part, attention.n_head) for part in mixed[tree.rows].chunk(3, -1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    y = y.transpose(1, 2).flatten(0, 1).flatten(1)[tree.places]
    states = states + attention.proj(y)
    return states + block.mlp(block.norm_2(states))


def _pass_last(block: Block, states: Tensor, tree: PrefixTree) -> Tensor:
    """Run one block for the last token of each text: ``(texts, d_model)``."""
    attention = block.attention
    normed = block.norm_1(states)
    texts = torch.arange(len(tree.rows))
    ends = tree.rows[texts, tree.last]
    width = normed.shape[1]
    of_query, of_others = attention.qkv.weight.split([width, 2 * width])
    others = F.linear(normed, of_others)[tree.rows]
    q = split_heads(F.linear(normed[ends], of_query)[:, None], attention.n_head)
    k, v = (split_heads(part, attention.n_head) for part in others.chunk(2, -1))
    seen = torch.arange(tree.rows.shape[1]) <= tree.last[:, None]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])
    states = states[ends] + attention.proj(y.transpose(1, 2).flatten(1))
    return states + block.mlp(block.norm_2(states))
