"""Reading on a GPU: fixed batch shapes, each recorded once as a CUDA graph and then replayed.

Notable:

- What a person types is a few dozen tokens. A small model reads them in microseconds a kernel, and
  has hundreds of kernels: starting them one by one from Python takes longer than running them. A
  graph starts them all at once.
- A graph has one shape. Batches are padded up to a power of two in rows and in tokens, which costs
  a GPU nothing at these sizes; there are some dozens of such shapes, recorded when first needed.
- `torch.compile` would fuse more, but takes a compiler and a minute before the first answer.
- On a CPU padding is paid for in full and starting a kernel is cheap: `GPT.read` is better there.
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
"""Most texts of a recorded batch, and tokens of the shortest."""
WARM_UP = 3
"""Passes before recording: they compile kernels and settle the allocator."""
Pass = Callable[[], Reading]


@dataclass(frozen=True)
class _Recording:
    """A pass over one shape: what it reads, ``(rows, time)`` and ``(rows,)``, and how to run it."""

    ids: Tensor
    last: Tensor
    run: Pass


class GraphReader:
    """Reads as `GPT.read` does, by graphs. Any number of threads may ask.

    Args:
        model: on a CUDA device, in evaluation mode; its weights must stay what and where they are.
        record: makes a pass that can be run again and again from one that can be run once.
    """

    def __init__(self, model: GPT, record: Callable[[Pass], Pass] | None = None):
        self.model = model
        self._record = record or CudaRecorder()
        self._recordings: dict[tuple[int, int], _Recording] = {}
        self._works = True
        # Shapes share memory, so that one is read at a time.
        self._lock = threading.Lock()

    @torch.inference_mode()
    def read(self, texts: Sequence[Sequence[int]]) -> Reading:
        """Return what is at the last token of each text; arguments and result as for `GPT.read`."""
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
            made = recording.run()
            # The next pass of any shape writes over it.
            return Reading(made.logits[: len(texts)].clone(), made.final[: len(texts)].clone())

    def _recorded(self, rows: int, time: int) -> _Recording | None:
        """Record a shape; `None`, once and for all, where the machine cannot."""
        ids = torch.zeros(rows, time, dtype=torch.long, device=self.model.device)
        last = torch.zeros(rows, dtype=torch.long, device=self.model.device)
        try:
            run = self._record(functools.partial(self.model.read_last, ids, last))
        except RuntimeError as error:
            log.warning("no CUDA graph can be recorded (%s); kernels are started one by one", error)
            self._works = False
            return None
        return self._recordings.setdefault((rows, time), _Recording(ids, last, run))


class CudaRecorder:
    """Records passes as CUDA graphs that share one pool of memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, once: Pass) -> Pass:
        """Record a pass; running it replays the graph and gives the same tensors each time."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                once()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile: only what this one does is recorded.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            made = once()

        def replay() -> Reading:
            graph.replay()
            return made

        return replay


def fixed_shape(rows: int, time: int, n_ctx: int) -> tuple[int, int]:
    """Return the shape that a batch of texts is padded to: powers of two, the tokens at most
    ``n_ctx``.
    """
    return _power_of_two(rows), min(max(_power_of_two(time), SHORTEST), n_ctx)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
