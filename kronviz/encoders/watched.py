"""A projection in evaluation mode, whose changes are all seen.

Notable:

- What follows from a projection may be kept only until the projection changes. PyTorch counts what
  is written to a tensor, but not through its ``data``: each access makes a tensor with a count of
  its own. Averages of weights are commonly written that way. A `Watched` parameter hands out
  tensors that share one count.
- A parameter becomes one by changing its class, and an ordinary one again before it is trained:
  PyTorch's optimizers have faster ways for parameters of exactly that class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_DATA = torch.Tensor.data
State = tuple[Any, ...]


class Watched(nn.Parameter):
    """A parameter that counts what is written through ``data``, too."""

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """Return a tensor with this one's memory, for writes that autograd does not see."""
        return _shared(self).detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self.__dict__.pop("_shared", None)
        _DATA.__set__(self, value)  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any] | None:
        """Return attributes that others gave it: it is pickled as an ordinary parameter."""
        return {k: v for k, v in self.__dict__.items() if k != "_shared"} or None


def give(parameter: Tensor) -> None:
    """Mark a parameter that a module was given in the ordinary way."""
    parameter._kronviz_given = True  # type: ignore[attr-defined]


def is_given(parameter: Tensor) -> bool:
    """Return whether a module was given this parameter in the ordinary way."""
    return getattr(parameter, "_kronviz_given", False)


def can_watch(parameter: Tensor) -> bool:
    """Return whether all changes of a tensor can be seen from within this process."""
    if type(parameter) not in (nn.Parameter, Watched) or parameter.is_inference():
        return False
    return not (parameter.device.type == "cpu" and parameter.is_shared())


def watch(parameter: Tensor) -> None:
    """Make an ordinary parameter a `Watched` one."""
    if type(parameter) is nn.Parameter:
        parameter.__class__ = Watched


def release(parameter: Tensor | None) -> None:
    """Make a `Watched` parameter an ordinary one."""
    if type(parameter) is Watched:
        parameter.__dict__.pop("_shared", None)
        parameter.__class__ = nn.Parameter  # type: ignore[assignment]


def state(parameter: Tensor) -> State:
    """Return what is another thing as soon as the parameter was written to."""
    shared = _shared(parameter)
    return parameter, parameter.data_ptr(), parameter._version, shared, shared._version


def unchanged(parameter: Tensor, state: State, changed: Callable[[], bool]) -> bool:
    """Return whether a parameter is as it was when its state was taken.

    Args:
        changed: looks for changes that no count shows.
    """
    if parameter is not state[0] or type(parameter) is not Watched:
        return False
    shared = parameter.__dict__.get("_shared")
    return (
        shared is state[3]
        and shared._version == state[4]  # type: ignore[union-attr]
        and parameter._version == state[2]
        and parameter.data_ptr() == state[1]
        and not changed()
    )


def _shared(parameter: Tensor) -> Tensor:
    shared = parameter.__dict__.get("_shared")
    if shared is None:
        shared = parameter.__dict__["_shared"] = _DATA.__get__(parameter)  # type: ignore[attr-defined]
    return shared
