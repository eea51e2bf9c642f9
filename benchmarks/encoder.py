"""Compare speed and memory of kron's encoders, the reference implementation and PyTorch's tables.

    python benchmarks/encoder.py [--quick] [--tables text even widths vocabularies arms memory]
        [--text FILE] [--markdown] [--device cpu|cuda] [--seconds 3]

Each table varies one thing around a base case (8,192 tokens, d = 768, GPT-2's vocabulary, P = 16),
forward only and forward with backward. A cell is the median time of a call in milliseconds and its
ratio to `nn.Embedding` in the same run. Calls are interleaved, so that other load on the machine
slows all of them. Every implementation is checked against float64 before it is timed. On a GPU it
also prints the physical limits, and the time of a training step of both arms.

Tokens are those of English text in its own order: a file, or the manual that comes with Python.
Other columns draw ids uniformly from the vocabulary, which is unlike any text. Calls go through
several batches, because no server embeds the same batch twice.

Needs torch, numpy, tiktoken and safetensors. Without numba, Triton or the package
``kronecker-embeddings``, the parts that need them are left out with a message.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import encoder_arms
import encoder_gpu
from encoder_gpu import DYNAMIC, OURS, TABLE
from table import show

from kronviz import codec
from kronviz.accounting.timing import BATCHES, Timing, machine
from kronviz.embedding import KroneckerEmbedding
from kronviz.tokenizer import TokenBytes, load_tokenizer
from kronviz.training.throughput import manual

NAMES = {"r50k_base": "50 k", "cl100k_base": "100 k", "o200k_base": "200 k"}
HEADING = {False: "", True: "### "}
MAX_DENSE = 1_500_000_000
"""Most bytes of dense codes for which the reference is run: it holds several copies."""
MAX_MODULE = 6_000_000_000
MANUAL, EVEN = "the Python manual", ""
TABLES = ("text", "even", "widths", "vocabularies", "arms", "memory")
SHORT = ("text", "even", "memory")
Module = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """One column's case; ``text`` is a file, `MANUAL`, or `EVEN` for uniformly drawn ids."""

    tokens: int = 8192
    d_model: int = 768
    vocabulary: str = "r50k_base"
    pos_dim: int = 16
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    text: str = MANUAL

    def ids(self, number: int = 0) -> Tensor:
        """Return batch ``number`` of ids, int64."""
        if self.text:
            written = read(self.text, self.vocabulary)
            # The text repeats from its start when it ends.
            places = torch.arange(self.tokens) + number * self.tokens
            return written[places % len(written)].to(self.device)
        generator = torch.Generator().manual_seed(number)
        count = load_tokenizer(self.vocabulary).n_vocab
        return torch.randint(count, (self.tokens,), generator=generator).to(self.device)

    def batches(self) -> list[Tensor]:
        return [self.ids(number) for number in range(BATCHES)]


@functools.lru_cache(maxsize=3)
def read(text: str, vocabulary: str) -> Tensor:
    """Return the tokens of a text, int64."""
    written = manual() if text == MANUAL else Path(text).read_text(encoding="utf-8")
    return torch.tensor(load_tokenizer(vocabulary).encode(written))


@functools.lru_cache(maxsize=2)
def words(name: str) -> TokenBytes:
    return load_tokenizer(name).vocabulary


@functools.lru_cache(maxsize=2)
def padded(name: str, pos_dim: int) -> tuple[Tensor, Tensor]:
    """Return a vocabulary's true bytes in the form that the reference stores."""
    vocabulary = words(name)
    rows = np.zeros((len(vocabulary), pos_dim), np.uint8)
    lengths = np.zeros(len(vocabulary), np.int16)
    for token in range(len(vocabulary)):
        data = codec.truncate(vocabulary[token], pos_dim)
        rows[token, : len(data)] = np.frombuffer(data, np.uint8)
        lengths[token] = len(data)
    return torch.tensor(rows), torch.tensor(lengths)


def contestants(case: Case, *, training: bool) -> tuple[dict[str, nn.Module], list[str]]:
    """Return the modules to time at a case, all with the same projection, and a message for each
    that is left out.
    """
    vocabulary, notes = words(case.vocabulary), []
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {}
    number = torch.finfo(case.dtype).bits // 8
    if len(vocabulary) * case.d_model * number <= MAX_MODULE:
        made[TABLE] = nn.Embedding(len(vocabulary), case.d_model)
        made["nn.EmbeddingBag"] = Bag(len(vocabulary), case.d_model)
    for encoder in ("fused", "cached", "reference"):
        if encoder == "cached" and training:
            continue
        made[f"kron, {encoder}"] = KroneckerEmbedding(
            vocabulary, case.d_model, case.pos_dim, encoder
        )
    if importlib.util.find_spec("kronecker_embeddings") is None:
        notes.append("The package kronecker-embeddings is not installed: reference left out.")
    else:
        size = codec.dimension(case.pos_dim)
        for mode, rows in (("dynamic", case.tokens), ("cached", len(vocabulary))):
            if rows * size * 4 > MAX_DENSE or case.tokens * size * 4 > MAX_DENSE:
                notes.append(
                    f"reference, {mode}, at {case.tokens:,} tokens and a vocabulary of "
                    f"{len(vocabulary):,}: left out, its dense codes take "
                    f"{rows * size * 4 / 1e9:.1f} GB."
                )
            else:
                made[f"reference, {mode}"] = reference(case, mode)
    ours = made[OURS]
    for name, module in made.items():
        if name.startswith(("kron", "reference")):
            module.load_state_dict(ours.to_reference_state_dict())  # type: ignore[operator]
        module.to(case.device, case.dtype).train(training)
    for name in [name for name in made if name.startswith("kron")]:
        try:
            made[name].warm_up()  # type: ignore[operator]
        except ImportError as error:
            notes.append(f"{name} left out: {error}.")
            del made[name]
    return made, notes


def reference(case: Case, mode: str) -> nn.Module:
    """Return the reference implementation, given the true bytes of the vocabulary."""
    from kronecker_embeddings import KroneckerEmbedding as Reference

    data, lengths = padded(case.vocabulary, case.pos_dim)
    return Reference(
        len(lengths),
        case.d_model,
        pos_dim=case.pos_dim,
        mode=mode,
        byte_buffer=data,
        length_buffer=lengths,
    )


class Bag(nn.EmbeddingBag):
    """An `nn.EmbeddingBag` with one id in each bag."""

    def __init__(self, count: int, width: int):
        super().__init__(count, width, mode="sum")

    def forward(self, ids: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(ids[:, None])


def check(case: Case, made: dict[str, nn.Module]) -> None:
    """Exit unless every implementation of kron agrees with float64 on fresh ids."""
    ids = replace(case, tokens=min(case.tokens, 64)).ids(int(time.time()))
    vocabulary = words(case.vocabulary)
    dense = np.stack([codec.z_code(vocabulary[i], case.pos_dim) for i in ids.tolist()])
    for name, module in made.items():
        if not name.startswith(("kron", "reference")):
            continue
        projection = next(module.parameters()).detach().double().cpu()
        if name.startswith("reference"):
            projection = projection.t()
        exact = torch.tensor(dense) @ projection
        with torch.no_grad():
            found = module(ids).double().cpu()
        error = float((found - exact).norm() / exact.norm())
        limit = 1e-5 if case.dtype == torch.float32 else 1e-2
        if not error < limit:
            sys.exit(f"{name} is wrong at {case}: relative error {error:.2e}")


def timed(case: Case, *, training: bool, seconds: float) -> tuple[dict[str, Timing], list[str]]:
    """Return the median time of a call of each module."""
    made, notes = contestants(case, training=training)
    check(case, made)
    times = encoder_arms.timed(made, case.batches(), case, training=training, seconds=seconds)
    return times, notes


def peak_bytes(case: Case, *, training: bool) -> dict[str, int]:
    """Return the peak memory in bytes that one call of each module takes beyond what is in use."""
    made, _ = contestants(case, training=training)
    ids = case.ids()
    found = {}
    for name, module in made.items():

        def call(module: nn.Module = module) -> None:
            with torch.inference_mode(not training):
                out = module(ids)
            if training:
                out.sum().backward()

        call()
        for parameter in module.parameters():
            parameter.grad = None
        gc.collect()
        found[name] = _peak(call, torch.device(case.device))
        for parameter in module.parameters():
            parameter.grad = None
    return found


def _peak(call: Callable[[], None], device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    # From the allocator's own record: the process's size also counts pages that it only keeps.
    with _silence(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    held = most = 0
    for event in record.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the profiler's messages, which bypass Python, off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(os.devnull, "w") as nowhere:
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            yield
        finally:
            for number, saved in enumerate(kept, start=1):
                os.dup2(saved, number)
                os.close(saved)


def cell(timing: Timing | None, peer: Timing | None) -> str:
    if timing is None:
        return "–"
    number = timing.milliseconds
    text = f"{number:.4f}" if number < 0.1 else f"{number:.3g}" if number < 100 else f"{number:.0f}"
    return f"{text} (×{timing.milliseconds / peer.milliseconds:.2f})" if peer else text


def sweep(
    title: str, cases: dict[str, Case], arguments: argparse.Namespace
) -> dict[tuple[str, bool], dict[str, Timing]]:
    """Print a table of cases: forward only, and forward with backward."""
    every, all_notes = {}, []
    for training in (False, True):
        for label, case in cases.items():
            found, notes = timed(case, training=training, seconds=arguments.seconds)
            every[label, training] = found
            all_notes += [note for note in notes if note not in all_notes]
        columns = [every[label, training] for label in cases]
        names = dict.fromkeys(name for column in columns for name in column)
        rows = [
            [name, *(cell(column.get(name), column.get(TABLE)) for column in columns)]
            for name in names
        ]
        what = "forward and backward" if training else "forward"
        heading = f"{HEADING[arguments.markdown]}{title}, {what}, ms (ratio to {TABLE})"
        show(heading, ["", *cases], rows, arguments.markdown)
    for note in all_notes:
        print(note)
    return every


def verdict(drawn: str, every: dict[tuple[str, bool], dict[str, Timing]]) -> None:
    """Print the fused encoder's headline figures on a CPU; those of a GPU are in `encoder_gpu`."""
    centre, typing = every["8,192", False], every.get(("16", False))
    lines: list[tuple[str, Any]] = []
    if OURS in centre and DYNAMIC in centre:
        factor = centre[DYNAMIC].milliseconds / centre[OURS].milliseconds
        lines.append(("reference, dynamic, over ours at 8,192 tokens (at least 200)", factor))
    if OURS in centre:
        factor = centre[OURS].milliseconds / centre[TABLE].milliseconds
        lines.append((f"ours over {TABLE} at 8,192 tokens (at most 1)", factor))
    if typing and OURS in typing:
        lines.append(("ours at 16 tokens, ms (under 0.1)", typing[OURS].milliseconds))
    print(f"\n{drawn}, forward, in short:")
    for text, value in lines:
        print(f"  {text}: {value:.3g}")


def report(name: str, base: Case, arguments: argparse.Namespace) -> None:
    """Print one of `TABLES`: forward only, and forward with backward."""
    if name == "memory":
        return memory(base, arguments.markdown)
    if name == "arms":
        cases = {
            "16": replace(base, tokens=16),
            "8,192": base,
            "8,192 drawn evenly": replace(base, text=EVEN),
        }
        vocabulary = words(base.vocabulary)
        encoder_arms.report(vocabulary, cases, arguments.seconds, arguments.markdown)
    elif name == "widths":
        widths = (256, 768, 2048, 4096)
        cases = {f"d = {width:,}": replace(base, d_model=width) for width in widths}
        sweep("Widths, 8,192 tokens, 50 k", cases, arguments)
    elif name == "vocabularies":
        cases = {label: replace(base, vocabulary=each) for each, label in NAMES.items()}
        sweep("Vocabularies, 8,192 tokens, d = 768", cases, arguments)
    else:
        if name == "even":
            base = replace(base, text=EVEN)
        counts = (16, 8192) if arguments.quick else (16, 128, 1024, 8192, 65_536)
        cases = {f"{count:,}": replace(base, tokens=count) for count in counts}
        drawn = {"text": f"Tokens of {Path(base.text).name}", "even": "Tokens drawn evenly"}[name]
        found = sweep(f"{drawn}, d = 768, 50 k", cases, arguments)
        if base.device == "cpu":
            verdict(drawn, found)


def memory(base: Case, markdown: bool) -> None:
    """Print how much memory a call of the base case takes."""
    peaks = [peak_bytes(base, training=training) for training in (False, True)]
    rows = [
        [name, *(f"{peak[name] / 1e6:.1f}" if name in peak else "–" for peak in peaks)]
        for name in peaks[0]
    ]
    heading = f"{HEADING[markdown]}Peak memory of a call at the centre, MB"
    show(heading, ["", "forward", "forward and backward"], rows, markdown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only the base case and 16 tokens")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="default: all")
    parser.add_argument("--text", default=MANUAL, help=f"a text file; default: {MANUAL}")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: by device")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds for each column")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if device.type == "cuda" else "float32"))
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"{machine(device)}, {str(dtype).removeprefix('torch.')}, torch {torch.__version__}, {load}"
    )
    base = Case(device=arguments.device, dtype=dtype, text=arguments.text)
    for name in TABLES:
        if name in arguments.tables and not (
            arguments.quick and name in ("widths", "vocabularies")
        ):
            report(name, base, arguments)
    if device.type == "cuda":
        cases = {"8,192 tokens": base, "65,536": replace(base, tokens=65_536)}
        cases["8,192 drawn evenly"] = replace(base, text=EVEN)
        encoder_gpu.report(cases, contestants(base, training=False)[0], arguments.markdown)


if __name__ == "__main__":
    main()
