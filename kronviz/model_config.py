"""The shape of a model, read and checked without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.arms import ARMS
from kronviz.tokenizer import VocabularyError, vocabulary_size


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


def least_bytes(shape: ModelConfig) -> int:
    """Return the fewest bytes that a model of this shape takes on disk, without its input
    embedding.
    """
    rows = vocabulary_size(shape.vocabulary) + shape.n_ctx
    return (12 * shape.n_layer * shape.d_model + rows) * shape.d_model
