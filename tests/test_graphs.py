"""Reading at fixed shapes: what a graph would replay is run here, on any machine."""

from __future__ import annotations

import logging
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kronviz.graphs import ROWS, GraphReader, Pass, fixed_shape
from kronviz.predictor import Predictor
from tests.small import small_model

MODELS = {arm: small_model(arm) for arm in ("bpe", "kron")}
TEXTS = st.lists(st.lists(st.integers(0, 1024), min_size=1, max_size=64), min_size=1, max_size=9)


class Kept:
    """Runs a pass again and gives the same tensors each time, as a graph does."""

    def __init__(self) -> None:
        self.passes = 0

    def __call__(self, once: Pass) -> Pass:
        self.passes += 1
        made = once()

        def run() -> object:
            again = once()
            made.logits.copy_(again.logits)
            made.final.copy_(again.final)
            return made

        return run  # type: ignore[return-value]


@given(batches=st.lists(TEXTS, min_size=1, max_size=3), arm=st.sampled_from(["bpe", "kron"]))
@settings(max_examples=25, deadline=None)
def test_fixed_shapes_answer_as_the_model_does(batches: list, arm: str) -> None:
    model, record = MODELS[arm], Kept()
    reader = GraphReader(model, record)
    with torch.inference_mode():
        read = [reader.read(texts) for texts in batches]
    for texts, found in zip(batches, read, strict=True):
        exact = model.read(texts)
        torch.testing.assert_close(found.logits, exact.logits, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.final, exact.final, atol=1e-5, rtol=1e-4)
    shapes = {fixed_shape(len(texts), max(map(len, texts)), 64) for texts in batches}
    assert record.passes == len(shapes)


def test_shapes_are_few() -> None:
    shapes = {fixed_shape(rows, time, 250) for rows in range(1, ROWS + 1) for time in range(1, 251)}
    assert len(shapes) <= 40
    assert all(time <= 250 for _, time in shapes)
    for rows in range(1, ROWS + 1):
        assert rows <= fixed_shape(rows, 17, 250)[0] < 2 * rows


def test_many_threads_get_their_own_answers() -> None:
    reader = GraphReader(MODELS["kron"], Kept())
    draw = random.Random(1)
    batches = [[[draw.randrange(1025) for _ in range(draw.randint(1, 40))]] for _ in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(reader.read, batches))
    for texts, one in zip(batches, found, strict=True):
        exact = MODELS["kron"].read(texts)
        torch.testing.assert_close(one.logits, exact.logits, atol=1e-5, rtol=1e-4)


def test_where_nothing_can_be_recorded_the_model_answers(caplog: pytest.LogCaptureFixture) -> None:
    def fails(once: Pass) -> Pass:
        raise RuntimeError("CUDA error: operation not permitted")

    reader = GraphReader(MODELS["bpe"], fails)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = reader.read([[1, 2, 3]])
    torch.testing.assert_close(found.logits, MODELS["bpe"].read([[1, 2, 3]]).logits)
    assert caplog.text.count("CUDA graph") == 1


def test_a_batch_too_large_to_record_is_read_all_the_same() -> None:
    record = Kept()
    found = GraphReader(MODELS["bpe"], record).read([[5]] * (ROWS + 1))
    assert found.logits.shape == (ROWS + 1, 1025)
    assert not record.passes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_graphs_answer_as_the_model_does_on_a_gpu() -> None:
    arms = {arm: small_model(arm).to("cuda", torch.bfloat16) for arm in ("bpe", "kron")}
    graphs = Predictor("toy", arms)
    for arm, model in arms.items():
        for texts in ([[1, 2, 3]], [[4] * 40, [5, 6]], [[7, 8]]):
            found, exact = graphs.readers[arm].read(texts), model.read(texts)
            torch.testing.assert_close(found.logits, exact.logits, atol=2e-2, rtol=2e-2)
