"""The paper's published rows: their means are the paper's, their intervals are ours."""

from __future__ import annotations

import pytest

from kronviz.probes.paper import paper_robustness
from kronviz.published import ROBUSTNESS


def test_rows_have_the_means_that_the_paper_states() -> None:
    found = paper_robustness()
    assert found.pairs == 110
    for name, arms in ROBUSTNESS.items():
        for arm in found.metric(name).arms:
            assert arms[arm.arm].value == pytest.approx(arm.value.mean, abs=6e-4)
    assert (found.mcnemar.only_bpe, found.mcnemar.only_kron) == (13, 22)
    assert found.mcnemar.p_value == pytest.approx(0.1755, abs=1e-4)


def test_only_the_cosine_differs_clearly() -> None:
    found = paper_robustness()
    clear = [row.metric for row in found.metrics if row.steadier]
    assert clear == ["hidden_cosine"]
    kl = found.metric("kl_nats").difference
    assert kl is not None
    assert kl.mean == pytest.approx(-0.065, abs=5e-4)
    assert kl.low == pytest.approx(-0.18, abs=0.02)
    assert kl.high == pytest.approx(0.08, abs=0.02)
