"""The shape of a model, read and checked without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.arms import ARMS
from kronviz.tokenizer import VocabularyError, vocabulary_size

OWN = ("wte.", "lm_head.")
"""Beginnings of the names of weights that differ between arms: the input embedding and the head."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model.

    Attributes:
        arm: a name of `arms.ARMS`.
        vocabulary: name for `tokenizer.load_tokenizer`.
        pos_dim: positions of the Kronecker code, P (arms without such a code ignore it).
        n_ctx: longest sequence, in tokens.
        untied: gives the bpe arm a head of its own, like kron's: a control, not an arm.
    """

    arm: str
    vocabulary: str
    d_model: int
    n_layer: int
    n_head: int
    n_ctx: int
    pos_dim: int = 16
    untied: bool = False


def is_shape(shape: ModelConfig) -> bool:
    """Return whether this is a valid shape of a model."""

    def whole(value: object, low: int, high: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    try:
        vocabulary_size(shape.vocabulary)
    except (VocabularyError, AttributeError):
        return False
    return (
        isinstance(shape.arm, str)
        and shape.arm in ARMS
        and whole(shape.d_model, 1, 1 << 15)
        and whole(shape.n_layer, 1, 512)
        and whole(shape.n_head, 1, 512)
        and whole(shape.n_ctx, 8, 1 << 20)
        and whole(shape.pos_dim, 1, 256)
        and shape.d_model % shape.n_head == 0
    )


def body_shapes(shape: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's weights, without those that are its arm's `OWN`."""
    width = shape.d_model
    block = {
        "attention.qkv.weight": (3 * width, width),
        "attention.proj.weight": (width, width),
        "mlp.up.weight": (4 * width, width),
        "mlp.proj.weight": (width, 4 * width),
        "norm_1.weight": (width,),
        "norm_2.weight": (width,),
    }
    return {
        "wpe.weight": (shape.n_ctx, width),
        "norm.weight": (width,),
        **{
            f"blocks.{number}.{name}": size
            for number in range(shape.n_layer)
            for name, size in block.items()
        },
    }


def least_bytes(shape: ModelConfig) -> int:
    """Return the fewest bytes that a model of this shape takes on disk, without its input
    embedding.
    """
    rows = vocabulary_size(shape.vocabulary) + shape.n_ctx
    return (12 * shape.n_layer * shape.d_model + rows) * shape.d_model
