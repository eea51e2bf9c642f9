"""Several implementations of the same embedding, and the choice between them.

- `codes`: which rows are added up: Kronecker cells or hashed n-grams.
- `plain`: ordinary PyTorch operations, on any device. The others are tested against it.
- `cpu` (numba loops) and `gpu` (Triton kernels): fused, one pass from ids to vectors.
- `operator`: the fused paths as one registered PyTorch operator with its derivatives.
- `traceable`: ordinary PyTorch operations with static shapes, for transforms and exports.

A `RowSumEmbedding` is created with the name of an encoder; `is_fused` says whether that encoder is
fused on a given device.
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
"""For each device type: the module of its fused encoder, and the package that it needs."""


def is_recording(device: torch.device) -> bool:
    """Return whether a CUDA graph is being captured on a device.

    Tensors made during capture live in memory that the graph overwrites, so nothing may cache them.
    """
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def is_traced() -> bool:
    """Return whether the operations are being traced, so that a fused kernel would hide them.

    This is the case under `torch.func` transforms, in forward-mode differentiation, and while a
    program is exported.
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
    """Return a function that tells whether samples of a projection changed; see `cpu.sampled`."""
    if weight.device.type != "cpu" or _missing("cpu"):
        return _never
    from kronviz.encoders import cpu

    return cpu.sampled(weight)


def _never() -> bool:
    return False


def unknown_id(token: int, known: int) -> IndexError:
    """Return the error for an id outside a vocabulary of ``known`` tokens."""
    return IndexError(f"ids hold {token}; this vocabulary has ids 0 … {known - 1}")


def check_name(encoder: str) -> None:
    """Raise `ValueError` unless ``encoder`` is one of `ENCODERS`."""
    if encoder not in ENCODERS:
        raise ValueError(f"encoder is {encoder!r}; it must be one of {', '.join(ENCODERS)}")


def is_fused(encoder: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether an encoder runs a fused kernel on a device, rather than plain PyTorch.

    Half precision on a CPU always runs in plain PyTorch.

    Raises:
        ImportError: the encoder is ``fused`` and the package it needs on this device is missing.
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
    """Return why a device type has no fused encoder; empty if it has one."""
    # A separate function: torch.compile would trace through the cache into the imports.
    return _import_fused(device_type)


# Same effect as `torch.compiler.assume_constant_result`, which would import the whole compiler and
# add a second to every start.
_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _import_fused(device_type: str) -> str:
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
