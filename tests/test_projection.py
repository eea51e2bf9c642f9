"""Maps: neighbours against scikit-learn, and a layout that is the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from kronviz.projection import layout, nearest


def blobs(count: int = 60, seed: int = 0) -> np.ndarray:
    """Three groups of vectors in twelve dimensions, in turn."""
    chance = np.random.default_rng(seed)
    centres = 4 * chance.normal(size=(3, 12))
    return centres[np.arange(count) % 3] + chance.normal(size=(count, 12))


def test_nearest_are_those_of_scikit_learn() -> None:
    vectors = blobs()
    found = nearest(vectors, 5)
    oracle = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(vectors)
    distances, ids = oracle.kneighbors()
    assert (found.ids == ids).mean() > 0.99
    assert np.allclose(1 - found.similarity, distances, atol=1e-5)


@pytest.mark.parametrize("k", [0, 60, -1])
def test_nearest_says_what_k_can_be(k: int) -> None:
    with pytest.raises(ValueError, match="1 to 59"):
        nearest(blobs(), k)


def test_layout_is_the_same_every_time_and_keeps_groups() -> None:
    vectors = blobs()
    shares: list[float] = []
    first = layout(vectors, progress=shares.append)
    assert first.dtype == np.float32
    assert first.shape == (60, 2)
    assert np.array_equal(first, layout(vectors))
    assert not np.array_equal(first, layout(vectors, seed=2))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    _, ids = NearestNeighbors(n_neighbors=5).fit(first).kneighbors()
    assert (ids % 3 == np.arange(60)[:, None] % 3).mean() > 0.95


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_layout_of_few(count: int) -> None:
    assert np.isfinite(layout(blobs(60)[:count])).all()


def test_layout_of_what_is_all_alike() -> None:
    assert np.isfinite(layout(np.ones((20, 4)))).all()
    assert np.isfinite(layout(np.zeros((20, 4)))).all()


def test_layout_refuses_what_is_no_table() -> None:
    with pytest.raises(ValueError, match="finite"):
        layout(np.full((9, 2), np.nan))
    with pytest.raises(ValueError, match="shape"):
        layout(np.zeros(9))
    with pytest.raises(ValueError, match="neighbors"):
        layout(blobs(), neighbors=1)
