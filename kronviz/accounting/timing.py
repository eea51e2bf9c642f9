"""Measures the time that an embedding takes, on the machine at hand.

Notable:

- All contestants embed the same ids in the same run, in turn, round after round, so that other load
  on the machine slows all of them. A turn is several calls, because the previous contestant has
  evicted the caches; a contestant's time is the median of all its calls.
- Ids are drawn with the frequencies of text: rank r of a vocabulary about as often as 1/r (Zipf).
  Calls cycle through several batches, because no server embeds the same batch twice.
- On a GPU, events measure the time on the device.
"""

from __future__ import annotations

import itertools
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kronviz.accounting import DTYPES, CostSettings, read_vocabulary
from kronviz.embedding import KroneckerEmbedding
from kronviz.predictor import InputError
from kronviz.progress import Progress, tell
from kronviz.settings import check, narrowed, setting
from kronviz.tokenizer import TokenBytes, load_tokenizer

MAX_BYTES = 800_000_000
"""Most memory that a measurement allocates, in bytes."""
COPIES = 4
"""Most float32 arrays of the size of a call's result that a contestant needs at once."""
TURN = 0.02
"""Seconds of a contestant's turn; a call that takes longer is a turn of its own."""
BATCHES = 8
"""Batches of ids that the calls cycle through."""
CACHED = "cached"
ENCODERS = ("fused", CACHED, "reference")
Call = Callable[[], object]


@dataclass(frozen=True)
class MeasureSettings(CostSettings):
    """The settings of a measurement."""

    pos_dim: int = narrowed(CostSettings, "pos_dim", high=64)
    d_model: int = narrowed(CostSettings, "d_model", high=8192)
    tokens: int = setting(1024, "How many tokens each call embeds", low=1, high=65_536)


@dataclass(frozen=True)
class Timing:
    """How long one contestant took.

    Attributes:
        name: what was timed.
        milliseconds: median over all calls.
        fastest, slowest: the shortest and the longest call, in milliseconds.
        ratio: the median divided by that of the first contestant.
    """

    name: str
    milliseconds: float
    fastest: float
    slowest: float
    ratio: float


@dataclass(frozen=True)
class Measurement:
    """A measurement on one machine.

    Attributes:
        machine: processor or GPU, and threads.
        tokens: ids embedded by each call.
        timings: the learned table first.
        calls: number of calls of the contestant with the fewest.
        notes: a sentence for each contestant that was left out.
        seconds: how long the whole measurement took.
    """

    machine: str
    n_vocab: int
    pos_dim: int
    d_model: int
    dtype: str
    tokens: int
    timings: tuple[Timing, ...]
    calls: int
    notes: tuple[str, ...]
    seconds: float


def measure(
    vocabulary: str | int = MeasureSettings.vocabulary,
    pos_dim: int = MeasureSettings.pos_dim,
    d_model: int = MeasureSettings.d_model,
    dtype: str = MeasureSettings.dtype,
    tokens: int = MeasureSettings.tokens,
    seconds: float = 2.0,
    progress: Progress | None = None,
) -> Measurement:
    """Time a learned table and kron's encoders for inference, on CUDA if there is a GPU.

    Args:
        vocabulary: as for `accounting.input_cost`, but at most as many tokens as o200k has.
        pos_dim, d_model, dtype, tokens: see `MeasureSettings`.
        seconds: about how long to measure.
        progress: called before each turn.

    Raises:
        InputError: an argument is out of range, or it would take too much memory.
        Stopped: the measurement should not go on.
    """
    started = time.perf_counter()
    name, count = read_vocabulary(vocabulary)
    asked = MeasureSettings(str(vocabulary), pos_dim, d_model, dtype, tokens)
    check(asked)
    pos_dim, d_model, dtype, tokens = asked.pos_dim, asked.d_model, asked.dtype, asked.tokens
    known = load_tokenizer(name).vocabulary
    if count > len(known):
        raise InputError(f"Only {len(known):,} tokens have bytes to measure with; ask for fewer.")
    table, projection = (rows * d_model * DTYPES[dtype] for rows in (count, 256 * pos_dim))
    size = table + len(ENCODERS) * projection + COPIES * tokens * d_model * 4
    if size > MAX_BYTES:
        raise InputError(
            f"A table of {count:,} × {d_model:,} in {dtype}, {len(ENCODERS)} projections of "
            f"{256 * pos_dim:,} rows and calls of {tokens:,} tokens take {size / 1e9:.2f} GB; the "
            f"limit here is {MAX_BYTES / 1e9:.2f} GB. Ask for less of them."
        )
    encoders = [name for name in ENCODERS if name != CACHED or size + table <= MAX_BYTES]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    number = getattr(torch, dtype)
    words = known if count == len(known) else TokenBytes.of([known[i] for i in range(count)])
    batches = [zipf_ids(count, tokens, seed).to(device) for seed in range(BATCHES)]
    contestants, notes = _contestants(words, pos_dim, d_model, number, device, encoders, progress)
    with torch.inference_mode():
        for call in contestants.values():
            tell(progress, 0)
            call(batches[0])
        spent = time.perf_counter() - started
        times = rounds(
            {label: going_through(batches, call) for label, call in contestants.items()},
            seconds=max(seconds - spent, 0.3),
            device=device,
            progress=progress,
        )
    return Measurement(
        machine=machine(device),
        n_vocab=count,
        pos_dim=pos_dim,
        d_model=d_model,
        dtype=dtype,
        tokens=tokens,
        timings=summarise(times),
        calls=min(map(len, times.values())),
        notes=notes,
        seconds=time.perf_counter() - started,
    )


def _contestants(
    words: TokenBytes,
    pos_dim: int,
    d_model: int,
    dtype: torch.dtype,
    device: torch.device,
    encoders: Sequence[str],
    progress: Progress | None,
) -> tuple[dict[str, Callable[[Tensor], Tensor]], tuple[str, ...]]:
    # Filled with ones: memory never written to would be a single physical page of zeros.
    table = nn.Embedding(len(words), d_model, _weight=torch.ones(len(words), d_model, dtype=dtype))
    contestants: dict[str, Callable[[Tensor], Tensor]] = {"table": table.to(device)}
    notes = [
        f"{name} is left out: with it this would take more than {MAX_BYTES / 1e9:.2f} GB."
        for name in ENCODERS
        if name not in encoders
    ]
    for encoder in encoders:
        tell(progress, 0)
        kron = KroneckerEmbedding(words, d_model, pos_dim, encoder).eval().to(device, dtype)
        try:
            kron.warm_up()
            contestants[f"kron, {encoder}"] = kron
        except ImportError as error:
            notes.append(f"{encoder} is left out: {error}.")
    return contestants, tuple(notes)


def rounds(
    calls: Mapping[str, Call],
    *,
    seconds: float,
    device: torch.device,
    most: int = 1000,
    progress: Progress | None = None,
) -> dict[str, list[float]]:
    """Time calls in turn, over and over; return the sorted milliseconds of each.

    Args:
        calls: what to time, by name; each must have been called once, to warm up.
        seconds: stop after this long, but not before each has had three turns.
        most: stop after this many calls of each.
        progress: called before each turn.

    Raises:
        Stopped: the measurement should not go on.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    deadline = time.perf_counter() + seconds
    turns = 0
    while (turns < 3 or time.perf_counter() < deadline) and min(map(len, times.values())) < most:
        for name, call in calls.items():
            tell(progress, 0)
            ended = time.perf_counter() + TURN
            times[name].append(_milliseconds(call, device))
            while time.perf_counter() < ended and len(times[name]) < most:
                times[name].append(_milliseconds(call, device))
        turns += 1
    return {name: sorted(taken) for name, taken in times.items()}


def going_through(batches: Sequence[Tensor], call: Callable[[Tensor], object]) -> Call:
    """Return a call that passes the next batch each time, starting over after the last."""
    endless = itertools.cycle(batches)
    return lambda: call(next(endless))


def _milliseconds(call: Call, device: torch.device) -> float:
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def summarise(times: Mapping[str, list[float]]) -> tuple[Timing, ...]:
    """Return the medians and ratios of the times that `rounds` returned, in its order."""
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    first = next(iter(medians.values()))
    return tuple(
        Timing(name, medians[name], taken[0], taken[-1], medians[name] / max(first, 1e-9))
        for name, taken in times.items()
    )


def zipf_ids(n_vocab: int, tokens: int, seed: int = 0) -> Tensor:
    """Draw ids with about the frequencies of text: id r with a probability ∝ ``1 / (r + 1)``.

    Byte-pair ids are ranks of merges, and frequent tokens are merged early.
    """
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(tokens, generator=generator, dtype=torch.float64)
    return ((n_vocab + 1) ** uniform - 1).long().clamp(max=n_vocab - 1)


VECTORS = {"AVX2": " (AVX2)", "AVX512": " (AVX-512)"}
"""By PyTorch's names; processors of one name may or may not have the wider ones."""


def machine(device: torch.device | None = None) -> str:
    """Return the processor's or GPU's own name, its vector instructions, and how many threads
    compute on it.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    vectors = VECTORS.get(torch.backends.cpu.get_cpu_capability(), "")
    return f"{_processor()}{vectors}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine() or "unknown processor"
