"""Activation patching: a misspelled run with one thing replaced by that of the clean run.

Notable:

- Every patch replaces some states of the residual stream before some block, and the model continues
  from there: an attention output, an MLP output or a head's output at a token changes the stream
  before the next block at that token only.
- Only what can differ is computed: nothing before the patched block or at tokens before the patched
  one, no queries, keys and values of other tokens in the patched block, and in the last block only
  what the last token needs. Runs resumed at different blocks share a batch.
- Positions are part of the token states, and blocks do not know them. So a word's states in the
  residual stream can be replaced by the clean word's even if it has another number of pieces.
  Outputs are added to existing tokens, for which pieces are matched from the word's end.

Sources: causal tracing and activation patching (Vig et al. 2020, arXiv 2004.12265; Meng et al.
2022, arXiv 2202.05262); TransformerLens's ``patching.py`` is the reference implementation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.model import Block, parameter_count
from kronviz.probes.inside.runs import Run, blocks
from kronviz.probes.inside.words import AlignedWord
from kronviz.probes.outcomes import BATCH_FLOP

THINGS = ("residual", "attention", "mlp", "head")
"""What can be patched; see `patches`."""
BATCH_TOKENS = 1_500
"""Most tokens in a batch of patched runs; fewer for large models."""


@dataclass(frozen=True)
class Patch:
    """States that replace a stretch of the misspelled run.

    Attributes:
        block: the stream before this block is replaced, from 0; ``n_layer`` means the stream after
            the last block.
        start, end: tokens of the misspelled text that are replaced.
        states: ``(tokens, d_model)``, as many as the clean word has.
    """

    block: int
    start: int
    end: int
    states: Tensor

    def changes(self, typo: Run) -> bool:
        """Return whether the states differ from the misspelled run's own."""
        return not torch.equal(self.states, typo.streams[self.block, self.start : self.end])


@torch.no_grad()
def patches(thing: str, clean: Run, typo: Run, word: AlignedWord) -> Iterator[Patch]:
    """Yield the patches of one word, by block (and head).

    Args:
        thing: ``residual`` (the stream before the block), ``attention`` or ``mlp`` (what that layer
            adds), or ``head`` (what one head adds).
        clean, typo: runs of one model.
    """
    model = typo.model
    start, end = word.typo
    if thing == "residual":
        for layer in range(model.config.n_layer):
            yield Patch(layer, start, end, clean.streams[layer, slice(*word.clean)])
        return
    theirs, ours = (list(side) for side in zip(*word.matched, strict=True))
    first = ours[0]
    for layer, block in enumerate(blocks(model)):
        before = typo.streams[layer, first:end]
        if thing == "mlp":
            states = before + typo.attention[layer, first:end] + clean.mlp[layer, theirs]
            yield Patch(layer + 1, first, end, states)
        elif thing == "attention":
            yield _after_attention(
                block, layer, first, end, before + clean.attention[layer, theirs]
            )
        else:
            change = clean.heads[layer, theirs] - typo.heads[layer, ours]
            columns = block.attention.proj.weight.unflatten(1, change.shape[1:])
            added = torch.einsum("thd,ohd->hto", change, columns)
            middle = before + typo.attention[layer, first:end] + added
            for states in middle:
                yield _after_attention(block, layer, first, end, states)


def _after_attention(block: Block, layer: int, start: int, end: int, middle: Tensor) -> Patch:
    """Return the patch after a block's MLP, which works on each token separately."""
    return Patch(layer + 1, start, end, middle + block.mlp(block.norm_2(middle)))


@torch.no_grad()
def resume(typo: Run, chosen: Sequence[Patch]) -> Tensor:
    """Resume the run from each patch; return the final hidden states at the last token.

    Args:
        typo: the misspelled run.
        chosen: at least one patch; it is cheaper if they are sorted by start and block.

    Returns:
        ``(patches, d_model)``, after the final norm.
    """
    return torch.cat(
        [_resume_batch(typo, [chosen[i] for i in batch]) for batch in batches(typo, chosen)]
    )


def batches(typo: Run, chosen: Sequence[Patch]) -> Iterator[range]:
    """Yield ranges of patches to run together, within `BATCH_TOKENS` and `BATCH_FLOP`."""
    start, tokens = 0, 0.0
    if not chosen:
        return
    body = parameter_count(typo.model.blocks)
    most = min(BATCH_TOKENS, BATCH_FLOP / (2 * body))
    # Each patch needs one pass through the head, whose cost is converted to tokens.
    head = typo.model.lm_head.weight.numel() / body
    for place, patch in enumerate(chosen):
        length = len(patch.states) + typo.length - patch.end + head
        if tokens and tokens + length > most:
            yield range(start, place)
            start, tokens = place, 0.0
        tokens += length
    yield range(start, len(chosen))


def _resume_batch(typo: Run, chosen: Sequence[Patch]) -> Tensor:
    """Resume the runs of one batch, grouped by start and length of their patch."""
    model = typo.model
    entering: dict[int, dict[tuple[int, int, int], list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for place, patch in enumerate(chosen):
        entering[patch.block][patch.start, patch.end, len(patch.states)].append(place)
    running: dict[tuple[int, int, int], _Group] = {}
    n_layer = model.config.n_layer
    for layer, block in enumerate(blocks(model)):
        joining = {
            key: _Group(places, torch.stack([chosen[i].states for i in places]))
            for key, places in entering[layer].items()
        }
        if not running and not joining:
            continue
        is_last = layer == n_layer - 1
        running = _pass_block(typo, layer, block, running, joining, is_last)
    final = torch.empty(len(chosen), model.config.d_model, device=typo.streams.device).to(
        typo.streams.dtype
    )
    for group in running.values():
        final[group.places] = group.states[:, -1]
    for (_, end, _), places in entering[n_layer].items():
        stays = end < typo.length
        for place in places:
            final[place] = typo.streams[-1, -1] if stays else chosen[place].states[-1]
    return model.norm(final)


@dataclass
class _Group:
    """Runs of equal length that differ from the same token on.

    Attributes:
        places: their indices in the batch.
        states: ``(runs, tokens, d_model)``, from the first token that differs.
    """

    places: list[int]
    states: Tensor


def _pass_block(
    typo: Run,
    layer: int,
    block: Block,
    running: dict[tuple[int, int, int], _Group],
    joining: dict[tuple[int, int, int], _Group],
    last: bool,
) -> dict[tuple[int, int, int], _Group]:
    """Run one block for all runs; a joining run continues with the misspelled run's states."""
    every = [group.states for group in (*running.values(), *joining.values())]
    sizes = [states.shape[0] * states.shape[1] for states in every]
    flat = torch.cat([states.flatten(0, 1) for states in every])
    projected = block.attention.qkv(block.norm_1(flat)).split(sizes)
    shaped = [own.view(*states.shape[:2], -1) for own, states in zip(projected, every, strict=True)]
    keys = [*running, *joining]
    whole: dict[tuple[int, int, int], tuple[list[int], list[Tensor], list[Tensor]]] = {}
    groups = (*running.values(), *joining.values())
    for key, group, qkv, is_new in zip(
        keys, groups, shaped, [False] * len(running) + [True] * len(joining), strict=True
    ):
        states = group.states
        if is_new:
            runs, end = len(group.places), key[1]
            states = torch.cat([states, typo.streams[layer, end:].expand(runs, -1, -1)], 1)
            qkv = torch.cat([qkv, typo.qkv[layer, end:].expand(runs, -1, -1)], 1)
        places, streams, mixed = whole.setdefault(key, ([], [], []))
        places += group.places
        streams.append(states)
        mixed.append(qkv)
    after, heads = {}, []
    for key, (places, streams, mixed) in whole.items():
        states, qkv = torch.cat(streams), torch.cat(mixed)
        heads.append(_attend(typo, layer, block, key[0], qkv, last))
        after[key] = _Group(places, states[:, -1:] if last else states)
    sizes = [group.states.shape[0] * group.states.shape[1] for group in after.values()]
    flat = torch.cat([group.states.flatten(0, 1) for group in after.values()])
    flat = flat + block.attention.proj(torch.cat(heads))
    flat = flat + block.mlp(block.norm_2(flat))
    for group, states in zip(after.values(), flat.split(sizes), strict=True):
        group.states = states.view(group.states.shape)
    return after


def _attend(typo: Run, layer: int, block: Block, start: int, qkv: Tensor, last: bool) -> Tensor:
    """Return the heads' outputs, flat ``(…, d_model)``, for ``qkv`` of shape ``(runs, tokens,
    3 · d_model)``.
    """
    q, k, v = (
        part.unflatten(-1, (block.attention.n_head, -1)).transpose(1, 2)
        for part in qkv.chunk(3, -1)
    )
    runs, time = qkv.shape[:2]
    if start:
        _, before_k, before_v = (
            part.unflatten(-1, (block.attention.n_head, -1)).transpose(0, 1)
            for part in typo.qkv[layer, :start].chunk(3, -1)
        )
        k = torch.cat([before_k.expand(runs, -1, -1, -1), k], 2)
        v = torch.cat([before_v.expand(runs, -1, -1, -1), v], 2)
    if last:
        y = F.scaled_dot_product_attention(q[:, :, -1:], k, v)
    else:
        seen = torch.ones(time, start + time, dtype=torch.bool, device=qkv.device).tril(start)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    return y.transpose(1, 2).flatten(2).flatten(0, 1)
