"""What an input embedding costs: parameters and bytes of a table, and of kron in its place.

Notable:

- Nothing is measured here; every number is computed from a vocabulary and a few sizes. Times are
  measured by `accounting.timing`.
- Bytes of text are counted, not estimated: each token of the vocabulary is cut as the codec cuts
  it. A vocabulary given as a number means that many ids of o200k; ids beyond its end are assumed to
  have its mean length, and the result says so.
- kron needs an output head of its own, while bpe's table is also its head. The head is not an input
  cost and not part of any sum here; `InputCost.head_parameters` gives its size.

>>> cost = input_cost("r50k_base", pos_dim=16, d_model=768)
>>> cost.table_parameters, cost.projection_parameters
(38597376, 3145728)
>>> round(cost.parameters_saved, 4)
0.9185
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kronviz import codec
from kronviz.predictor import InputError
from kronviz.settings import check, setting
from kronviz.strings import whole_number
from kronviz.tokenizer import VOCABULARIES, load_tokenizer

DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes per number, by the name of its type."""
SIZES = {name: known.n_vocab for name, known in VOCABULARIES.items()}
"""Number of tokens of each vocabulary."""
LARGEST = "o200k_base"
MAX_VOCABULARY = 10_000_000
OFFSET_BYTES = 4
PADDED_LENGTH_BYTES = 2
DENSE_CODE_BYTES = 4
"""The reference stores its codes in float32, whatever the projection's type."""


@dataclass(frozen=True)
class CostSettings:
    """The settings of a cost calculation."""

    vocabulary: str = setting(
        next(iter(SIZES)),
        f"{', '.join(SIZES)}, or a number of tokens such as 131072",
        number=True,
    )
    pos_dim: int = setting(
        16, "Positions of the byte code, P; longer tokens are cut", low=1, high=256, link="p"
    )
    d_model: int = setting(768, "Width of the model", low=1, high=65_536, link="width")
    dtype: str = setting("float32", "Type of the weights", choices=DTYPES)


@dataclass(frozen=True)
class InputCost:
    """The cost of a table, and of kron in its place. All sizes are in bytes.

    Attributes:
        vocabulary: the name or number that was given.
        estimated: whether part of the text's length is an estimate (see the module's notes).
        table_parameters: ``n_vocab * d_model``.
        projection_parameters: ``256 * pos_dim * d_model``.
        parameters_saved: share of the table's parameters that kron saves; negative if kron has
            more.
        break_even: size of a vocabulary whose table has as many parameters as the projection.
        table_bytes: the table in ``dtype``; kron's ``cached`` encoder stores as much, for speed.
        projection_bytes: the projection in ``dtype``.
        text_bytes: the bytes of all tokens, each cut at ``pos_dim``.
        offset_bytes: where each token begins, 4 bytes each.
        ragged_bytes: both together, which kron's fused encoder stores.
        padded_bytes: the reference's storage: ``pos_dim`` bytes and a 2-byte length per token.
        dense_code_bytes: the reference's ``cached`` mode: D float32 numbers per token.
        kron_bytes: projection and ragged bytes.
        bytes_saved: share of the table's bytes that kron saves.
        training_bytes: weights, gradients and AdamW's two moments of the table, all in float32.
        kron_training_bytes: the same for the projection, plus the ragged bytes.
        head_parameters: kron's own output head, ``n_vocab * d_model``; bpe shares the table.
        cut_tokens: tokens longer than ``pos_dim`` bytes; the code covers only their first bytes.
    """

    vocabulary: str
    n_vocab: int
    pos_dim: int
    d_model: int
    dtype: str
    estimated: bool
    table_parameters: int
    projection_parameters: int
    parameters_saved: float
    break_even: int
    table_bytes: int
    projection_bytes: int
    text_bytes: int
    offset_bytes: int
    ragged_bytes: int
    padded_bytes: int
    dense_code_bytes: int
    kron_bytes: int
    bytes_saved: float
    training_bytes: int
    kron_training_bytes: int
    head_parameters: int
    cut_tokens: int


def input_cost(
    vocabulary: str | int = CostSettings.vocabulary,
    pos_dim: int = CostSettings.pos_dim,
    d_model: int = CostSettings.d_model,
    dtype: str = CostSettings.dtype,
) -> InputCost:
    """Compute the cost for a vocabulary and a model's shape.

    Args:
        vocabulary: a name in `SIZES`, or a number of tokens.
        pos_dim, d_model, dtype: see `CostSettings`.

    Raises:
        InputError: an argument is out of range.
    """
    name, count = read_vocabulary(vocabulary)
    asked = CostSettings(str(vocabulary), pos_dim, d_model, dtype)
    check(asked)
    pos_dim, d_model, dtype = asked.pos_dim, asked.d_model, asked.dtype
    text, cut, estimated = _text(name, count, pos_dim)
    size = codec.dimension(pos_dim)
    table, projection = count * d_model, size * d_model
    offsets = (count + 1) * OFFSET_BYTES
    ragged = text + offsets
    kron = projection * DTYPES[dtype] + ragged
    return InputCost(
        vocabulary=str(vocabulary),
        n_vocab=count,
        pos_dim=pos_dim,
        d_model=d_model,
        dtype=dtype,
        estimated=estimated,
        table_parameters=table,
        projection_parameters=projection,
        parameters_saved=saved_share(count, pos_dim),
        break_even=size,
        table_bytes=table * DTYPES[dtype],
        projection_bytes=projection * DTYPES[dtype],
        text_bytes=text,
        offset_bytes=offsets,
        ragged_bytes=ragged,
        padded_bytes=count * (pos_dim + PADDED_LENGTH_BYTES),
        dense_code_bytes=count * size * DENSE_CODE_BYTES,
        kron_bytes=kron,
        bytes_saved=1 - kron / (table * DTYPES[dtype]),
        training_bytes=table * 4 * DTYPES["float32"],
        kron_training_bytes=projection * 4 * DTYPES["float32"] + ragged,
        head_parameters=table,
        cut_tokens=cut,
    )


def saved_share(n_vocab: int, pos_dim: int) -> float:
    """Return the share of a table's parameters that kron saves; it does not depend on d_model."""
    return 1 - codec.dimension(pos_dim) / n_vocab


def read_vocabulary(vocabulary: str | int) -> tuple[str, int]:
    """Return the name of a vocabulary, and how many of its tokens are meant.

    Raises:
        InputError: there is no such vocabulary, or the number is out of range.
    """
    if isinstance(vocabulary, bool) or not isinstance(vocabulary, str | int):
        vocabulary = repr(vocabulary)
    text = str(vocabulary).strip().replace(",", "").replace("_", "")
    if text.isascii() and text.isdecimal():
        return LARGEST, whole_number(int(text[:20]), "vocabulary", 1, MAX_VOCABULARY)
    if vocabulary not in VOCABULARIES:
        raise InputError(
            f"There is no vocabulary {str(vocabulary)[:40]!r}; choose {', '.join(VOCABULARIES)}, "
            "or give a number of tokens."
        )
    name = str(vocabulary)
    return name, SIZES[name]


def _text(name: str, count: int, pos_dim: int) -> tuple[int, int, bool]:
    """Return the bytes of ``count`` tokens, how many are cut, and whether both are estimates."""
    lengths, cut = _cut_lengths(name, pos_dim), _lengths(name) > pos_dim
    known = min(count, len(lengths))
    rest = count - known
    return (
        int(lengths[:known].sum()) + round(rest * float(lengths.mean())),
        int(cut[:known].sum()) + round(rest * float(cut.mean())),
        rest > 0,
    )


@functools.lru_cache(maxsize=8)
def _lengths(name: str) -> NDArray[np.int64]:
    return np.diff(load_tokenizer(name).vocabulary.offsets)


@functools.lru_cache(maxsize=64)
def _cut_lengths(name: str, pos_dim: int) -> NDArray[np.int64]:
    vocabulary = load_tokenizer(name).vocabulary
    lengths = _lengths(name)
    long = np.flatnonzero(lengths > pos_dim)
    lengths = np.minimum(lengths, pos_dim)
    # The codec cuts at pos_dim unless the next byte continues a character.
    following = vocabulary.data[vocabulary.offsets[long] + pos_dim]
    for token in long[following & 0xC0 == 0x80].tolist():
        lengths[token] = len(codec.truncate(vocabulary[token], pos_dim))
    return lengths
