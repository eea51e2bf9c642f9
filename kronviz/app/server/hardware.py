"""Where the app computes: on CUDA where there is one for good, else on the CPU.

ZeroGPU lends a GPU for the length of one call, after a wait: longer than these models take on a
CPU, and never for a batch of many visitors. There the app answers on the CPU, and names the one
function that a Space of that kind has to name; ``spaces`` is imported nowhere else.
"""

from __future__ import annotations

import importlib.util
import os

import torch


def device() -> torch.device:
    """Return the device for all pairs."""
    if lent_by_the_call():
        _name_a_function()
        return torch.device("cpu")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def lent_by_the_call() -> bool:
    """Return whether this is a Space whose GPU is lent call by call."""
    return bool(os.environ.get("SPACES_ZERO_GPU")) and bool(importlib.util.find_spec("spaces"))


def _name_a_function() -> None:
    import spaces

    @spaces.GPU
    def gpu_name() -> str:
        """Return what the lent GPU is called."""
        return torch.cuda.get_device_name()
