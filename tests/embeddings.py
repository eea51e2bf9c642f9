"""A learned table, a Kronecker embedding, a bag of n-grams, and what each of them should give."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from kronviz import codec
from kronviz.arms.bags import BagEmbedding
from kronviz.embedding import KroneckerEmbedding
from kronviz.ngrams import Rule

WORDS = [b"one", b" two", b"", b"x", "naïve café".encode(), b"\xff\xfe", b"a" * 40, b"<s>"]
SHORT = [word[:4] for word in WORDS]
WIDTH, POS_DIM = 6, 2
RULE = Rule(61, 1, 2)
IDS = torch.tensor([[0, 1, 2], [3, 4, 6]])
OTHERS = torch.tensor([[5, 1, 0, 7], [6, 6, 2, 0], [1, 1, 1, 1]])


def table(**options: object) -> nn.Embedding:
    return nn.Embedding(len(WORDS), WIDTH, **options)  # type: ignore[arg-type]


def kron(**options: object) -> KroneckerEmbedding:
    return KroneckerEmbedding(WORDS, WIDTH, POS_DIM, **options)  # type: ignore[arg-type]


def bag(**options: object) -> BagEmbedding:
    return BagEmbedding(SHORT, WIDTH, RULE, 3, **options)  # type: ignore[arg-type]


def codes(module: nn.Module, ids: Tensor) -> Tensor:
    """The rows ``(n, rows of the weight)`` that all are linear in: one-hot, or codes."""
    flat = ids.flatten().tolist()
    if isinstance(module, nn.Embedding):
        return nn.functional.one_hot(torch.tensor(flat), len(WORDS)).double()
    if isinstance(module, KroneckerEmbedding):
        return torch.tensor(np.stack([codec.z_code(WORDS[i], POS_DIM) for i in flat]))
    bags = torch.zeros(len(flat), 64, dtype=torch.double)
    for row, token in zip(bags, flat, strict=True):
        cells = [*RULE.cells(SHORT[token]), *([61 + token] if token < 3 else [])]
        row.index_add_(0, torch.tensor(cells), torch.ones(len(cells), dtype=torch.double))
        row[:] = (row - row.mean()) * (64 / len(cells)) ** 0.5
    return bags


def linear(module: nn.Module, weight: Tensor, ids: Tensor) -> Tensor:
    """What the embedding with this weight should give, differentiable in the weight."""
    made = codes(module, ids).to(weight.dtype) @ weight
    return made.view(*ids.shape, WIDTH)


def agrees(module: nn.Module, ids: Tensor = IDS, tolerance: float = 1e-5) -> None:
    """The embedding gives what its weight, as it is now, says."""
    made = module(ids)
    weight = module.weight.detach()
    assert made.dtype == weight.dtype
    assert made.shape == (*ids.shape, WIDTH)
    near(made, linear(module, weight.double(), ids), tolerance)


def near(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    expected = expected.detach().double()
    assert found.isfinite().all()
    scale = max(1.0, float(expected.abs().max()))
    assert (found.detach().double() - expected).abs().max() <= tolerance * scale
