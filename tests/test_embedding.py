"""The embedding as a module: the reference's numbers and weights, forced slots, what is kept."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref

import numpy as np
import pytest
import torch
from each import on_each
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kronviz import codec, encoders
from kronviz.embedding import KroneckerEmbedding
from kronviz.encoders import ENCODERS
from kronviz.tokenizer import TokenBytes, load_tokenizer

WORDS = [b"one", b" two", b"", b"x", "naïve café Straße".encode(), b"\xff\xfe", b"a" * 40]
each_encoder = on_each("encoder", ENCODERS)


def embedding(encoder: str = "auto", pos_dim: int = 16, d_model: int = 12) -> KroneckerEmbedding:
    torch.manual_seed(1)
    return KroneckerEmbedding(TokenBytes.of(WORDS), d_model, pos_dim, encoder)


def oracle(module: KroneckerEmbedding, strings: list[bytes]) -> Tensor:
    dense = np.stack([codec.z_code(string, module.pos_dim) for string in strings])
    return torch.tensor(dense) @ module.weight.detach().double()


def near(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=1e-5)


def test_against_the_reference_package() -> None:
    """A quarter of GPT-2's tokens whose bytes the reference has right; the weights both ways."""
    reference = pytest.importorskip("kronecker_embeddings")
    tokenizer = load_tokenizer("r50k_base")
    count = tokenizer.n_vocab
    rows, right = [], torch.zeros(count, dtype=torch.bool)
    for token in range(count):
        data = tokenizer.token_bytes(token)
        seen = reference.utf8_safe_truncate(tokenizer.decode([token]).encode(), 16)
        rows.append(seen)
        if seen == codec.truncate(data, 16):
            right[token] = True
    assert right.sum() > 49_900
    padded = b"".join(row.ljust(16, b"\0") for row in rows)
    buffer = torch.tensor(bytearray(padded), dtype=torch.uint8).view(count, 16)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int16)
    theirs = reference.KroneckerEmbedding(
        count, 8, pos_dim=16, byte_buffer=buffer, length_buffer=lengths
    )
    every = [KroneckerEmbedding(tokenizer.vocabulary, 8, 16, name).eval() for name in ENCODERS]
    for ours in every:
        ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        for ids in right.nonzero()[::4, 0].split(4096):
            expected = theirs(ids)
            for ours in every:
                near(ours(ids), expected)
        for ours in every:
            ours.weight.copy_(torch.randn(4096, 8) / 64)
            theirs.load_state_dict(ours.to_reference_state_dict())
            assert torch.equal(theirs.projection.weight, ours.weight.t())
            near(ours(ids), theirs(ids))


@each_encoder
def test_values_and_gradients(encoder: str) -> None:
    for pos_dim in (1, 2, 3, 5, 16, 32, 40):
        module = embedding(encoder, pos_dim)
        ids = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 0, 0]])
        expected = oracle(module, [WORDS[i] for i in ids.flatten()]).view(3, 3, 12)
        grad = torch.randn(3, 3, 12)
        made = module(ids)
        near(made, expected)
        made.backward(grad)
        dense = np.stack([codec.z_code(WORDS[i], pos_dim) for i in ids.flatten()])
        exact = torch.tensor(dense).t() @ grad.view(9, 12).double()
        assert module.weight.grad is not None
        assert (module.weight.grad - exact).abs().max() < 1e-5 * exact.abs().max()
        with torch.no_grad():
            near(module.eval()(ids), expected)


@each_encoder
def test_shapes(encoder: str) -> None:
    for shape in ((0,), (1,), (2, 0), (1, 1, 3), ()):
        module = embedding(encoder)
        ids = torch.zeros(shape, dtype=torch.int32)
        made = module(ids)
        assert made.shape == (*shape, 12)
        made.sum().backward()
        assert module.weight.grad is not None
        assert module.weight.grad.isfinite().all()
        with torch.no_grad():
            assert module.eval()(ids).shape == (*shape, 12)


@each_encoder
def test_unknown_id(encoder: str) -> None:
    for stranger in (-1, len(WORDS)):
        for training in (True, False):
            module = embedding(encoder).train(training)
            message = rf"ids hold {stranger}; this vocabulary has ids 0 … {len(WORDS) - 1}"
            with torch.set_grad_enabled(training):
                with pytest.raises(IndexError, match=message):
                    module(torch.tensor([0, stranger]))
                with pytest.raises(IndexError, match=message):
                    module(torch.tensor([0, stranger]), {(0,): b"forced"})


def test_odd_arguments() -> None:
    with pytest.raises(TypeError, match="must be a tensor of int64"):
        embedding()(torch.tensor([0.0]))
    with pytest.raises(ValueError, match="encoder is 'quick'"):
        embedding("quick")
    with pytest.raises(ValueError, match="pos_dim"):
        embedding(pos_dim=0)


@each_encoder
@settings(max_examples=10)
@given(string=st.binary(max_size=30), pos_dim=st.integers(1, 20))
def test_forced_slots(encoder: str, string: bytes, pos_dim: int) -> None:
    module = embedding(encoder, pos_dim).eval()
    ids = torch.tensor([[0, 1, 3], [4, 5, 6]])
    with torch.no_grad():
        plain = module(ids)
        # A token's own bytes change nothing, any other string stands for itself.
        near(module(ids, {(1, 0): WORDS[4], (0, 2): WORDS[3]}), plain)
        forced = module(ids, {(1, 2): string, (0, 0): b"coined"})
        near(module.embed_bytes([string, b"coined"]), oracle(module, [string, b"coined"]))
    changed = torch.tensor([[True, False, False], [False, False, True]])
    assert torch.equal(forced[~changed], plain[~changed]) or encoder == "cached"
    near(forced[~changed], plain[~changed])
    near(forced[changed], oracle(module, [b"coined", string]))


@each_encoder
def test_forced_slots_have_gradients(encoder: str) -> None:
    module, other = embedding(encoder), embedding("reference")
    ids = torch.tensor([0, 1, 3])
    module(ids, {(1,): b"coined", (-1,): b""}).sum().backward()
    other.embed_bytes([WORDS[0], b"coined", b""]).sum().backward()
    assert module.weight.grad is not None
    torch.testing.assert_close(module.weight.grad, other.weight.grad, rtol=1e-5, atol=1e-3)


def test_forced_index_out_of_range() -> None:
    with pytest.raises(IndexError):
        embedding()(torch.tensor([0, 1]), {(2,): b"far"})
    for slot in ((0,), (0, 0, 0), ()):
        with pytest.raises(ValueError, match="each must have 2 numbers, one for each dimension"):
            embedding()(torch.tensor([[0, 1]]), {slot: b"far"})


def test_no_strings() -> None:
    assert embedding().embed_bytes([]).shape == (0, 12)


@each_encoder
def test_a_changed_projection_is_noticed(encoder: str) -> None:
    module = embedding(encoder).eval()
    ids = torch.tensor([0, 1])
    with torch.no_grad():
        module(ids)
        module.weight.mul_(2).add_(0.5)
        near(module(ids), oracle(module, WORDS[:2]))
        module.load_state_dict(embedding(encoder).state_dict())
        near(module(ids), oracle(module, WORDS[:2]))
        module.weight.data = torch.randn_like(module.weight)
        near(module(ids), oracle(module, WORDS[:2]))
    with torch.inference_mode():
        near(module(ids), oracle(module, WORDS[:2]))


@each_encoder
def test_a_step_of_a_fused_optimizer_is_noticed(encoder: str) -> None:
    """It moves no version counter."""
    module = embedding(encoder)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    ids = torch.tensor([0, 1])
    for _ in range(3):
        module.train()
        module(ids).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            near(module(ids), oracle(module, WORDS[:2]))
            near(module.eval()(ids), oracle(module, WORDS[:2]))


def test_training_goes_the_same_way() -> None:
    """The losses of a small regression, step by step, whatever computes the embedding."""
    losses = {}
    for encoder in ENCODERS:
        module = embedding(encoder)
        torch.manual_seed(2)
        target, ids = torch.randn(7, 12), torch.arange(7)
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
        losses[encoder] = []
        for _ in range(10):
            loss = (module(ids) - target).square().mean()
            losses[encoder].append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for encoder in ENCODERS:
        assert losses[encoder] == pytest.approx(losses["reference"], rel=1e-4)


@each_encoder
def test_copies_and_pickles(encoder: str) -> None:
    module = embedding(encoder).eval()
    ids = torch.arange(7)
    with torch.no_grad():
        expected = module(ids)
        file = io.BytesIO()
        pickle.dump(module, file)
        for other in (copy.deepcopy(module), pickle.loads(file.getvalue())):
            near(other(ids), expected)
            other.weight.zero_()
            assert other(ids).abs().max() == 0
        near(module(ids), expected)


@each_encoder
def test_half_precision(encoder: str) -> None:
    module = embedding(encoder).eval()
    ids = torch.arange(7)
    with torch.no_grad():
        exact = module(ids)
        made = module.bfloat16()(ids)
    assert made.dtype == torch.bfloat16
    assert (made - exact).norm() < 1e-2 * exact.norm()


@each_encoder
def test_warm_up(encoder: str) -> None:
    embedding(encoder).warm_up()
    embedding(encoder).eval().warm_up()
    KroneckerEmbedding(TokenBytes.of([]), 4, 4, encoder).warm_up()


@pytest.mark.parametrize(
    ("name", "pos_dim", "most"),
    [("r50k_base", 16, 600_000), ("o200k_base", 32, 1_600_000)],
)
def test_storage(name: str, pos_dim: int, most: int) -> None:
    vocabulary = load_tokenizer(name).vocabulary
    count = min(len(vocabulary), 131_072)
    first = TokenBytes.of([vocabulary[i] for i in range(count)])
    module = KroneckerEmbedding(first, 1, pos_dim)
    assert module.data.nbytes + module.offsets.nbytes <= most


def test_a_recorded_graph_holds_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA graph reads the mean of the projection from where it lay: nobody may free it."""
    module = embedding("reference").eval()
    ids = torch.tensor([0, 1])
    made: list[Tensor] = []

    def mean(weight: Tensor) -> Tensor:
        made.append(KroneckerEmbedding._mean(module, weight))
        return made[-1]

    monkeypatch.setattr(module, "_mean", mean)
    recording = False
    monkeypatch.setattr(encoders, "is_recording", lambda device: recording)
    with torch.no_grad():
        module(ids)
        recording = True
        module(ids)
        assert len(made) == 1
        held = weakref.ref(made.pop())
        module.weight.add_(1)
        # Now nothing fits, and what is made belongs to the graph alone.
        first, second = module(ids), module(ids)
        assert len(made) == 2
        recording = False
        torch.testing.assert_close(module(ids), first)
    torch.testing.assert_close(first, second)
    gc.collect()
    assert held() is not None
    module.double()
    assert held() is None
