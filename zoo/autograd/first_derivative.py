"""A backward pass that cannot be differentiated again, and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError

Gradients = tuple[Tensor | None, ...]
# The `ctx` of a `torch.autograd.Function`: torch's stubs know no type that both of its passes can use.
Context = Any


def first_derivative(compute: Callable[..., Gradients], *arguments: object) -> Gradients:
    """Runs a backward pass that has no derivative of its own, because it writes in place.

    torch's `once_differentiable` does the same for `torch.autograd.grad`, but not for `torch.func`.

    Args:
        compute: computes the gradients from `arguments`; it may write into tensors that it has made itself.
        arguments: tensors and plain values.

    Returns:
        What `compute` returns.

    Raises:
        ZooError: when a second derivative is computed.
    """
    gradients: Gradients = _FirstDerivative.apply(compute, *arguments)
    return gradients


class _FirstDerivative(torch.autograd.Function):
    @staticmethod
    def forward(compute: Callable[..., Gradients], *arguments: object) -> Gradients:
        return compute(*arguments)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[object, ...], output: Gradients) -> None:
        pass

    @staticmethod
    def backward(ctx: Context, *grads: Tensor | None) -> Gradients:
        raise ZooError("second derivatives do not go through a gradient written by hand: leave create_graph=True out")
