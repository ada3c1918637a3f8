"""The gradient of the recurrent weights of a loop over time steps, in one product over all steps.

Autograd would add a matrix `(G, O)` to the gradient at every step. Instead, the loop multiplies by detached weights,
and two identity functions compute their gradient: `LoopInput`, before the loop, and `LoopOutput`, after it. The
gradient is a product of two factors. `LoopInput` gets the first one from autograd: the gradient of what is added to the
gates at each step. The second one, the hidden states, is known to `LoopOutput`, whose backward pass runs first and
hands them over in `HiddenStates`.

Shapes: D directions, B rows, T time steps, O outputs, G gates times hidden units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.autograd.first_derivative import Context, Gradients, first_derivative


class HiddenStates:
    """Hands the hidden states from the backward pass of `LoopOutput` to that of `LoopInput`."""

    def __init__(self) -> None:
        self._states: list[Tensor] = []

    def put(self, states: Tensor) -> None:
        """Stores `(D, T, B, O)`, what was multiplied by the recurrent weights at each step."""
        self._states = [states]

    def take(self) -> Tensor:
        """The stored states, which are not kept in memory any longer."""
        return self._states.pop()


class LoopInput(torch.autograd.Function):
    """The identity on what is added to the gates at each step, `(D, T, B, G)`; `weight (D, G, O)` gets its gradient."""

    @staticmethod
    def forward(added: Tensor, weight: Tensor, hidden: HiddenStates) -> Tensor:
        return added.view_as(added)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, Tensor, HiddenStates], output: Tensor) -> None:
        ctx.hidden = inputs[2]

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        hidden = ctx.hidden.take().to(grad.dtype)  # (D, T, B, O)
        if not ctx.needs_input_grad[1]:
            return grad, None, None
        return grad, grad.flatten(1, 2).transpose(1, 2) @ hidden.flatten(1, 2), None


class LoopOutput(torch.autograd.Function):
    """The identity on all states of a loop, `(D, B, T, *)` each, the hidden ones first.

    A second derivative is refused: it would lack what goes through the detached weights.
    """

    @staticmethod
    def forward(hidden: HiddenStates, start: Tensor, keep: Tensor | None, *parts: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.view_as(part) for part in parts)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.hidden, start, keep, after, *_ = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(start, keep, after)

    @staticmethod
    def backward(ctx: Context, *grads: Tensor | None) -> Gradients:
        start, keep, after = ctx.saved_tensors
        before = torch.cat([start[:, None], after.transpose(1, 2)[:, :-1]], dim=1)  # (D, T, B, O)
        ctx.hidden.put(before if keep is None else before * keep[:, None])
        # The states are an argument so that a second derivative is refused even where `grads` are constants.
        return None, None, None, *first_derivative(_unchanged, after, *grads)


def _unchanged(_: Tensor, *grads: Tensor | None) -> Gradients:
    return tuple(None if grad is None else grad.view_as(grad) for grad in grads)
