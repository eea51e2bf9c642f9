"""The logit lens: what a model would predict if it stopped after a block.

Notable:

- At every depth the stream at the last token goes through the model's own final norm and head. The
  norm was trained for the last depth only; unlike in a tuned lens, nothing is fitted to the others.

Source: nostalgebraist, "interpreting GPT: the logit lens" (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kronviz.probes.inside.runs import Run


@dataclass(frozen=True)
class LensLine:
    """One token at every depth: before the first block, then after each block.

    Attributes:
        text: ``clean`` or ``typo``, the text that was read.
        target: ``first`` (the clean text's first choice) or ``answer`` (the right answer).
        token: the token, readable.
        ranks: its ranks, from 1 for the most probable token.
        probs: its probabilities.
    """

    text: str
    target: str
    token: str
    ranks: tuple[int, ...]
    probs: tuple[float, ...]


@torch.no_grad()
def lens_lines(clean: Run, typo: Run, targets: dict[str, tuple[int, str]]) -> tuple[LensLine, ...]:
    """Follow tokens through the depths of both runs.

    Args:
        targets: id and readable form of each token to follow, by target.
    """
    model, lines = clean.model, []
    ends = torch.stack([clean.streams[:, -1], typo.streams[:, -1]])
    both = model.logits(model.norm(ends)).float().log_softmax(-1)
    for text, logs in zip(("clean", "typo"), both, strict=True):
        for target, (token, name) in targets.items():
            own = logs[:, token]
            ranks = (logs > own[:, None]).sum(-1) + 1
            lines.append(
                LensLine(text, target, name, tuple(ranks.tolist()), tuple(own.exp().tolist()))
            )
    return tuple(lines)
