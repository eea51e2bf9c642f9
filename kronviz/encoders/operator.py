"""The fused encoders as one PyTorch operator, ``kronviz::encode``, with its derivative.

Notable:

- It is registered, so that `torch.compile` and `torch.export` treat it as one node without a graph
  break, and know the shape of its result without running it.
- The projection is the one argument with derivatives, of any order. Centring is its own adjoint:
  the gradient is each cell's sum of scaled gradients, minus the mean of these sums over all cells.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from kronviz.encoders.codes import Code, n_rows
from kronviz.encoders.watched import Watched

PLAIN = (Tensor, nn.Parameter, Watched)
_ARGUMENTS = "Tensor ids, Tensor data, Tensor offsets, int[] code"


@torch.library.custom_op(
    "kronviz::encode",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema=f"(Tensor weight, Tensor? mean, {_ARGUMENTS}) -> Tensor",
)
def encode(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> Tensor:
    """Embed ids; arguments, result and errors as for `plain.encode`."""
    return _module(weight).encode(weight, mean, ids, data, offsets, code)


def prepare(
    weight: Tensor, mean: Tensor | None, data: Tensor, offsets: Tensor, code: Code
) -> Callable[[Tensor], Tensor]:
    """Return a function that embeds ids; given a mean, it has no derivatives.

    Ordinary tensors bypass PyTorch's dispatcher, which takes longer than embedding one sentence.
    """
    if not is_ordinary(weight):
        return lambda ids: encode(weight, mean, ids, data, offsets, code)
    if mean is None:
        return lambda ids: _Direct.apply(weight, ids, data, offsets, code)
    return _module(weight).prepare(weight, mean, data, offsets, code)


def is_ordinary(weight: Tensor) -> bool:
    """Return whether nothing intercepts the operations on a tensor."""
    return (
        type(weight) in PLAIN
        and not torch.compiler.is_compiling()
        # Fake tensors, tracers, counters of operations, selective checkpointing.
        and not torch._C._len_torch_dispatch_stack()
    )


class _Direct(torch.autograd.Function):
    """`encode` with its derivatives, bypassing the dispatcher.

    ``forward`` takes ``ctx``: without it (the style with ``setup_context``) PyTorch inspects the
    signature at every call.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, weight: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
    ) -> Tensor:
        ctx.save_for_backward(ids, data, offsets)
        ctx.code = code
        return _module(weight).encode(weight, None, ids, data, offsets, code)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:  # type: ignore[override]
        return _Adjoint.apply(grad, *ctx.saved_tensors, ctx.code), None, None, None, None


class _Adjoint(torch.autograd.Function):
    """`encode_backward`, bypassing the dispatcher. Its derivative is `encode`, which is linear."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
    ) -> Tensor:
        ctx.save_for_backward(ids, data, offsets)
        ctx.code = code
        return _module(grad).backward(grad, ids, data, offsets, code)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:  # type: ignore[override]
        return _Direct.apply(grad, *ctx.saved_tensors, ctx.code), None, None, None, None


def _module(tensor: Tensor) -> ModuleType:
    """Return the encoder of a tensor's device."""
    if tensor.device.type == "cpu":
        from kronviz.encoders import cpu as module
    else:
        from kronviz.encoders import gpu as module  # type: ignore[no-redef]
    return module


@torch.library.custom_op(
    "kronviz::encode_backward",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema=f"(Tensor grad, {_ARGUMENTS}) -> Tensor",
)
def encode_backward(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code) -> Tensor:
    """Return the gradient of the projection, ``(D, d_model)``, in the type of ``grad``."""
    return _module(grad).backward(grad, ids, data, offsets, code)


@encode.register_fake
def _(
    weight: Tensor, mean: Tensor | None, ids: Tensor, data: Tensor, offsets: Tensor, code: Code
) -> Tensor:
    return weight.new_empty(ids.numel(), weight.shape[1])


@encode_backward.register_fake
def _(grad: Tensor, ids: Tensor, data: Tensor, offsets: Tensor, code: Code) -> Tensor:
    return grad.new_empty(n_rows(code), grad.shape[1])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *_, ids, data, offsets, ctx.code = inputs
    ctx.save_for_backward(ids, data, offsets)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    return encode_backward(grad, *ctx.saved_tensors, ctx.code), None, None, None, None, None


def _backward_of_backward(ctx: Any, grad: Tensor) -> tuple:
    return encode(grad, None, *ctx.saved_tensors, ctx.code), None, None, None, None


encode.register_autograd(_backward, setup_context=_setup)
encode_backward.register_autograd(_backward_of_backward, setup_context=_setup)


@encode.register_vmap
def _(info: Any, in_dims: tuple, *arguments: Any) -> tuple[Tensor, int]:
    return _one_by_one(encode, info, in_dims, arguments)


@encode_backward.register_vmap
def _(info: Any, in_dims: tuple, *arguments: Any) -> tuple[Tensor, int]:
    return _one_by_one(encode_backward, info, in_dims, arguments)


def _one_by_one(operator: Any, info: Any, in_dims: tuple, arguments: tuple) -> tuple[Tensor, int]:
    """Run an operator on each member of a batch."""
    results = [
        operator(
            *(
                argument if dim is None else argument.select(dim, number)
                for argument, dim in zip(arguments, in_dims, strict=True)
            )
        )
        for number in range(info.batch_size)
    ]
    return torch.stack(results), 0
