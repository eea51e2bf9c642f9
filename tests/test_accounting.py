"""The sums of an input embedding against counting, and times that are measured rightly."""

from __future__ import annotations

import itertools
import math
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from each import on_each
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kronviz import codec
from kronviz.accounting import (
    DTYPES,
    SIZES,
    InputCost,
    input_cost,
    read_vocabulary,
    saved_share,
    timing,
)
from kronviz.accounting.timing import Measurement, measure, rounds, summarise, zipf_ids
from kronviz.embedding import KroneckerEmbedding
from kronviz.predictor import InputError
from kronviz.progress import Stopped
from kronviz.published import SAVINGS
from kronviz.results import from_json, to_json
from kronviz.tokenizer import TokenBytes, load_tokenizer

ROOT = Path(__file__).parent.parent


@on_each("name", SIZES)
def test_sums_are_what_modules_hold(name: str) -> None:
    vocabulary = load_tokenizer(name).vocabulary
    assert SIZES[name] == len(vocabulary)
    table = nn.Embedding(len(vocabulary), 3)
    for pos_dim in (1, 16):
        cost = input_cost(name, pos_dim, 3)
        kron = KroneckerEmbedding(vocabulary, 3, pos_dim)
        assert cost.ragged_bytes == kron.data.nbytes + kron.offsets.nbytes
        assert cost.text_bytes == kron.data.nbytes
        assert cost.projection_parameters == kron.weight.numel()
        assert cost.projection_bytes == kron.weight.nbytes
        assert cost.table_parameters == table.weight.numel() == cost.head_parameters
        assert cost.table_bytes == table.weight.nbytes
        assert cost.cut_tokens == sum(len(vocabulary[i]) > pos_dim for i in range(len(vocabulary)))
        assert not cost.estimated
        assert cost.kron_bytes == cost.projection_bytes + cost.ragged_bytes


def test_a_number_of_tokens_is_the_first_of_o200k() -> None:
    vocabulary = load_tokenizer("o200k_base").vocabulary
    cost = input_cost(1000, 8)
    packed = TokenBytes.of([codec.truncate(vocabulary[i], 8) for i in range(1000)])
    assert cost.text_bytes == len(packed.data)
    assert cost == InputCost(**{**vars(input_cost("1,000", 8)), "vocabulary": "1000"})
    assert not cost.estimated
    beyond = input_cost(400_038, 8)
    assert beyond.estimated
    assert beyond.text_bytes == pytest.approx(2 * input_cost("o200k_base", 8).text_bytes, abs=2)


def test_the_papers_numbers_follow() -> None:
    gpt2 = input_cost("r50k_base", 16, 768)
    assert (gpt2.table_parameters, gpt2.projection_parameters) == (38_597_376, 3_145_728)
    assert gpt2.ragged_bytes <= 600_000
    large = input_cost(131_072, 32, 4096)
    assert large.table_bytes == pytest.approx(2.15e9, rel=0.002)
    assert large.padded_bytes == pytest.approx(4.5e6, rel=0.01)
    assert large.ragged_bytes <= 1_600_000
    for point in SAVINGS:
        ours = saved_share(point.n_vocab, point.pos_dim)
        # The paper cuts 91.8 to 91 and rounds 93.75 to 94.
        assert abs(ours - point.share) < 0.01


@given(
    count=st.integers(1, 10_000_000), pos_dim=st.integers(1, 256), d_model=st.integers(1, 65_536)
)
def test_sums_hang_together(count: int, pos_dim: int, d_model: int) -> None:
    cost = input_cost(count, pos_dim, d_model, "bfloat16")
    assert (cost.parameters_saved > 0) == (count > cost.break_even)
    assert cost.text_bytes <= count * pos_dim
    assert cost.ragged_bytes - 4 <= cost.padded_bytes + 2 * count
    assert from_json(InputCost, to_json(cost)) == cost


def test_widths_of_numbers() -> None:
    for dtype in DTYPES:
        assert DTYPES[dtype] == torch.empty((), dtype=getattr(torch, dtype)).element_size()


def test_odd_arguments() -> None:
    for arguments, sentence in (
        (("gpt5",), "There is no vocabulary 'gpt5'"),
        (("",), "There is no vocabulary"),
        ((0,), "vocabulary is 0; it must be a whole number from 1 to 10,000,000"),
        (("99999999999999999999999999",), "vocabulary is"),
        ((True,), "There is no vocabulary"),
        ((["r50k_base"],), "There is no vocabulary"),
        (("\ud800",), "There is no vocabulary"),
        (("²",), "There is no vocabulary"),
        (("r50k_base", 0), "pos_dim is 0"),
        (("r50k_base", 257), "pos_dim is 257"),
        (("r50k_base", "x" * 1000), "pos_dim is 'xxx"),
        (("r50k_base", math.nan), "pos_dim is nan"),
        (("r50k_base", 16.5), "pos_dim is 16.5"),
        (("r50k_base", None), "pos_dim is None"),
        (("r50k_base", 16, math.inf), "d_model is inf"),
        (("r50k_base", 16, 768, "float8"), "There is no dtype called 'float8'"),
        (("r50k_base", 16, 768, ["float32"]), "dtype must be a text"),
    ):
        with pytest.raises(InputError) as refusal:
            input_cost(*arguments)
        assert sentence in str(refusal.value)
        assert len(str(refusal.value)) < 200


def test_read_vocabulary_takes_numbers_as_people_write_them() -> None:
    for text in ("131072", "131,072", " 131_072 ", 131_072):
        assert read_vocabulary(text) == ("o200k_base", 131_072)


def test_measure() -> None:
    started = time.perf_counter()
    found = measure("r50k_base", 16, 32, "float32", 64, seconds=0.2)
    assert [one.name for one in found.timings] == [
        "table",
        "kron, fused",
        "kron, cached",
        "kron, reference",
    ]
    assert found.timings[0].ratio == 1
    for one in found.timings:
        assert 0 < one.fastest <= one.milliseconds <= one.slowest
    assert found.calls >= 3
    assert found.seconds <= time.perf_counter() - started
    assert from_json(Measurement, to_json(found)) == found


def test_a_measurement_leaves_out_a_second_table_that_is_too_large_and_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "MAX_BYTES", 300_000)
    measured = measure(1000, 1, 32, "float32", 64, seconds=0.1)
    assert [one.name for one in measured.timings] == ["table", "kron, fused", "kron, reference"]
    assert measured.notes == ("cached is left out: with it this would take more than 0.00 GB.",)
    made, called = [], []

    class Counted(KroneckerEmbedding):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(1)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            called.append(1)
            return super().forward(ids)

    monkeypatch.setattr(timing, "KroneckerEmbedding", Counted)
    # Before each of two encoders is made and warmed up, before the first call of the table and of
    # each encoder, and before each turn.
    for steps, counts in ((0, (0, 0)), (1, (1, 1)), (3, (2, 2)), (4, (2, 3)), (5, (2, 4))):
        made.clear()
        called.clear()
        goes_on = iter([True] * steps + [False])
        with pytest.raises(Stopped):
            measure(1000, 1, 32, "float32", 64, seconds=9, progress=lambda _, on=goes_on: next(on))
        assert (len(made), len(called)) == counts


def test_odd_measurements() -> None:
    for arguments, sentence in (
        (("r50k_base", 16, 8192, "float32"), "take 2.18 GB; the limit here is 0.80 GB"),
        ((300_000, 16, 64, "float32"), "Only 200,019 tokens"),
        (("r50k_base", 65, 64, "float32"), "pos_dim is 65"),
        (("r50k_base", 16, 64, "int4"), "There is no dtype called 'int4'"),
        (("r50k_base", 16, 64, "float32", 0), "tokens is 0"),
        (("r50k_base", 16, 64, "float32", 10**9), "tokens is"),
        ((1000, 16, 8192, "float32", 65_536), "calls of 65,536 tokens take 9.03 GB"),
        ((1000, 64, 8192, "float32", 16), "3 projections of 16,384 rows"),
    ):
        with pytest.raises(InputError) as refusal:
            measure(*arguments)
        assert sentence in str(refusal.value)


def test_rounds_take_turns() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: (order.append(name), time.sleep(0.001))) for name in "ab"}
    found = rounds(calls, seconds=0.1, device=torch.device("cpu"))
    switches = sum(one != other for one, other in itertools.pairwise(order))
    assert switches >= 5
    for times in found.values():
        assert times == sorted(times)
        assert times[0] >= 1
    first, second = summarise({"a": [1.0, 2.0, 9.0], "b": [4.0, 4.0, 4.0]})
    assert (first.milliseconds, first.ratio, second.ratio) == (2.0, 1.0, 2.0)


def test_rounds_stop_at_a_number_of_calls() -> None:
    found = rounds({"a": lambda: None}, seconds=5, device=torch.device("cpu"), most=7)
    assert len(found["a"]) <= 7


def test_zipf_ids() -> None:
    ids = zipf_ids(50_257, 20_000)
    assert ids.min() >= 0
    assert ids.max() < 50_257
    assert torch.equal(ids, zipf_ids(50_257, 20_000))
    # Between two ids, the probability goes as the logarithm of their ratio.
    share = (ids < 223).float().mean().item()
    assert share == pytest.approx(math.log(224) / math.log(50_258), abs=0.02)
    assert zipf_ids(1, 5).tolist() == [0] * 5


def test_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--vocabulary", "131072", "--pos-dim", "32"]
    monkeypatch.setattr(sys, "argv", ["accounting", *line])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("kronviz.accounting", run_name="__main__")
    assert left.value.code == 0
    assert from_json(InputCost, capsys.readouterr().out) == input_cost("131072", 32)
    monkeypatch.setattr(sys, "argv", ["accounting", *line, "--d-model", "0"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("kronviz.accounting", run_name="__main__")
    assert left.value.code == 2
    assert "d_model is 0" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["accounting", *line, "--measure", "0"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("kronviz.accounting", run_name="__main__")
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "tokens is 0; it must be a whole number from 1 to 65,536" in printed.err


def test_the_benchmark_of_storage_prints_what_is_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["storage.py", "--markdown"])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    runpy.run_path(str(ROOT / "benchmarks" / "storage.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "| r50k_base | 50,257 | 16 | 72 | 0.320 | 0.201 | 0.521 | 0.905 | 0.58 |" in printed
    assert "131,072 | 32" in printed
