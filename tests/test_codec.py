"""Oracles: the PyPI package ``kronecker-embeddings`` and the figures of the paper."""

from __future__ import annotations

import kronecker_embeddings as reference
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kronviz import codec

POS_DIMS = st.integers(1, 48)


@given(st.binary(max_size=60), POS_DIMS)
def test_dense_codes_are_the_references(data: bytes, pos_dim: int) -> None:
    cut = codec.truncate(data, pos_dim)
    for z_normalize, ours in [(False, codec.code), (True, codec.z_code)]:
        expected = reference.encode_single(cut, pos_dim=pos_dim, z_normalize=z_normalize)
        np.testing.assert_allclose(ours(data, pos_dim), expected.numpy(), atol=1e-4, rtol=1e-5)


@settings(max_examples=1000)
@given(st.binary(max_size=60), POS_DIMS)
def test_decode_inverts_both_forms_exactly(data: bytes, pos_dim: int) -> None:
    cut = codec.truncate(data, pos_dim)
    assert codec.decode(codec.code(data, pos_dim), pos_dim) == cut
    assert codec.decode(codec.z_code(data, pos_dim), pos_dim) == cut


def test_a_code_with_rounding_errors_is_decoded() -> None:
    vector = codec.z_code(b"magnet", 16)
    noise = np.random.default_rng(1).uniform(-1e-5, 1e-5, vector.shape)
    assert codec.decode(vector + noise, 16) == b"magnet"
    with pytest.raises(ValueError, match="no byte string"):
        codec.decode(vector + 100 * noise, 16)


@given(st.text(max_size=40), POS_DIMS)
def test_cutting_never_splits_a_character(text: str, pos_dim: int) -> None:
    data = text.encode()
    cut = codec.truncate(data, pos_dim)
    assert len(cut) <= pos_dim
    assert data.startswith(cut)
    expected = reference.utf8_safe_truncate(data, pos_dim)
    # The reference leaves nothing of a first character that is wider than pos_dim.
    assert cut == expected if expected or not data else cut == data[:pos_dim]


@given(st.binary(max_size=30), st.binary(max_size=30), POS_DIMS)
def test_similarity_is_the_cosine_of_the_dense_codes(a: bytes, b: bytes, pos_dim: int) -> None:
    def cosine(x: np.ndarray, y: np.ndarray) -> float:
        return torch.nn.functional.cosine_similarity(torch.tensor(x), torch.tensor(y), dim=0).item()

    plain = codec.similarity(a, b, pos_dim)
    assert plain == pytest.approx(cosine(codec.code(a, pos_dim), codec.code(b, pos_dim)), abs=1e-9)
    if a and b:
        centred = codec.similarity(a, b, pos_dim, centred=True)
        dense = cosine(codec.z_code(a, pos_dim), codec.z_code(b, pos_dim))
        assert centred == pytest.approx(dense, abs=1e-9)
        assert abs(centred - plain) <= 1 / 255 + 1e-9


PUBLISHED = (
    ("compute", "commute", 0.857),
    ("nation", "ration", 0.833),
    ("run", "runs", 0.866),
    ("code", "codes", 0.894),
    ("run", " run", 0.0),
)
"""Pairs of strings and the cosine of their codes in the paper."""


def test_similarities_of_the_paper() -> None:
    for a, b, published in PUBLISHED:
        assert codec.similarity(a.encode(), b.encode(), 16) == pytest.approx(published, abs=5e-4)


def test_a_wrong_pos_dim_is_named() -> None:
    for pos_dim in (0, -1, 1.5, True, "16"):
        with pytest.raises(ValueError, match="pos_dim is"):
            codec.code(b"a", pos_dim)  # type: ignore[arg-type]


def test_decode_refuses_what_is_no_code() -> None:
    with pytest.raises(ValueError, match="shape"):
        codec.decode(np.zeros(5), 16)
    with pytest.raises(ValueError, match="not finite"):
        codec.decode(np.full(4096, np.nan), 16)
    with pytest.raises(ValueError, match="no byte string"):
        codec.decode(np.random.default_rng(0).normal(size=4096), 16)
    gap = codec.code(b"abc", 16)
    gap[ord("a") * 16] = 0
    with pytest.raises(ValueError, match="no byte string"):
        codec.decode(gap, 16)
