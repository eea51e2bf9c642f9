"""Launching a Triton kernel again without what Triton does to find it.

For every launch Triton looks at each argument to tell which compiled kernel it needs, which takes
longer than the launch. A kernel that is launched again in the same way is found by less here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ALIGNMENT = 16
"""Bytes: what is kept was compiled for pointers that are multiples of this."""
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
        numbers: integers, for whose values the kernel is not specialised.
        constants: the kernel's compile-time constants, in its order.
        warps: of a program.
    """
    device = tensors[0].device
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        # Triton launches on the current one.
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
