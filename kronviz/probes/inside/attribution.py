"""Attributes the damage to bytes: integrated gradients from the clean to the misspelled text.

Notable:

- The path leads from one run to the other, even if they differ in the number of tokens. Matched
  tokens (`AlignedWord.matched`) move along a straight line, including their position. A token that
  only one text has fades in or out: others attend to it with a weight from 0 to 1, and its
  embedding grows from zero. The ends are the two runs, so the parts sum to the change.
- The contribution of a changed token's embedding is split among its bytes: by what each byte adds
  to the vector if the embedding is a sum over bytes (``byte_parts``), evenly if it has one row for
  the token, as in a table. What the clean spelling added is subtracted, byte by byte.
- Tokens before the first change are the same along the whole path, and are read once.
- The number of nodes is doubled until the parts sum to within 1% of the change; Clenshaw and
  Curtis's rule reuses the nodes already computed.

Source: Sundararajan et al. 2017, "Axiomatic attribution for deep networks" (arXiv 1703.01365).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.differences import byte_opcodes
from kronviz.model import parameter_count
from kronviz.probes.inside.damage import Damage
from kronviz.probes.inside.runs import Run, blocks
from kronviz.probes.inside.words import AlignedWord
from kronviz.probes.outcomes import BATCH_FLOP
from kronviz.progress import Progress, tell

FIRST_STRETCHES, MOST_STRETCHES = 16, 256
COMPLETE = 5e-3
"""Relative error of the sum at which to stop; half of the promised 1%."""
_SMALLEST = 1e-5, 1e-3
"""Changes in nats, by KL and by log-probability, below which float32 cannot resolve the error."""
STEP_TOKENS = 256
"""Most tokens of the path whose gradients are computed at once; fewer for large models."""
_MOST_COMPARED = 1_000_000


@dataclass(frozen=True)
class ByteShare:
    """A byte of a misspelled word, and its contribution to the change in the prediction.

    Attributes:
        token: index of its token in the misspelled text.
        byte: its value.
        kl_nats: contribution to KL(clean ‖ misspelled).
        logprob_nats: contribution to the drop in log-probability of the clean first choice.
    """

    token: int
    byte: int
    kl_nats: float
    logprob_nats: float


@dataclass(frozen=True)
class Attribution:
    """The contributions to the change between two runs, in nats; they sum to the change.

    Attributes:
        by_byte: whether the embedding is a sum over bytes; if not, each token's contribution is
            split evenly among its bytes.
        bytes: every byte of every changed word, in order.
        moved_kl_nats, moved_logprob_nats: contribution of tokens whose position changed.
        fewer_kl_nats, fewer_logprob_nats: contribution of tokens that only the clean text has.
        change_kl_nats, change_logprob_nats: the whole change.
        nodes: number of points on the path at which gradients were computed.
    """

    by_byte: bool
    bytes: tuple[ByteShare, ...]
    moved_kl_nats: float
    moved_logprob_nats: float
    fewer_kl_nats: float
    fewer_logprob_nats: float
    change_kl_nats: float
    change_logprob_nats: float
    nodes: int

    def rest(self, measure: str) -> float:
        """Return the change minus the sum of the parts, in nats.

        Args:
            measure: ``kl`` or ``logprob``.
        """
        name = f"{measure}_nats"
        parts = [getattr(self, f"{part}_{name}") for part in ("moved", "fewer")]
        parts += [getattr(byte, name) for byte in self.bytes]
        return getattr(self, f"change_{name}") - sum(parts)


def attribute(
    clean: Run,
    clean_ids: Sequence[int],
    typo_ids: Sequence[int],
    words: Sequence[AlignedWord],
    damage: Damage,
    token_bytes: Callable[[int], bytes],
    progress: Progress | None = None,
) -> Attribution:
    """Attribute the change in the prediction to the bytes of the misspelled words.

    Args:
        clean: a run of the model on the clean ids.
        damage: measures runs against it.
        token_bytes: returns the bytes of an id.
        progress: called with the number of nodes done, and of those planned so far.

    Raises:
        Stopped: ``progress`` returned ``False``.
    """
    path = _Path.of(clean, clean_ids, typo_ids, words)
    changes = damage.typo.kl_nats, damage.clean.logprob_nats - damage.typo.logprob_nats
    computed: dict[float, tuple[_Gradients, _Gradients]] = {}
    stretches = FIRST_STRETCHES
    while True:
        places, weights = _clenshaw_curtis(stretches)
        missing = [place for place in places if place not in computed]
        for start in range(0, len(missing), path.nodes_at_once):
            some = missing[start : start + path.nodes_at_once]
            computed |= zip(some, _gradients(path, damage, some), strict=True)
            tell(progress, len(computed), len(places))
        parts = _means([computed[place] for place in places], weights)
        totals = [sum(float(part.sum()) for part in own.totals(path)) for own in parts]
        complete = all(
            abs(total - change) <= COMPLETE * max(abs(change), least)
            for total, change, least in zip(totals, changes, _SMALLEST, strict=True)
        )
        if complete or stretches >= MOST_STRETCHES:
            break
        stretches *= 2
    return _shared(path, parts, changes, len(places), words, clean_ids, typo_ids, token_bytes)


@dataclass(frozen=True)
class _Path:
    """The merged tokens of both texts from the first change on, ``S`` in number.

    Attributes:
        run: the clean run; its first ``same`` tokens come before the path, in both texts.
        start, step: embeddings at the clean end, and their change up to the misspelled end,
            ``(S, d_model)``.
        positions, moves: the same for the position vectors.
        gates: change of each token's visibility: 0 for tokens of both texts, 1 for those of the
            misspelled text only, −1 for those of the clean text only.
        clean, typo: index of each token in either text, or −1.
    """

    run: Run
    same: int
    start: Tensor
    step: Tensor
    positions: Tensor
    moves: Tensor
    gates: Tensor
    clean: tuple[int, ...]
    typo: tuple[int, ...]

    @classmethod
    def of(
        cls,
        clean: Run,
        clean_ids: Sequence[int],
        typo_ids: Sequence[int],
        words: Sequence[AlignedWord],
    ) -> _Path:
        model = clean.model
        with torch.no_grad():
            embedded = [
                model.embed(torch.tensor([list(ids)], device=model.device))[0].float()
                for ids in (clean_ids, typo_ids)
            ]
            wpe = model.wpe.weight.detach().float()
        ends: list[tuple[int, int]] = []
        place = next(i for i, word in enumerate(words) if word.changed)
        for word in words[place:]:
            first = word.matched[0]
            ends += [(i, -1) for i in range(word.clean[0], first[0])]
            ends += [(-1, i) for i in range(word.typo[0], first[1])]
            ends += word.matched
        start, step, positions, moves, gates = [], [], [], [], []
        for one, other in ends:
            begin = embedded[0][one] if one >= 0 else torch.zeros_like(embedded[0][0])
            target = embedded[1][other] if other >= 0 else torch.zeros_like(begin)
            position = wpe[one if one >= 0 else other]
            start.append(begin)
            step.append(target - begin)
            positions.append(position)
            moves.append(wpe[other if other >= 0 else one] - position)
            gates.append(float(one < 0) - float(other < 0))
        return cls(
            clean,
            words[place].clean[0],
            torch.stack(start),
            torch.stack(step),
            torch.stack(positions),
            torch.stack(moves),
            torch.tensor(gates, device=model.device),
            tuple(one for one, _ in ends),
            tuple(other for _, other in ends),
        )

    @property
    def nodes_at_once(self) -> int:
        """Number of nodes computed in one step."""
        # There are two measures, each with a backward pass that costs twice the forward pass.
        most = min(STEP_TOKENS, BATCH_FLOP / (4 * parameter_count(self.run.model.blocks)))
        return max(1, int(most / len(self.gates)))

    def final(self, embedded: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        """Run the model: final hidden states ``(nodes, d_model)``.

        Args:
            embedded, positions: ``(nodes, S, d_model)``; ``seen``: ``(nodes, S)``, 0 to 1.
        """
        model = self.run.model
        stream = (embedded + positions).to(model.lm_head.weight.dtype)
        nodes, time = stream.shape[:2]
        before = torch.ones(time, time, dtype=torch.bool, device=stream.device).tril(-1)
        own = torch.eye(time, dtype=torch.bool, device=stream.device)
        # A token always sees itself, because a fading first token would otherwise see nothing.
        weights = torch.where(before, seen[:, None, :], own.float()).to(stream.dtype)
        weights = F.pad(weights, (self.same, 0), value=1.0)
        hidden = F.pad(~(before | own), (self.same, 0))
        for layer, block in enumerate(blocks(model)):
            attention = block.attention
            # Before the path, keys and values are those of the clean run.
            first = self.run.qkv[layer, : self.same].expand(nodes, -1, -1)
            read = torch.cat([first, attention.qkv(block.norm_1(stream))], 1)
            q, k, v = (
                part.unflatten(-1, (attention.n_head, -1)).transpose(1, 2)
                for part in read.chunk(3, -1)
            )
            q = q[:, :, self.same :]
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            scores = scores.masked_fill(hidden, -torch.inf)
            grown = (scores - scores.amax(-1, keepdim=True).detach()).exp() * weights[:, None]
            pattern = grown / grown.sum(-1, keepdim=True)
            stream = stream + attention.proj((pattern @ v).transpose(1, 2).flatten(2))
            stream = stream + block.mlp(block.norm_2(stream))
        return model.norm(stream[:, -1])


@dataclass(frozen=True)
class _Gradients:
    """Gradients of one measure, at a node or averaged along the path.

    Attributes:
        embedded: with respect to embedding and position vector, which are added, ``(S, d_model)``.
        seen: with respect to visibility, ``(S,)``.
    """

    embedded: Tensor
    seen: Tensor

    def totals(self, path: _Path) -> tuple[Tensor, Tensor, Tensor]:
        """Return each token's contribution by embedding, position and visibility, ``(S,)`` each."""
        return (
            (self.embedded * path.step).sum(-1),
            (self.embedded * path.moves).sum(-1),
            self.seen * path.gates,
        )


def _clenshaw_curtis(stretches: int) -> tuple[list[float], list[float]]:
    """Return nodes from 0 to 1 and their weights; doubling the stretches keeps all nodes."""
    turns = np.arange(stretches + 1) / stretches
    harmonics = np.arange(1, stretches // 2 + 1)
    terms = 2.0 * np.cos(2 * np.pi * np.outer(turns, harmonics)) / (4 * harmonics**2 - 1)
    terms[:, -1] /= 2
    weights = (1 - terms.sum(1)) / stretches
    weights[[0, -1]] /= 2
    return ((1 - np.cos(np.pi * turns)) / 2).tolist(), weights.tolist()


def _gradients(
    path: _Path, damage: Damage, nodes: Sequence[float]
) -> list[tuple[_Gradients, _Gradients]]:
    """Return the gradients of KL and of the drop in log-probability at each node."""
    at = torch.tensor(nodes, dtype=torch.float32, device=path.start.device)
    with torch.enable_grad():
        line = at[:, None, None]
        embedded = (path.start + line * path.step).requires_grad_()
        # Clean tokens fade from 1 to 0, misspelled ones from 0 to 1.
        base = torch.where(path.gates > 0, 0.0, 1.0)
        seen = (base + at[:, None] * path.gates).requires_grad_()
        kl, log = damage.measure(path.final(embedded, path.positions + line * path.moves, seen))
        both = (
            torch.autograd.grad(kl.sum(), (embedded, seen), retain_graph=True),
            torch.autograd.grad(-log.sum(), (embedded, seen)),
        )
    kinds = [
        [_Gradients(*node) for node in zip(by_token.float(), by_seen.float(), strict=True)]
        for by_token, by_seen in both
    ]
    return list(zip(*kinds, strict=True))


def _means(
    gradients: Sequence[tuple[_Gradients, _Gradients]], weights: Sequence[float]
) -> tuple[_Gradients, _Gradients]:
    """Return the mean gradients of both measures along the path."""
    kl, log = (
        _Gradients(
            sum((own.embedded * w for own, w in zip(nodes[1:], weights[1:], strict=True)),
                nodes[0].embedded * weights[0]),
            sum((own.seen * w for own, w in zip(nodes[1:], weights[1:], strict=True)),
                nodes[0].seen * weights[0]),
        )
        for nodes in zip(*gradients, strict=True)
    )  # fmt: skip
    return kl, log


def _shared(
    path: _Path,
    parts: tuple[_Gradients, _Gradients],
    changes: tuple[float, float],
    nodes: int,
    words: Sequence[AlignedWord],
    clean_ids: Sequence[int],
    typo_ids: Sequence[int],
    token_bytes: Callable[[int], bytes],
) -> Attribution:
    """Split each token's contribution among its bytes."""
    model = path.run.model
    embedding: Any = model.wte
    changed = [typo_ids[i] for word in words for i in range(*word.typo)]
    by_byte = not model.reads_context and _adds_bytes(embedding, changed, token_bytes)
    places = {other: place for place, other in enumerate(path.typo) if other >= 0}
    totals = [part.totals(path) for part in parts]
    shares = []
    for word in words:
        if not word.changed:
            continue
        stands_for = {other: one for one, other in word.matched}
        for token in range(*word.typo):
            data, place = token_bytes(typo_ids[token]), places[token]
            one = stands_for.get(token)
            was = b"" if one is None else token_bytes(clean_ids[one])
            if by_byte:
                added = _added(embedding, was, data)
                explained = [(part.embedded[place].double() @ added.T).tolist() for part in parts]
            else:
                explained = [
                    [float(embedded[place]) / max(1, len(data))] * len(data)
                    for embedded, _, _ in totals
                ]
            presence = [float(seen[place]) / max(1, len(data)) for _, _, seen in totals]
            shares += [
                ByteShare(token, byte, kl + presence[0], log + presence[1])
                for byte, kl, log in zip(data, *explained, strict=True)
            ]
    moved = [float(moves.sum()) for _, moves, _ in totals]
    lost = [place for place, other in enumerate(path.typo) if other < 0]
    fewer = [float((embedded + seen)[lost].sum()) for embedded, _, seen in totals]
    return Attribution(
        by_byte=by_byte,
        bytes=tuple(shares),
        moved_kl_nats=moved[0],
        moved_logprob_nats=moved[1],
        fewer_kl_nats=fewer[0],
        fewer_logprob_nats=fewer[1],
        change_kl_nats=changes[0],
        change_logprob_nats=changes[1],
        nodes=nodes,
    )


@torch.no_grad()
def _adds_bytes(embedding: Any, ids: Sequence[int], token_bytes: Callable[[int], bytes]) -> bool:
    """Return whether tokens' vectors are sums over their own bytes."""
    if not hasattr(embedding, "byte_parts"):
        return False
    whole = embedding(torch.tensor([list(ids)], device=embedding.weight.device))[0]
    parts = torch.stack([embedding.byte_parts(token_bytes(token)).sum(0) for token in ids])
    return torch.allclose(parts.float(), whole.float(), rtol=1e-2, atol=1e-2)


@torch.no_grad()
def _added(embedding: Any, was: bytes, now: bytes) -> Tensor:
    """Return what each byte adds to the difference between a token's vector and its clean one's.

    Common bytes are compared with each other, replaced bytes with their replacement; what lost
    bytes added is subtracted from their neighbours.

    Returns:
        Float64, ``(len(now), d_model)``; the rows sum to ``embedding(now) − embedding(was)``.
    """
    added = embedding.byte_parts(now).double().clone()
    if not was:
        return added
    before = embedding.byte_parts(was).double()
    for tag, a, b, c, d in byte_opcodes([was], [now], _MOST_COMPARED):
        if tag == "equal":
            added[c:d] -= before[a:b]
        elif b > a:
            low, high = (c, d) if d > c else (max(0, c - 1), min(len(now), c + 1))
            added[low:high] -= before[a:b].sum(0) / (high - low)
    return added
