"""Every way to compute an embedding gives the numbers of a float64 oracle, forward and backward.

The Triton kernels run in Triton's interpreter where there is no GPU.
"""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from kronviz import codec, encoders
from kronviz.embedding import KroneckerEmbedding
from kronviz.encoders import cpu, launch, owners, pages, plain, threads, traceable
from kronviz.encoders.codes import Code, NGrams, n_rows
from kronviz.encoders.operator import encode as operator
from kronviz.encoders.operator import prepare
from kronviz.ngrams import Rule
from kronviz.tokenizer import TokenBytes

gpu = pytest.importorskip("kronviz.encoders.gpu")
ROOT = Path(__file__).parent.parent
GPU = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Encode = Callable[..., Tensor]
Backward = Callable[..., Tensor]


def on_gpu(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of `gpu` with its tensors moved there and its answer moved back."""

    def call(*arguments: object) -> Tensor:
        moved = [a.to(GPU) if isinstance(a, Tensor) else a for a in arguments]
        return function(*moved).cpu()

    return call


def plain_backward(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code) -> Tensor:
    weight = torch.zeros(n_rows(code), grad.shape[1], dtype=grad.dtype, requires_grad=True)
    plain.encode(weight, None, ids, data, offsets, code).backward(grad)
    assert weight.grad is not None
    return weight.grad


def traceable_encode(weight: Tensor, mean: Tensor | None, *arguments: object) -> Tensor:
    ids, data, offsets, code = arguments
    longest = max(offsets.diff().tolist(), default=0)  # type: ignore[attr-defined]
    return traceable.encode(weight, ids, data, offsets, code, longest)  # type: ignore[arg-type]


def traceable_backward(grad: Tensor, *arguments: object) -> Tensor:
    rows = n_rows(arguments[-1])  # type: ignore[arg-type]
    weight = torch.zeros(rows, grad.shape[1], dtype=grad.dtype, requires_grad=True)
    traceable_encode(weight, None, *arguments).backward(grad)
    assert weight.grad is not None
    return weight.grad


PATHS = {
    "plain": (plain.encode, plain_backward),
    "traceable": (traceable_encode, traceable_backward),
    "cpu": (cpu.encode, cpu.backward),
    "gpu": (on_gpu(gpu.encode), on_gpu(gpu.backward)),
}
each_path = pytest.mark.parametrize(("encode", "backward"), PATHS.values(), ids=PATHS)


def store(tokens: Sequence[bytes], pos_dim: int) -> tuple[Tensor, Tensor]:
    packed = TokenBytes.of([codec.truncate(token, pos_dim) for token in tokens])
    return torch.tensor(packed.data), torch.tensor(packed.offsets, dtype=torch.int32)


def codes(tokens: Sequence[bytes], ids: Sequence[int], pos_dim: int) -> np.ndarray:
    """The oracle's dense z-normalised codes, a row for each id."""
    rows = [codec.z_code(tokens[i], pos_dim) for i in ids]
    return np.stack(rows) if rows else np.zeros((0, codec.dimension(pos_dim)))


def close(found: Tensor, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert found.isfinite().all()
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    assert np.abs(found.double().numpy() - expected).max(initial=0) <= tolerance * scale


TOKENS = st.lists(st.binary(max_size=48) | st.text(max_size=12).map(str.encode), min_size=1)


@each_path
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(
    tokens=TOKENS,
    picks=st.lists(st.integers(0, 2**32), max_size=40),
    pos_dim=st.integers(1, 40),
    d_model=st.integers(1, 33),
    seed=st.integers(0, 2**32 - 1),
)
@example(tokens=[b""], picks=[0], pos_dim=3, d_model=2, seed=0)
@example(tokens=[b"a"], picks=[], pos_dim=1, d_model=1, seed=0)
@example(tokens=[b"one", "é".encode() * 20], picks=[1, 0, 1], pos_dim=1, d_model=300, seed=1)
@example(tokens=[b"one", b"\xff" * 40], picks=[1, 0, 1], pos_dim=40, d_model=3, seed=2)
def test_path_is_the_oracle(
    encode: Encode,
    backward: Backward,
    tokens: list[bytes],
    picks: list[int],
    pos_dim: int,
    d_model: int,
    seed: int,
) -> None:
    precisions = [(torch.float32, 1e-5), (torch.float64, 1e-11)]
    if encode is PATHS["gpu"][0]:
        # The interpreter takes 20 ms for 16 cells.
        pos_dim, picks, precisions = min(pos_dim, 2), picks[:8], precisions[1:]
    rng = np.random.default_rng(seed)
    ids = [pick % len(tokens) for pick in picks]
    dense = codes(tokens, ids, pos_dim)
    size = codec.dimension(pos_dim)
    weight = rng.normal(0, size**-0.5, (size, d_model))
    grad = rng.normal(size=(len(ids), d_model))
    arguments = torch.tensor(ids, dtype=torch.long), *store(tokens, pos_dim), (pos_dim,)
    for dtype, tolerance in precisions:
        made = encode(torch.tensor(weight, dtype=dtype), None, *arguments)
        assert made.dtype == dtype
        close(made, dense @ weight, tolerance)
        close(backward(torch.tensor(grad, dtype=dtype), *arguments), dense.T @ grad, tolerance)


ODD = [b"", b"a", bytes(range(256)), b"x" * 300, " naïve".encode(), b"of", b"of"]


@each_path
def test_path_of_ngrams_is_the_oracle(encode: Encode, backward: Backward) -> None:
    """Short and long strings, every byte, numbers of rows of all kinds, rows of tokens."""
    for code in (NGrams(64, 2, 4, 0), NGrams(13, 1, 3, 5), NGrams(12, 4, 5, 9)):
        ngrams_are_the_oracle(encode, backward, code)


def ngrams_are_the_oracle(encode: Encode, backward: Backward, code: NGrams) -> None:
    tokens = ODD if encode is not PATHS["gpu"][0] else [token[:6] for token in ODD]
    tokens = [*tokens, b"some", b"more"]
    ids = [*range(len(tokens)), 1, 4, 4]
    bags = np.zeros((len(ids), n_rows(code)))
    for row, token in zip(bags, ids, strict=True):
        cells = [*Rule(*code[:3]).cells(tokens[token])]
        cells += [code.rows + token] if token < code.own else []
        np.add.at(row, cells, 1)
        row[:] = (row - row.mean()) * np.sqrt(len(row) / max(len(cells), 1))
    rng = np.random.default_rng(4)
    weight = rng.normal(0, n_rows(code) ** -0.5, (n_rows(code), 5))
    grad = rng.normal(size=(len(ids), 5))
    packed = TokenBytes.of(tokens)
    data, offsets = torch.tensor(packed.data), torch.tensor(packed.offsets, dtype=torch.int32)
    arguments = torch.tensor(ids), data, offsets, tuple(code)
    # A float32 sum of the 900 rows of the longest string is good to five digits.
    precisions = [(torch.float32, 5e-5), (torch.float64, 1e-11)]
    for dtype, tolerance in precisions[encode is PATHS["gpu"][0] :]:
        made = encode(torch.tensor(weight, dtype=dtype), None, *arguments)
        close(made, bags @ weight, tolerance)
        close(backward(torch.tensor(grad, dtype=dtype), *arguments), bags.T @ grad, tolerance)
    stranger = torch.tensor([0, len(tokens), 2]), *arguments[1:]
    if encode is PATHS["gpu"][0]:
        made = encode(torch.tensor(weight), None, *stranger)
        assert made[1].isnan().all()
        close(made[[0, 2]], (bags @ weight)[[0, 2]], 1e-11)
    else:
        with pytest.raises(IndexError):
            encode(torch.tensor(weight), None, *stranger)


@each_path
def test_half_precision_is_near(encode: Encode, backward: Backward) -> None:
    if encode is cpu.encode:
        pytest.skip("half precision on a CPU is computed in plain PyTorch")
    rng = np.random.default_rng(5)
    tokens = [b" token", b"", b"a", b" the", "日本語の文字列".encode()]
    ids = rng.integers(0, len(tokens), 11).tolist()
    dense = codes(tokens, ids, 3)
    weight = rng.normal(0, 1 / 32, (768, 24))
    arguments = torch.tensor(ids), *store(tokens, 3), (3,)
    made = encode(torch.tensor(weight, dtype=torch.bfloat16), None, *arguments)
    exact = dense @ weight
    assert np.linalg.norm(made.double().numpy() - exact) < 1e-2 * np.linalg.norm(exact)
    grad = torch.tensor(rng.normal(size=(11, 24)), dtype=torch.bfloat16)
    made, exact = backward(grad, *arguments), dense.T @ grad.double().numpy()
    assert np.linalg.norm(made.double().numpy() - exact) < 2e-2 * np.linalg.norm(exact)


def test_sums_that_cross_many_chunks() -> None:
    """One blank in front of everything: a cell that most rows share, over many chunks."""
    rng = np.random.default_rng(2)
    tokens = [b" " + bytes([65 + i]) for i in range(26)] + [b"x"]
    ids = torch.tensor(rng.integers(0, 27, 60).tolist() + [3] * 560)
    dense = codes(tokens, ids.tolist(), 2)
    grad = rng.normal(size=(len(ids), 3))
    found = on_gpu(gpu.backward)(
        torch.tensor(grad, dtype=torch.float32), ids, *store(tokens, 2), (2,)
    )
    close(found, dense.T @ grad)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "ALONE", 1)
    rng = np.random.default_rng(3)
    tokens = [rng.bytes(rng.integers(0, 9)) for _ in range(50)]
    ids = torch.tensor(rng.integers(0, 50, 301))
    stored = store(tokens, 8)
    weight = torch.randn(2048, 300)
    grad = torch.randn(301, 300)
    before = torch.get_num_threads()
    for code in ((8,), NGrams(2000, 2, 4, 48)):
        results = []
        try:
            for count in (1, 2, 3, 7):
                torch.set_num_threads(count)
                made = cpu.encode(weight, None, ids, *stored, code)
                results.append((made, cpu.backward(grad, ids, *stored, code)))
        finally:
            torch.set_num_threads(before)
        for embedded, gradient in results[1:]:
            assert torch.equal(embedded, results[0][0])
            assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize(("dtype", "d_model"), [("float32", 784), ("float64", 40), ("float32", 9)])
def test_written_past_the_caches_it_is_the_same(
    monkeypatch: pytest.MonkeyPatch, dtype: str, d_model: int
) -> None:
    rng = np.random.default_rng(6)
    tokens = [rng.bytes(rng.integers(0, 9)) for _ in range(50)]
    arguments = torch.tensor(rng.integers(0, 50, 301)), *store(tokens, 8), (8,)
    weight = torch.randn(2048, d_model, dtype=getattr(torch, dtype))
    expected = cpu.encode(weight, None, *arguments)
    monkeypatch.setattr(cpu, "PAST", 1)
    monkeypatch.setattr(cpu, "ALONE", 1)
    assert torch.equal(cpu.encode(weight, None, *arguments), expected)


def test_many_callers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "ALONE", 1)
    weight = torch.randn(4096, 32)
    data, offsets = store([b"one", b"two", b" three"], 16)
    batches = [torch.randint(0, 3, (200,)) for _ in range(8)]
    expected = [plain.encode(weight, None, ids, data, offsets, (16,)) for ids in batches]
    found: list[Tensor | None] = [None] * 8

    def work(number: int) -> None:
        for _ in range(20):
            found[number] = cpu.encode(weight, None, batches[number], data, offsets, (16,))

    callers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_threads_hand_on_an_error_and_keep_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Work:
        def __init__(self) -> None:
            self.done: list[int] = []

        def __call__(self, first: int, last: int) -> None:
            self.done += range(first, last)
            if first == 64:
                raise ZeroDivisionError

    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    work = Work()
    with pytest.raises(ZeroDivisionError):
        threads.share(work, 1000, 64)
    assert sorted(work.done) == list(range(1000))
    gone = weakref.ref(work)
    del work
    gc.collect()
    assert gone() is None


def test_unknown_ids() -> None:
    tokens = [b"one", b"two", b"three"]
    weight = torch.randn(512, 5)
    stored, strangers = (*store(tokens, 2), (2,)), (-1, 3, 2**40)
    for stranger in strangers:
        ids = torch.tensor([0, stranger, 2])
        said = rf"ids hold {stranger}; this vocabulary has ids 0 … 2"
        with pytest.raises(IndexError, match=said):
            cpu.encode(weight, None, ids, *stored)
        with pytest.raises(IndexError, match=said):
            cpu.backward(torch.ones(3, 5), ids, *stored)
    ids = torch.tensor([0, *strangers, 2])
    made = on_gpu(gpu.encode)(weight, None, ids, *stored)
    assert made[1:-1].isnan().all()
    dense = codes(tokens, [0, 2], 2)
    close(made[[0, -1]], dense @ weight.double().numpy())
    gradient = on_gpu(gpu.backward)(torch.ones(5, 5), ids, *stored)
    close(gradient, dense.T @ np.ones((2, 5)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_however_the_work_is_dealt_out(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five blocks of columns, the last one cut; many tokens a warp, some, or one."""
    monkeypatch.setattr(gpu, "_multiprocessors", lambda device: 3)
    for resident, blocks in ((1, 3), (2, 2), (100, 1), (100, 3)):
        for name, value in {"COLUMNS": 8, "BLOCKS": blocks, "RESIDENT": resident}.items():
            monkeypatch.setattr(gpu, name, value)
        tokens = [b"one", b"", b" the", "日本語".encode()]
        ids = np.random.default_rng(blocks).integers(0, len(tokens), 6).tolist()
        weight = torch.randn(1024, 34, dtype=dtype)
        made = on_gpu(gpu.encode)(weight, None, torch.tensor(ids), *store(tokens, 4), (4,))
        exact = codes(tokens, ids, 4) @ weight.double().numpy()
        close(made, exact, 1e-5 if dtype == torch.float32 else 1e-2)


def test_owners_are_those_of_the_vocabulary_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of one vocabulary serves no other in its place, and few are kept."""
    rng = np.random.default_rng(8)
    ids, grad = torch.arange(3), torch.randn(3, 5)
    monkeypatch.setattr(owners, "CACHED", 2)
    owners._cache.clear()
    data, offsets = (tensor.to(GPU) for tensor in store([b"a", b"b", b"c"], 1))
    for _ in range(3):
        tokens = [rng.bytes(1) for _ in range(3)]
        data.copy_(torch.tensor(list(b"".join(tokens)), dtype=torch.uint8))
        for _ in range(2):
            found = gpu.backward(grad.to(GPU), ids.to(GPU), data, offsets, (1,)).cpu()
            close(found, codes(tokens, range(3), 1).T @ grad.double().numpy())
    assert len(owners._cache) == owners.CACHED


def test_a_kernel_is_looked_for_once_a_kind_of_arguments() -> None:
    launched = []

    class Kernel:
        """Stands for a jitted kernel, and for what it compiles to."""

        def __getitem__(self, grid: tuple) -> Callable[..., Kernel]:
            def run(*arguments: object, **options: int) -> Kernel:
                launched.append((grid, arguments, options))
                return Kernel()

            return run

    kernel, even, odd = Kernel(), torch.zeros(64), torch.zeros(65)[1:]
    for tensor in (even, even + 1, odd, even.double()):
        for _ in range(2):
            launch.launch(kernel, (2, 1, 1), (tensor,), (7,), (16, True), warps=2)
    looked_for = [bool(options) for _, _, options in launched]
    assert looked_for == [True, False, False, False, True, True, True, False]
    assert all(arguments[1:] == (7, 16, True) for _, arguments, _ in launched)


@pytest.mark.parametrize("slow", [0.0, 60.0])
def test_large_results_in_small_pages_and_in_huge_ones(
    slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system whose huge pages are all slow, and one whose are all fast."""
    monkeypatch.setattr(pages, "SLOW", slow)
    tokens = [b"one", b"", b" the"]
    weight = torch.randn(512, 1100)
    ids = torch.randint(3, (pages.FRESH // 4 // 1100 + 5,))
    assert len(ids) * 1100 * 4 > pages.FRESH
    made = cpu.encode(weight, None, ids, *store(tokens, 2), (2,))
    table = plain.encode(weight, None, torch.arange(3), *store(tokens, 2), (2,))
    torch.testing.assert_close(made, table[ids])


def test_arguments_need_not_be_contiguous() -> None:
    data, offsets = store([b"one", b"two", b"three"], 2)
    weight, ids = torch.randn(6, 512).t(), torch.tensor([[0, 1], [2, 0]]).t().reshape(-1)[::2]
    grad = torch.ones(1, 1).expand(2, 6)
    expected = plain.encode(weight, None, ids, data, offsets, (2,))
    for encode, backward in PATHS.values():
        torch.testing.assert_close(encode(weight, None, ids, data, offsets, (2,)), expected)
        torch.testing.assert_close(
            backward(grad, ids, data, offsets, (2,)),
            plain_backward(grad.contiguous(), ids, data, offsets, (2,)),
        )


@pytest.mark.parametrize("way", ["registered", "direct"])
def test_gradcheck(way: str) -> None:
    torch.manual_seed(4)
    data, offsets = store([b"ab", b"", b"a", b"cab"], 1)
    ids = torch.tensor([0, 1, 2, 3, 0, 0])
    weight = torch.randn(256, 3, dtype=torch.float64, requires_grad=True)

    def embed(weight: Tensor) -> Tensor:
        if way == "registered":
            return operator(weight, None, ids, data, offsets, (1,))
        return prepare(weight, None, data, offsets, (1,))(ids)

    # Fast mode checks the derivative along random directions.
    assert torch.autograd.gradcheck(embed, [weight], fast_mode=True, eps=1e-4)


@pytest.mark.parametrize("way", ["registered", "direct"])
def test_derivatives_of_any_order(way: str) -> None:
    data, offsets = store([b"ab", b"b"], 1)
    ids = torch.tensor([0, 1])
    weight = torch.randn(256, 3, dtype=torch.float64, requires_grad=True)
    gradients = []
    for exact in (False, True):
        if exact:
            made = traceable.encode(weight, ids, data, offsets, (1,), 1)
        elif way == "registered":
            made = operator(weight, None, ids, data, offsets, (1,))
        else:
            made = prepare(weight, None, data, offsets, (1,))(ids)
        found = [made.pow(4).sum()]
        for _ in range(3):
            (gradient,) = torch.autograd.grad(found[-1], weight, create_graph=True)
            found.append(gradient.pow(2).sum())
        gradients.append(torch.stack(found))
    torch.testing.assert_close(*gradients)


def test_operator_is_registered_rightly() -> None:
    data, offsets = store([b"ab", b"", b"a", b"cab"], 2)
    ids = torch.tensor([0, 1, 2, 3])
    weight = torch.randn(512, 3, requires_grad=True)
    torch.library.opcheck(operator, (weight, None, ids, data, offsets, (2,)))
    mean = weight.detach().mean(0)
    torch.library.opcheck(operator, (weight.detach(), mean, ids, data, offsets, (2,)))
    ngrams = (500, 2, 4, 12)
    torch.library.opcheck(operator, (weight, None, ids, data, offsets, ngrams))


def test_the_kernels_compile_for_a_gpu() -> None:
    """No GPU is needed to compile for one: H100 and A100, without a register spilled."""
    script = ROOT / "tests" / "compile_kernels.py"
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


WORDS = TokenBytes.of([b"one", b"two"])


def test_numba_missing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in ("cpu", "loops"):
        monkeypatch.delitem(sys.modules, f"kronviz.encoders.{module}")
        monkeypatch.delattr(encoders, module)
    encoders._import_fused.cache_clear()
    try:
        usual, plain_one = (KroneckerEmbedding(WORDS, 8, encoder=e) for e in ("auto", "reference"))
        plain_one.load_state_dict(usual.state_dict())
        ids = torch.tensor([0, 1, 1])
        for _ in range(3):
            torch.testing.assert_close(usual(ids), plain_one(ids))
        with pytest.raises(ImportError, match="the fused encoder on 'cpu' needs numba"):
            KroneckerEmbedding(WORDS, 8, encoder="fused")(ids)
    finally:
        encoders._import_fused.cache_clear()
    assert caplog.text.count("embeddings are computed in plain PyTorch") == 1


LATE = """
import os, sys, warnings
warnings.simplefilter("ignore")
import torch
from kronviz.embedding import KroneckerEmbedding
from kronviz.tokenizer import TokenBytes
words = TokenBytes.of([b"one", b"two"])
fast = KroneckerEmbedding(words, 8)
slow = KroneckerEmbedding(words, 8, encoder="reference")
slow.load_state_dict(fast.state_dict())
ids = torch.tensor([0, 1, 1])
assert "numba" not in sys.modules
from numba.core import caching
def refuse(self): raise OSError("read-only file system")
caching._CacheLocator.ensure_cache_path = refuse
torch.testing.assert_close(fast(ids), slow(ids), rtol=1e-5, atol=1e-5)
from kronviz.encoders import cpu; cpu.ALONE = 1
torch.set_num_threads(2); ids = ids.repeat(100)
# The mean is kept: PyTorch's own threads, which would compute it, do not outlive a fork.
with torch.no_grad():
    fast.eval()(ids)
    if os.fork() == 0:
        import signal; signal.alarm(60)
        fast(ids)
        os._exit(0)
assert os.wait()[1] == 0
"""


def test_numba_is_imported_late_cannot_write_and_a_forked_child_can_encode() -> None:
    # What is compiled again need not be fast.
    environment = {**os.environ, "NUMBA_OPT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", LATE], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_unknown_device_falls_back(caplog: pytest.LogCaptureFixture) -> None:
    encoders._import_fused.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not encoders.is_fused("auto", torch.device("meta"), torch.float32)
    assert len(caplog.records) == 1
    with pytest.raises(ImportError, match="meta"):
        encoders.is_fused("fused", torch.device("meta"), torch.float32)
