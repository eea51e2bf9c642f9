"""Reads texts on a GPU in fixed batch shapes, each captured once as a CUDA graph and then replayed.

Notable:

- People type a few dozen tokens. A small model reads them in hundreds of kernels of a few
  microseconds each, and launching these from Python takes longer than running them. A graph
  launches all of them at once.
- A graph has one shape. Batches are padded to a power of two in rows and in tokens, which costs a
  GPU nothing at these sizes; there are a few dozen such shapes, captured when first needed.
- `torch.compile` would fuse more, but needs a compiler and a minute before the first answer.
- On a CPU padding costs its full share and launching is cheap, so `prefixes` is used there.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kronviz.model import GPT, Reading, right_padded

log = logging.getLogger(__name__)

ROWS, SHORTEST = 128, 16
"""Most texts in a captured batch, and the fewest tokens that texts are padded to."""
WARM_UP = 3
"""Passes before capture, which compile kernels and fill the allocator's cache."""
Pass = Callable[[], Reading]


@dataclass(frozen=True)
class _Recording:
    """A captured pass over one shape: its inputs, ``(rows, time)`` and ``(rows,)``, and a function
    that replays it.
    """

    ids: Tensor
    last: Tensor
    run: Pass


class GraphReader:
    """Reads texts like `GPT.read`, through graphs. Any number of threads may call it.

    Args:
        model: on a CUDA device, in evaluation mode; its weights must not change or move.
        record: captures a pass and returns a function that replays it.
    """

    def __init__(self, model: GPT, record: Callable[[Pass], Pass] | None = None):
        self.model = model
        self._record = record or CudaRecorder()
        self._recordings: dict[tuple[int, int], _Recording] = {}
        self._works = True
        # All shapes share memory, so only one can be read at a time.
        self._lock = threading.Lock()

    @torch.inference_mode()
    def read(self, texts: Sequence[Sequence[int]]) -> Reading:
        """Read texts; arguments and result as for `GPT.read`."""
        longest = max(map(len, texts))
        if len(texts) > ROWS or not self._works:
            return self.model.read(texts)
        rows, time = fixed_shape(len(texts), longest, self.model.config.n_ctx)
        ids, last = right_padded(texts, rows, time)
        with self._lock:
            recording = self._recordings.get((rows, time)) or self._recorded(rows, time)
            if recording is None:
                return self.model.read(texts)
            recording.ids.copy_(ids)
            recording.last.copy_(last)
            reading = recording.run()
            # Copied, because the next pass of any shape overwrites it.
            logits, final = reading.logits[: len(texts)], reading.final[: len(texts)]
            return Reading(logits.clone(), final.clone())

    def _recorded(self, rows: int, time: int) -> _Recording | None:
        """Capture a shape; `None` if the machine cannot, which is then never tried again."""
        ids = torch.zeros(rows, time, dtype=torch.long, device=self.model.device)
        last = torch.zeros(rows, dtype=torch.long, device=self.model.device)
        try:
            run = self._record(functools.partial(self.model.read_last, ids, last))
        except RuntimeError as error:
            log.warning("cannot capture a CUDA graph (%s); launching kernels one by one", error)
            self._works = False
            return None
        return self._recordings.setdefault((rows, time), _Recording(ids, last, run))


class CudaRecorder:
    """Captures passes as CUDA graphs that share one memory pool."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, once: Pass) -> Pass:
        """Capture a pass; return a function that replays it into the same tensors each time."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                once()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads may use the GPU during the capture.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            reading = once()

        def replay() -> Reading:
            graph.replay()
            return reading

        return replay


def fixed_shape(rows: int, time: int, n_ctx: int) -> tuple[int, int]:
    """Return the shape that a batch is padded to: powers of two, and at most ``n_ctx`` tokens."""
    return _power_of_two(rows), min(max(_power_of_two(time), SHORTEST), n_ctx)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
