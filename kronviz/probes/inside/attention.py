"""Attention weights, and the heads that join the pieces of a word."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kronviz.probes.inside.runs import Run
from kronviz.probes.inside.words import AlignedWord

JOINING = 5
"""Number of joining heads to report."""


@dataclass(frozen=True)
class Looks:
    """The attention weights of every head at one token.

    Attributes:
        text: ``clean`` or ``typo``.
        token: the attending token: the last one, or the last piece of a changed word.
        weights: by block, head and attended token, up to ``token``; each head's sum to 1.
    """

    text: str
    token: int
    weights: tuple[tuple[tuple[float, ...], ...], ...]


@dataclass(frozen=True)
class JoiningHead:
    """A head, and how much it attends from later pieces of a word to earlier ones, 0 to 1.

    Attributes:
        block, head: counted from 1.
        share: mean over the later pieces.
    """

    block: int
    head: int
    share: float


def looks(clean: Run, typo: Run, words: tuple[AlignedWord, ...]) -> tuple[Looks, ...]:
    """Return the attention of the last token and of each changed word's last piece, in both
    texts.
    """
    result = []
    for text, run in (("clean", clean), ("typo", typo)):
        spans = [getattr(word, text) for word in words if word.changed]
        for token in sorted({run.length - 1, *(end - 1 for _, end in spans)}):
            rows = run.patterns[:, :, token, : token + 1].tolist()
            weights = tuple(tuple(tuple(head) for head in block) for block in rows)
            result.append(Looks(text, token, weights))
    return tuple(result)


def joining_heads(typo: Run, words: tuple[AlignedWord, ...]) -> tuple[JoiningHead, ...]:
    """Return the heads that most join the pieces of misspelled words, strongest first.

    Empty if every misspelled word is a single token.
    """
    sums: list[Tensor] = [
        typo.patterns[:, :, later, start:later].sum(-1)
        for start, end in (word.typo for word in words if word.changed)
        for later in range(start + 1, end)
    ]
    if not sums:
        return ()
    means = sum(sums[1:], sums[0]) / len(sums)
    best = means.flatten().topk(min(JOINING, means.numel()))
    heads = means.shape[1]
    return tuple(
        JoiningHead(place // heads + 1, place % heads + 1, share)
        for place, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
