"""A pair in bfloat16 answers as in float32, to what bfloat16 can tell apart."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kronviz.generation import Sampler, side_by_side
from kronviz.predictor import Predictor
from kronviz.probes.pairs import load_pairs
from kronviz.probes.robustness import robustness

ROOT = Path(__file__).parent.parent
CLEAN, TYPO = "The capital of France is", "The captial of Frnace is"


@pytest.fixture(scope="module")
def rounded(pair_folder: Path) -> Predictor:
    return Predictor.load(pair_folder, "cpu", torch.bfloat16)


def test_float32_is_the_cpus_own(small_predictor: Predictor, rounded: Predictor) -> None:
    for predictor, dtype in ((small_predictor, torch.float32), (rounded, torch.bfloat16)):
        for model in predictor.arms.values():
            assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def test_answers_stay_near(small_predictor: Predictor, rounded: Predictor) -> None:
    exact, near = (p.compare(CLEAN, TYPO) for p in (small_predictor, rounded))
    for one, other in zip(exact.arms, near.arms, strict=True):
        assert other.metrics.kl_nats == pytest.approx(one.metrics.kl_nats, rel=0.1, abs=1e-3)
        assert other.metrics.hidden_cosine == pytest.approx(one.metrics.hidden_cosine, abs=0.02)
        kept = {token.id for token in one.next_tokens} & {token.id for token in other.next_tokens}
        assert len(kept) >= 5


def test_everything_else_runs_in_bfloat16_too(rounded: Predictor) -> None:
    assert list(side_by_side(rounded, [CLEAN], Sampler(max_tokens=3)))
    pairs = replace(load_pairs(), pairs=load_pairs().pairs[:4])
    assert robustness(rounded, pairs).done == 4


def test_the_benchmark_runs(
    pair_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["serve.py", "--pair", str(pair_folder), "--device", "cpu", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", [*line, "--markdown"])
    monkeypatch.setattr("kronviz.training.train.has_fast_bfloat16", lambda: True)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runpy.run_path(str(ROOT / "benchmarks" / "serve.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    for words in ("| answer |", "| batch of 64 |", "| kron |", "bfloat16 against float32"):
        assert words in printed
