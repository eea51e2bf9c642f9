"""Time bags of n-grams: the table ``arms`` of ``encoder.py``.

The fused encoder is compared with `torch.nn.functional.embedding_bag` over rows listed for every
token beforehand, the fastest way without a custom loop.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from encoder_gpu import OURS, TABLE
from table import show
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.accounting.timing import Timing, going_through, rounds, summarise
from kronviz.arms import input_embedding
from kronviz.encoders.codes import gains, selected
from kronviz.row_sums import RowSumEmbedding
from kronviz.tokenizer import TokenBytes

ARMS = ("ngram", "ngram-word")
LISTED = "embedding_bag"


class Listed(nn.Module):
    """A bag of n-grams by `F.embedding_bag`, with the rows of all tokens listed beforehand."""

    cells: Tensor
    bounds: Tensor

    def __init__(self, fused: RowSumEmbedding):
        super().__init__()
        ids = torch.arange(fused.num_embeddings, device=fused.weight.device)
        cells, counts = selected(ids, fused.data, fused.offsets, fused.code)
        self.code, self.weight = fused.code, nn.Parameter(fused.weight.detach().clone())
        self.register_buffer("cells", cells.int())
        self.register_buffer("bounds", F.pad(counts.cumsum(0), (1, 0)))

    def forward(self, ids: Tensor) -> Tensor:
        starts = self.bounds[ids]
        lengths = self.bounds[ids + 1] - starts
        firsts = lengths.cumsum(0) - lengths
        bags = torch.repeat_interleave(lengths)
        within = torch.arange(bags.numel(), device=bags.device) - firsts[bags]
        chosen = self.cells[starts[bags] + within].long()
        sums = F.embedding_bag(chosen, self.weight, firsts, mode="sum")
        counts = lengths[:, None].to(self.weight.dtype)
        return gains(counts, self.code) * (sums - counts * self.weight.mean(0))


def contestants(vocabulary: TokenBytes, case: Any, *, training: bool) -> dict[str, nn.Module]:
    """Return the modules to time at a case of ``encoder.py``."""
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {TABLE: nn.Embedding(len(vocabulary), case.d_model)}
    for arm in ("kron", *ARMS):
        module, _ = input_embedding(arm, vocabulary, case.d_model, case.pos_dim)
        made[OURS.replace("kron", arm)] = module
        if arm in ARMS:
            assert isinstance(module, RowSumEmbedding)
            made[f"{arm}, {LISTED}"] = Listed(module)
    for module in made.values():
        module.to(case.device, case.dtype).train(training)
    return made


def report(vocabulary: TokenBytes, cases: dict[str, Any], seconds: float, markdown: bool) -> None:
    """Print the arms' times, forward and with backward, and the time per summed row."""
    for training in (False, True):
        columns, rows_summed = {}, {}
        for label, case in cases.items():
            made = contestants(vocabulary, case, training=training)
            batches = case.batches()
            _check(made, batches[0], case)
            columns[label] = timed(made, batches, case, training=training, seconds=seconds)
            rows_summed[label] = {name: _rows(module, batches) for name, module in made.items()}
        lines = []
        for name in columns[next(iter(cases))]:
            line = [name]
            for label, times in columns.items():
                time = times[name].milliseconds
                of_row = time * 1e6 / rows_summed[label][name]
                line.append(f"{time:.3g} (×{time / times[TABLE].milliseconds:.2f}, {of_row:.1f})")
            lines.append(line)
        what = "forward and backward" if training else "forward"
        heading = f"{'### ' * markdown}Arms, {what}, ms (ratio to {TABLE}, ns a row summed)"
        show(heading, ["", *cases], lines, markdown)


def _check(made: dict[str, nn.Module], ids: Tensor, case: Any) -> None:
    """End with an error if an arm is not the sum of its listed rows."""
    with torch.inference_mode():
        for arm in ARMS:
            exact = made[f"{arm}, {LISTED}"](ids)
            error = (made[OURS.replace("kron", arm)](ids) - exact).norm() / exact.norm()
            if not error < 1e-2 if case.dtype == torch.bfloat16 else not error < 1e-5:
                sys.exit(f"{arm} is wrong at {case}: relative error {error:.2e}")


def timed(
    made: dict[str, nn.Module], batches: Sequence[Tensor], case: Any, *, training: bool,
    seconds: float,
) -> dict[str, Timing]:  # fmt: skip
    """Return the median time of a call of each module, with its backward pass for training."""
    gradient = torch.randn(case.tokens, case.d_model, dtype=case.dtype, device=case.device)

    def step(module: nn.Module, ids: Tensor) -> None:
        for parameter in module.parameters():
            parameter.grad = None
        module(ids).backward(gradient)

    calls = {
        name: going_through(batches, functools.partial(step, module) if training else module)
        for name, module in made.items()
    }
    with torch.inference_mode(not training):
        for call in calls.values():
            call()
        times = rounds(calls, seconds=seconds, device=torch.device(case.device), most=2000)
    return {timing.name: timing for timing in summarise(times)}


def _rows(module: nn.Module, batches: Sequence[Tensor]) -> float:
    """Return the mean number of rows that a batch sums."""
    if isinstance(module, Listed):
        return sum(int(module.bounds.diff()[ids].sum()) for ids in batches) / len(batches)
    if not isinstance(module, RowSumEmbedding):
        return float(batches[0].numel())
    every = torch.arange(module.num_embeddings, device=module.weight.device)
    counts = selected(every, module.data, module.offsets, module.code)[1]
    return sum(int(counts[ids].sum()) for ids in batches) / len(batches)
