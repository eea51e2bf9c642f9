"""Launches Triton kernels through a cache that is cheaper than Triton's own.

At every launch Triton inspects each argument to choose a compiled kernel, which takes longer than
the launch itself. This cache looks the kernel up by types, constants and device alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ALIGNMENT = 16
"""Bytes. Cached kernels were compiled for pointers that are multiples of this."""
_compiled: dict[tuple, Any] = {}


def launch(
    kernel: Any,
    grid: tuple[int, int, int],
    tensors: tuple[Tensor, ...],
    numbers: tuple[int, ...],
    constants: tuple,
    *,
    warps: int = 1,
) -> None:
    """Run ``kernel[grid](*tensors, *numbers, *constants)`` on the tensors' GPU.

    Args:
        numbers: integers whose values the kernel is not specialised for.
        constants: the kernel's compile-time constants, in its order.
        warps: warps in a program.
    """
    device = tensors[0].device
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        # Triton launches on the current device.
        with torch.cuda.device(device):
            return launch(kernel, grid, tensors, numbers, constants, warps=warps)
    key = kernel, warps, constants, device, tuple([tensor.dtype for tensor in tensors])
    aligned = not any(tensor.data_ptr() % ALIGNMENT for tensor in tensors)
    compiled = _compiled.get(key) if aligned else None
    if compiled is not None:
        return compiled[grid](*tensors, *numbers, *constants)
    compiled = kernel[grid](*tensors, *numbers, *constants, num_warps=warps)
    # The interpreter compiles nothing.
    if compiled is not None and aligned:
        _compiled[key] = compiled
