"""Oracles: SciPy and NumPy."""

from __future__ import annotations

import numpy as np
import scipy.spatial.distance
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from kronviz.metrics import answer_metrics, kl_divergence, log_probs, pair_metrics


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 20))
def test_metrics_are_scipys(seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    logits = (random.normal(size=(2, 5, 300)) * spread).astype(np.float32)
    hidden = random.normal(size=(2, 5, 16)).astype(np.float32)
    ours = pair_metrics(*map(torch.tensor, [*logits, *hidden]))
    clean, typo = (scipy.special.log_softmax(x.astype(np.float64), axis=-1) for x in logits)
    for row, metrics in enumerate(ours):
        p, q = clean[row], typo[row]
        top = p.argmax()
        assert metrics.top1_kept == (q.argmax() == top)
        np.testing.assert_allclose(metrics.kl_nats, np.exp(p) @ (p - q), atol=1e-6)
        np.testing.assert_allclose(
            metrics.kl_nats, scipy.stats.entropy(np.exp(p), np.exp(q)), atol=1e-6, rtol=1e-6
        )
        np.testing.assert_allclose(metrics.logprob_drop_nats, p[top] - q[top], atol=1e-6)
        cosine = 1 - scipy.spatial.distance.cosine(*hidden[:, row].astype(np.float64))
        np.testing.assert_allclose(metrics.hidden_cosine, cosine, atol=1e-6)


def test_kl_of_equal_distributions_is_zero() -> None:
    """And never below zero, where rounding alone would leave it."""
    logits = torch.randn(400, 100, generator=torch.Generator().manual_seed(1)).double() * 10
    found = kl_divergence(logits, logits + 0.1)
    assert found.max() < 1e-12
    assert found.min() >= 0
    assert kl_divergence(*(logits.view(2, 4, 50, 100),) * 2).shape == (2, 4, 50)


def test_the_right_answer_is_rated_as_scipy_does() -> None:
    logits = torch.randn(2, 6, 50, generator=torch.Generator().manual_seed(1)) * 3
    logits[:, :3] = logits[:, :3].round()
    answers = torch.arange(6) * 7
    rated = answer_metrics(log_probs(logits[0]), log_probs(logits[1]), answers)
    for row, answer in enumerate(rated):
        token = int(answers[row])
        for side, rank, log in (
            (0, answer.clean_rank, answer.clean_logprob),
            (1, answer.typo_rank, answer.typo_logprob),
        ):
            values = logits[side, row].double().numpy()
            assert rank == scipy.stats.rankdata(-values, method="min")[token]
            np.testing.assert_allclose(log, scipy.special.log_softmax(values)[token], atol=1e-9)
