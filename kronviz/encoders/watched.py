"""`Watched`: a parameter that counts every write, so that results can be cached in evaluation.

Notable:

- Whatever is computed from a projection may be cached only until the projection changes. PyTorch
  counts the writes to a tensor, but not those through its ``data``, because each access returns a
  tensor with a new counter; averages of weights are commonly written that way. The tensors that a
  `Watched` parameter returns share one counter.
- A parameter becomes `Watched` by a change of its class, and is changed back before it is trained:
  PyTorch's optimizers are faster for parameters of exactly the class `nn.Parameter`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_DATA = torch.Tensor.data
State = tuple[Any, ...]


class Watched(nn.Parameter):
    """A parameter that also counts writes through ``data``."""

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """Return a tensor with this one's memory, for writes that autograd does not see."""
        return _shared(self).detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self.__dict__.pop("_shared", None)
        _DATA.__set__(self, value)  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any] | None:
        """Return the attributes that others set: it is pickled as an ordinary parameter."""
        return {k: v for k, v in self.__dict__.items() if k != "_shared"} or None


def give(parameter: Tensor) -> None:
    """Mark a parameter as registered through `nn.Module`, not put in place behind its back."""
    parameter._kronviz_given = True  # type: ignore[attr-defined]


def is_given(parameter: Tensor) -> bool:
    """Return whether `give` marked this parameter."""
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
    """Return a snapshot by which `unchanged` recognises a write to the parameter."""
    shared = _shared(parameter)
    return parameter, parameter.data_ptr(), parameter._version, shared, shared._version


def unchanged(parameter: Tensor, state: State, changed: Callable[[], bool]) -> bool:
    """Return whether a parameter is unchanged since ``state`` was taken.

    Args:
        changed: detects changes that no counter shows.
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
