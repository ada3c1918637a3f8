"""A derivative that cannot be differentiated again, and says so."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.errors import ZooError


def first_derivative(
    compute: Callable[..., tuple[Tensor | None, ...]], *arguments: object
) -> tuple[Tensor | None, ...]:
    """Computes the gradients of a backward pass that writes in place, and so has no derivative of its own.

    torch's `once_differentiable` does the same for `torch.autograd.grad`, but not for `torch.func`.

    Args:
        compute: makes the gradients from `arguments`; it may write into tensors that it has made itself.
        arguments: tensors and plain values.

    Raises:
        ZooError: in the backward pass, where a second derivative is asked for.
    """
    return _FirstDerivative.apply(compute, *arguments)


class _FirstDerivative(torch.autograd.Function):
    @staticmethod
    def forward(compute: Callable[..., tuple[Tensor | None, ...]], *arguments: object) -> tuple[Tensor | None, ...]:
        return compute(*arguments)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple) -> None:
        pass

    @staticmethod
    def backward(ctx, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        raise ZooError("second derivatives do not go through a gradient written by hand: leave create_graph=True out")
