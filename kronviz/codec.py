"""The Kronecker code: a fixed, invertible encoding of a byte string (paper, section 3).

Notable:

- A code is a set of cells. Byte ``b`` at position ``p`` sets cell ``b * pos_dim + p`` of
  ``D = 256 * pos_dim``; each of the L set cells has the value ``1 / sqrt(L)``, the rest are zero.
- The mean and standard deviation of a code depend on its length alone, so z-normalisation needs two
  numbers, and the similarity of two strings is a count of shared cells.
- Dense vectors are made here for display and for tests. No model computes with them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BYTE_VALUES = 256
EPSILON = 1e-6
"""Added to the standard deviation in z-normalisation, as in the reference implementation."""


def dimension(pos_dim: int) -> int:
    """Return D, the number of cells of a code; `ValueError` if ``pos_dim`` is not 1 or more."""
    if isinstance(pos_dim, bool) or not isinstance(pos_dim, int | np.integer) or pos_dim < 1:
        raise ValueError(f"pos_dim is {pos_dim!r}; it must be a whole number of at least 1")
    return BYTE_VALUES * int(pos_dim)


def truncate(data: bytes, pos_dim: int) -> bytes:
    """Truncate to at most ``pos_dim`` bytes without splitting a UTF-8 character.

    Bytes that are not UTF-8 (tokens may be pieces of characters) are cut at ``pos_dim``. A
    non-empty string never becomes empty: a first character longer than ``pos_dim`` is split.
    """
    dimension(pos_dim)
    if len(data) <= pos_dim:
        return data
    end = pos_dim
    # A continuation byte is 0b10xxxxxx; a character has at most three of them.
    while end > max(pos_dim - 3, 0) and data[end] & 0xC0 == 0x80:
        end -= 1
    cut = data[:end]
    return cut if cut and is_utf8(data[: end + 4], partial=True) else data[:pos_dim]


def is_utf8(data: bytes, *, partial: bool = False) -> bool:
    """Return whether bytes are valid UTF-8; with ``partial``, the last character may be
    incomplete.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return partial and error.reason == "unexpected end of data"
    return True


def cells(data: bytes, pos_dim: int) -> NDArray[np.int64]:
    """Return the cells of a byte string, ``byte * pos_dim + position``: int64, shape ``(L,)``.

    L is the number of bytes that `truncate` leaves.
    """
    values = np.frombuffer(truncate(data, pos_dim), np.uint8).astype(np.int64)
    return values * pos_dim + np.arange(len(values))


def moments(length: int, pos_dim: int) -> tuple[float, float]:
    """Return the mean of a code of ``length`` cells and the divisor of its z-normalisation.

    The divisor is the unbiased standard deviation over the D entries plus `EPSILON`.
    """
    size = dimension(pos_dim)
    if length == 0:
        return 0.0, EPSILON
    return math.sqrt(length) / size, math.sqrt((1 - length / size) / (size - 1)) + EPSILON


def code(data: bytes, pos_dim: int) -> NDArray[np.float64]:
    """Return the dense code κ: float64, shape ``(D,)``; ``1/√L`` in L cells, zero elsewhere."""
    vector = np.zeros(dimension(pos_dim))
    indices = cells(data, pos_dim)
    if len(indices):
        vector[indices] = 1 / math.sqrt(len(indices))
    return vector


def z_code(data: bytes, pos_dim: int) -> NDArray[np.float64]:
    """Return the z-normalised code, the projection's input: float64, shape ``(D,)``."""
    vector = code(data, pos_dim)
    mean, deviation = moments(int(np.count_nonzero(vector)), pos_dim)
    return (vector - mean) / deviation


def decode(vector: NDArray[np.floating], pos_dim: int) -> bytes:
    """Return the bytes of a dense code: the exact inverse of `code` and of `z_code`.

    Raises:
        ValueError: the shape is not ``(D,)``, or the vector is the code of no byte string.
    """
    if vector.shape != (dimension(pos_dim),):
        raise ValueError(
            f"vector has shape {vector.shape}; pos_dim {pos_dim} needs ({dimension(pos_dim)},)"
        )
    if not np.isfinite(vector).all():
        raise ValueError("vector has values that are not finite; a code has none")
    low, high = vector.min(), vector.max()
    if low == high:
        return b""
    grid = (vector > (low + high) / 2).reshape(BYTE_VALUES, pos_dim)
    filled = grid.sum(axis=0)
    length = int(filled.sum())
    if (filled[:length] != 1).any() or not np.allclose(
        np.where(grid, high, low).ravel(), vector, atol=1e-6 * max(1.0, abs(high))
    ):
        raise ValueError("vector is the code of no byte string: cells must fill positions 0 … L-1")
    return grid[:, :length].argmax(axis=0).astype(np.uint8).tobytes()


def similarity(first: bytes, second: bytes, pos_dim: int, *, centred: bool = False) -> float:
    """Return the cosine of the codes of two byte strings: their shared cells divided by √(L₁L₂).

    With ``centred``, the cosine of the z-normalised codes, which differs from the plain one by
    at most 1/255. An empty string has similarity 0 to everything.
    """
    a, b = cells(first, pos_dim), cells(second, pos_dim)
    if not len(a) or not len(b):
        return 0.0
    length = min(len(a), len(b))
    shared = int((a[:length] == b[:length]).sum())
    geometric = math.sqrt(len(a) * len(b))
    if not centred:
        return shared / geometric
    size = dimension(pos_dim)
    norms = math.sqrt((1 - len(a) / size) * (1 - len(b) / size))
    return (shared / geometric - geometric / size) / norms
