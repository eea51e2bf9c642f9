"""Check the fused encoder on a CUDA GPU in half a minute, and print how far it is from float64.

    python tests/check_gpu.py

The test suite runs the same kernels in Triton's interpreter where there is no GPU; this runs what
the compiler made of them: forward, backward, ids out of range, a CUDA graph, `torch.compile`, and
a whole pair read by graphs. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.arms import input_embedding
from kronviz.embedding import KroneckerEmbedding
from kronviz.encoders import gpu, plain
from kronviz.graphs import GraphReader
from kronviz.model import GPT, ModelConfig
from kronviz.row_sums import RowSumEmbedding
from kronviz.tokenizer import load_tokenizer

CASES = (
    (16, 512, torch.float32, 8192),
    (16, 768, torch.bfloat16, 8192),
    (32, 300, torch.float32, 1000),
    (1, 33, torch.float32, 7),
)
LIMITS = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
failed: list[str] = []


def expect(what: str, holds: bool, found: object = "") -> None:
    """Print a line, and remember it if it does not hold."""
    print(f"{'ok ' if holds else 'BAD'} {what} {found}", flush=True)
    if not holds:
        failed.append(what)


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def check_numbers(
    pos_dim: int, width: int, dtype: torch.dtype, count: int, arm: str = "kron"
) -> None:
    """Forward and backward against float64; twice, for they must not differ by a bit."""
    words = load_tokenizer("r50k_base").vocabulary
    module = input_embedding(arm, words, width, pos_dim)[0].cuda()
    assert isinstance(module, RowSumEmbedding)
    data, offsets, code = module.data, module.offsets, module.code
    weight = torch.randn_like(module.weight).detach().to(dtype)
    # As text does, most ids are few: squares of evenly drawn numbers.
    ids = (torch.rand(count, device="cuda") ** 4 * len(words)).long()
    grad = torch.randn(count, width, device="cuda", dtype=dtype)
    label = f"{arm} P={pos_dim} d={width} {str(dtype).removeprefix('torch.')} n={count}:"

    leaf = weight.double().requires_grad_()
    exact = plain.encode(leaf, None, ids, data, offsets, code)
    exact.backward(grad.double())
    assert leaf.grad is not None
    made = [gpu.encode(weight, None, ids, data, offsets, code) for _ in range(2)]
    back = [gpu.backward(grad, ids, data, offsets, code) for _ in range(2)]
    forward, backward = error(made[0], exact.detach()), error(back[0], leaf.grad)
    expect(f"{label} forward", forward < LIMITS[dtype], f"{forward:.1e}")
    expect(f"{label} backward", backward < LIMITS[dtype], f"{backward:.1e}")
    same = torch.equal(*made) and torch.equal(*back)
    expect(f"{label} the same from run to run", same)

    wild = ids.clone()
    wild[:3] = torch.tensor([-1, len(words), 2**40])
    out = gpu.encode(weight, None, wild, data, offsets, code)
    rest = torch.equal(out[3:], made[0][3:]) and bool(out[:3].isnan().all())
    expect(f"{label} ids out of range give NaN and nothing else", rest)


def check_compiled() -> None:
    """A step of training through `torch.compile` gives what the plain way gives."""
    torch.manual_seed(0)
    words = load_tokenizer("r50k_base").vocabulary
    fused = KroneckerEmbedding(words, 512).cuda()
    other = KroneckerEmbedding(words, 512, encoder="reference").cuda()
    other.load_state_dict(fused.state_dict())
    ids = torch.randint(len(words), (4, 512), device="cuda")
    whole = torch.compile(lambda i: fused(i).square().mean(), fullgraph=True)
    whole(ids).backward()
    other(ids).square().mean().backward()
    assert fused.weight.grad is not None
    assert other.weight.grad is not None
    found = error(fused.weight.grad, other.weight.grad.double())
    expect("torch.compile, whole graph: gradient", found < 1e-5, f"{found:.1e}")


def check_embedding_in_graphs() -> None:
    """An embedding recorded as a graph reads what was kept; after a change it is recorded anew."""
    words = load_tokenizer("r50k_base").vocabulary
    ids = torch.randint(len(words), (300,), device="cuda")
    for encoder in ("fused", "cached"):
        module = KroneckerEmbedding(words, 96, encoder=encoder).cuda().eval()
        for turn in range(2):
            with torch.inference_mode():
                exact = module(ids)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    made = module(ids)
                others = [torch.full_like(exact, float("nan")) for _ in range(9)]
                graph.replay()
            expect(f"{encoder} in a graph, turn {turn}", torch.equal(made, exact))
            del others
            with torch.no_grad():
                module.weight.add_(torch.randn_like(module.weight))


def check_graphs() -> None:
    """Models read by CUDA graphs answer as they do without."""
    for arm in ("bpe", "kron", "ngram-words"):
        torch.manual_seed(0)
        model = GPT(ModelConfig(arm, "r50k_base", 256, 2, 4, 256)).eval()
        model = model.to("cuda", torch.bfloat16)
        reader = GraphReader(model)
        for texts in ([[1, 2, 3]], [[4] * 40, [5, 6]], [[7, 8], [9]], [[3, 2, 1]]):
            found, exact = reader.read(texts), model.read(texts)
            far = (found.logits - exact.logits).abs().max().item()
            expect(f"graphs, {arm}, {len(texts)} texts", far < 0.05, f"{far:.1e}")
        expect(f"graphs, {arm}: recorded", reader._works and len(reader._recordings) == 3)


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA GPU.")
    started = time.perf_counter()
    for case in CASES:
        check_numbers(*case)
    for case in CASES[:3]:
        for arm in ("ngram", "ngram-word", "pairs"):
            check_numbers(*case, arm)
    empty = torch.zeros(0, dtype=torch.long, device="cuda")
    module = KroneckerEmbedding(load_tokenizer("r50k_base").vocabulary, 64).cuda()
    expect("no ids at all", module(empty).shape == (0, 64))
    module.eval()
    with torch.inference_mode():
        expect("in inference", bool(module(empty.new_tensor([[5, 6]])).isfinite().all()))
    check_compiled()
    check_embedding_in_graphs()
    check_graphs()
    print(f"{torch.cuda.get_device_name()}, {time.perf_counter() - started:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
