"""The input embeddings that a model can have, by name: the one place where the arms differ.

Notable:

- An arm is one file and one line of `ARMS`; see ``docs/adding-an-arm.md``. Training, checkpoints,
  predictors and figures know an arm only by its name.
- Every arm maps ids ``(…)`` to vectors ``(…, d_model)``. Its main trainable matrix is ``weight``.
  An arm that can embed any string has ``embed_bytes``; one whose vectors depend on the tokens
  before has ``in_context``, which a model calls.
- Only ``bpe`` shares its table with the head.
- The names can be read without PyTorch: an arm's file is imported when its embedding is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kronviz.arms.shapes import Shapes, bags, projection, rotated, table, two_layers
from kronviz.tokenizer import TokenBytes

if TYPE_CHECKING:
    from torch import nn

Counts = NDArray[np.integer]
"""How often training reads each id: ``(n_vocab,)``."""
Make = Callable[[TokenBytes, int, int, Counts | None], "nn.Module"]
"""Makes an embedding from a vocabulary, d_model, pos_dim and, in training, the counts."""
EVERY = 2**31
"""More rows than any vocabulary has ids: each id has one of its own."""


@dataclass(frozen=True)
class Arm:
    """A kind of input embedding.

    Attributes:
        name: its name in commands, checkpoints, links and endpoints.
        about: one phrase that says how it makes a token's vector.
        sum: the same in a few words, beside a picture of the vector.
        make: makes the embedding.
        shapes: the shapes of its tensors, see `kronviz.arms.shapes`.
        light, dark: its colour in the light and the dark theme, ``#rrggbb``.
        tied: it shares its table with the head, as in nanoGPT.
        counted: its training needs to know how often the text has each id.
    """

    name: str
    about: str
    sum: str
    make: Make
    shapes: Shapes
    light: str
    dark: str
    tied: bool = False
    counted: bool = False


def _of(file: str, shapes: Shapes, **numbers: int) -> tuple[Make, Shapes]:
    """Return a function that makes the embedding of ``arms/<file>.py``, and its shapes.

    Args:
        numbers: arguments of the file's ``maker``; without any its ``make`` is called.
    """

    def make(
        vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Counts | None = None
    ) -> nn.Module:
        module = importlib.import_module(f"{__name__}.{file}")
        made = module.maker(**numbers) if numbers else module.make
        return made(vocabulary, d_model, pos_dim, counts)

    return make, shapes


def _rows(file: str, **numbers: int) -> tuple[Make, Shapes]:
    """Return the same for an embedding that adds up rows, whose ``maker`` takes their numbers."""
    return _of(file, bags(**numbers), **numbers)


ARMS = {
    arm.name: arm
    for arm in (
        Arm("bpe", "looks each token up in a learned table",
            "one table row a token", *_of("table", table), "#0072B2", "#56B4E9", tied=True),
        Arm("bpe-untied", "the same table, with a head of its own",
            "one table row a token", *_of("table", table), "#3F6D8C", "#9CC7E0"),
        Arm("kron", "computes each token from its bytes",
            "sum of the lit cells’ rows", *_of("kronecker", projection), "#B84A08", "#F0A35E"),
        Arm("kron-whitened", "kron, trained through a whitening of its code",
            "sum of the lit cells’ rows",
            *_of("whitened", projection), "#8A5A00", "#E8C36A", counted=True),
        Arm("kron-mlp", "kron with a projection of two layers",
            "two layers over the lit cells", *_of("mlp", two_layers), "#8C3B4A", "#E59AA6"),
        Arm("ngram-2k", "adds up 2,048 rows shared by byte n-grams",
            "sum of its n-grams’ rows", *_rows("ngram", rows=2048), "#3B7549", "#93D0A0"),
        Arm("ngram-4k", "adds up 4,096 rows shared by byte n-grams",
            "sum of its n-grams’ rows", *_rows("ngram", rows=4096), "#1F7465", "#79CDBB"),
        Arm("ngram", "adds up 8,192 rows shared by byte n-grams",
            "sum of its n-grams’ rows", *_rows("ngram", rows=8192), "#00705A", "#5CCBB0"),
        Arm("ngram-16k", "adds up 16,384 rows shared by byte n-grams",
            "sum of its n-grams’ rows", *_rows("ngram", rows=16384), "#005E63", "#4FC3C9"),
        Arm("ngram-word", "adds up rows of byte n-grams, and a row of its own for a frequent token",
            "n-grams and a row", *_rows("ngram", rows=8192, own=4096), "#8A3C7D", "#E29AD6"),
        Arm("ngram-context", "adds up 12,288 rows shared by byte n-grams of the word so far",
            "word’s n-grams", *_rows("context", rows=12288), "#A3195B", "#FF8FC2"),
        Arm("ngram-words",
            "adds up 8,192 rows of the word so far, and one of 4,096 for the last two words",
            "word’s n-grams", *_rows("context", rows=8192, n_pairs=4096), "#7A2048", "#E06B9D"),
        Arm("pairs", "adds up 4,096 rows shared by adjacent bytes",
            "sum of its byte pairs’ rows", *_rows("pairs", rows=4096), "#5B6B2A", "#BBCC33"),
        Arm("spelling-bee", "averages a learned table and rotated byte vectors",
            "its table row and its bytes", *_of("spelling_bee", rotated), "#6B5B95", "#BBA8E8"),
        Arm("hybrid", "adds up rows of byte n-grams and a row for every token",
            "n-grams and a row", *_rows("ngram", rows=8192, own=EVERY), "#4A4F8C", "#A9B0EE"),
        Arm("ngram-shuffled", "ngram, with every token spelled as another",
            "another token’s n-grams", *_rows("shuffled", rows=8192), "#6F6A60", "#B5B0A5"),
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
        counts: how often training reads each id, for arms that are ``counted``. Without counts
            these are made in the form in which they are exported.

    Returns:
        The embedding, and whether the head is tied to its table.

    Raises:
        ValueError: there is no such arm.
    """
    if arm not in ARMS:
        raise ValueError(f"arm is {arm!r}; it must be one of {', '.join(ARMS)}")
    return ARMS[arm].make(vocabulary, d_model, pos_dim, counts), ARMS[arm].tied
