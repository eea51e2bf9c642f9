"""The shape of a model, read and checked without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.arms import ARMS
from kronviz.tokenizer import VocabularyError, vocabulary_size

PADDING_MULTIPLE = 64
"""The vocabulary is padded to a multiple of this."""


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
        return (
            isinstance(shape.arm, str)
            and shape.arm in ARMS
            and isinstance(shape.vocabulary, str)
            and whole(shape.d_model, 1, 1 << 15)
            and whole(shape.n_layer, 1, 512)
            and whole(shape.n_head, 1, 512)
            and whole(shape.n_ctx, 8, 1 << 20)
            and whole(shape.pos_dim, 1, 256)
            and isinstance(shape.untied, bool)
            and shape.d_model % shape.n_head == 0
            and bool(weight_shapes(shape))
        )
    except (VocabularyError, ValueError):
        return False


def padded(n_vocab: int) -> int:
    """Return the number of ids that a model of so many has rows for."""
    return n_vocab + -n_vocab % PADDING_MULTIPLE


def weight_shapes(shape: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's weights, as a checkpoint holds them.

    Raises:
        VocabularyError: there is no such vocabulary.
        ValueError: the arm has no embedding of this width.
    """
    width, ids, arm = shape.d_model, padded(vocabulary_size(shape.vocabulary)), ARMS[shape.arm]
    block = {
        "attention.qkv.weight": (3 * width, width),
        "attention.proj.weight": (width, width),
        "mlp.up.weight": (4 * width, width),
        "mlp.proj.weight": (width, 4 * width),
        "norm_1.weight": (width,),
        "norm_2.weight": (width,),
    }
    own = arm.shapes(ids, width, shape.pos_dim)
    return {
        **{f"wte.{name}": size for name, size in own.items()},
        "wpe.weight": (shape.n_ctx, width),
        "norm.weight": (width,),
        **{
            f"blocks.{number}.{name}": size
            for number in range(shape.n_layer)
            for name, size in block.items()
        },
        **({} if arm.tied and not shape.untied else {"lm_head.weight": (ids, width)}),
    }
