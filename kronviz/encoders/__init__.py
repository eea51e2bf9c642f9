"""Ways to compute one and the same embedding, and the choice between them.

- `codes`: which rows are added up, of positions or of n-grams.
- `plain`: PyTorch's own operations, on any device. The reference of the others.
- `cpu` (numba loops) and `gpu` (Triton kernels): fused, one pass from ids to vectors.
- `operator`: the fused paths as one registered PyTorch operator with its derivatives.
- `traceable`: PyTorch's operations again, in fixed shapes, for transforms and exports.

`RowSumEmbedding` is given the name of an encoder once; `is_fused` says what that means on a device.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

log = logging.getLogger(__name__)

ENCODERS = ("auto", "fused", "cached", "reference")
NEEDS = {"cpu": ("cpu", "numba"), "cuda": ("gpu", "triton")}
"""For a type of device: the module of its fused encoder, and the package that this stands on."""


def is_recording(device: torch.device) -> bool:
    """Return whether what runs on a device now is recorded as a CUDA graph.

    What is made then is in memory that the graph writes over: nobody else may keep it.
    """
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def is_traced() -> bool:
    """Return whether operations themselves are wanted, in place of their result.

    So it is under `torch.func` transforms and forward-mode derivatives, and where a program is
    exported to be run elsewhere.
    """
    if torch.compiler.is_compiling():
        return (
            torch.compiler.is_exporting()
            or torch._C._functorch.peek_interpreter_stack() is not None
        )
    return bool(
        torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state()
        or forward_ad._current_level >= 0
    )


def sampled(weight: Tensor) -> Callable[[], bool]:
    """Return a function that says whether samples of a projection have changed; see `cpu`."""
    if weight.device.type != "cpu" or _missing("cpu"):
        return _never
    from kronviz.encoders import cpu

    return cpu.sampled(weight)


def _never() -> bool:
    return False


def unknown_id(token: int, known: int) -> IndexError:
    """Return what to say about an id that a vocabulary of ``known`` tokens does not have."""
    return IndexError(f"ids hold {token}; this vocabulary has ids 0 … {known - 1}")


def check_name(encoder: str) -> None:
    """Raise `ValueError` unless there is such an encoder."""
    if encoder not in ENCODERS:
        raise ValueError(f"encoder is {encoder!r}; it must be one of {', '.join(ENCODERS)}")


def is_fused(encoder: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether an encoder computes fused on a device, or in plain PyTorch.

    Half precision on a CPU is always computed the plain way.

    Raises:
        ImportError: the encoder is ``fused`` and what it needs on this device is missing.
    """
    if encoder == "reference" or (device.type == "cpu" and not _has_loops(dtype)):
        return False
    problem = _missing(device.type)
    if problem and encoder == "fused":
        raise ImportError(problem)
    return not problem


def _has_loops(dtype: torch.dtype) -> bool:
    return dtype in (torch.float32, torch.float64)


def _missing(device_type: str) -> str:
    """Return why there is no fused encoder for a type of device; empty if there is one."""
    # A function of its own: the compiler would look through the cache and into the imports.
    return _look_for(device_type)


# What `torch.compiler.assume_constant_result` does, but for importing the whole compiler: a second
# of every start.
_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _look_for(device_type: str) -> str:
    if device_type not in NEEDS:
        problem = f"there is no fused encoder for the device {device_type!r}"
    else:
        module, package = NEEDS[device_type]
        try:
            importlib.import_module(f"kronviz.encoders.{module}")
            return ""
        except ImportError as error:
            problem = f"the fused encoder on {device_type!r} needs {package} ({error})"
    log.warning("%s; embeddings are computed in plain PyTorch", problem)
    return problem
