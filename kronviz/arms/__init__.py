"""The input embeddings that a model can have, by name: the one place where the arms differ.

Notable:

- An arm is one file and one line of `ARMS`; ``docs/adding-an-arm.md`` shows how. Training,
  checkpoints, predictors and figures know names only.
- Every arm turns ids ``(…)`` into vectors ``(…, d_model)``. Its main trainable matrix is its
  ``weight``. One that embeds any string has ``embed_bytes``.
- Arms other than ``bpe`` have a head of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kronviz.arms import (
    hybrid,
    kronecker,
    mlp,
    ngram,
    pairs,
    shuffled,
    spelling_bee,
    table,
    whitened,
)
from kronviz.tokenizer import TokenBytes

Counts = NDArray[np.integer]
"""How often training reads each id: ``(n_vocab,)``."""
Make = Callable[[TokenBytes, int, int, Counts | None], nn.Module]
"""Makes an embedding from a vocabulary, d_model, pos_dim and, while training, the counts."""


@dataclass(frozen=True)
class Arm:
    """A kind of input embedding.

    Attributes:
        name: what commands, checkpoints, links and endpoints call it.
        about: one phrase on how it makes a token's vector.
        make: makes the embedding.
        light, dark: its colour in either theme, ``#rrggbb``.
        tied: its table is the head's, too, as in nanoGPT.
        counted: it is trained through the counts of the text's ids.
    """

    name: str
    about: str
    make: Make
    light: str
    dark: str
    tied: bool = False
    counted: bool = False


ARMS = {
    arm.name: arm
    for arm in (
        Arm("bpe", "looks each token up in a learned table",
            table.make, "#0072B2", "#56B4E9", tied=True),
        Arm("bpe-untied", "the same table, with a head of its own",
            table.make, "#3F6D8C", "#9CC7E0"),
        Arm("kron", "computes each token from its bytes",
            kronecker.make, "#B84A08", "#F0A35E"),
        Arm("kron-whitened", "kron, trained through a whitening of its code",
            whitened.make, "#8A5A00", "#E8C36A", counted=True),
        Arm("kron-mlp", "kron with a projection of two layers",
            mlp.make, "#8C3B4A", "#E59AA6"),
        Arm("ngram-2k", "adds up 2,048 rows shared by byte n-grams",
            ngram.maker(2048), "#3B7549", "#93D0A0"),
        Arm("ngram-4k", "adds up 4,096 rows shared by byte n-grams",
            ngram.maker(4096), "#1F7465", "#79CDBB"),
        Arm("ngram", "adds up 8,192 rows shared by byte n-grams",
            ngram.maker(8192), "#00705A", "#5CCBB0"),
        Arm("ngram-16k", "adds up 16,384 rows shared by byte n-grams",
            ngram.maker(16384), "#005E63", "#4FC3C9"),
        Arm("ngram-word", "adds up rows of byte n-grams, and a row of its own for a frequent token",
            ngram.maker(8192, own=4096), "#8A3C7D", "#E29AD6"),
        Arm("pairs", "adds up 4,096 rows shared by adjacent bytes",
            pairs.make, "#5B6B2A", "#BBCC33"),
        Arm("spelling-bee", "averages a learned table and rotated byte vectors",
            spelling_bee.make, "#6B5B95", "#BBA8E8"),
        Arm("hybrid", "adds up rows of byte n-grams and a row for every token",
            hybrid.make, "#4A4F8C", "#A9B0EE"),
        Arm("ngram-shuffled", "ngram, with every token spelled as another",
            shuffled.make, "#6F6A60", "#B5B0A5"),
    )
}  # fmt: skip
"""The arms by name, in the order in which they are shown."""


def input_embedding(
    arm: str, vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Counts | None = None
) -> tuple[nn.Module, bool]:
    """Make the input embedding of an arm.

    Args:
        arm: a name of `ARMS`.
        vocabulary: the bytes of every id.
        pos_dim: positions of a Kronecker code, P; arms without one ignore it.
        counts: how often training reads each id, for arms that are trained through a statistic
            of the text. Without them they are made as they are exported.

    Returns:
        The embedding, and whether the head is tied to its table.

    Raises:
        ValueError: there is no such arm.
    """
    if arm not in ARMS:
        raise ValueError(f"arm is {arm!r}; it must be one of {', '.join(ARMS)}")
    return ARMS[arm].make(vocabulary, d_model, pos_dim, counts), ARMS[arm].tied
