"""The gradient of the recurrent weights of a loop over time steps: once, in one product over all steps.

Left to autograd, every step of the loop would add its own `(G, O)` matrix to the gradient. Here the loop multiplies
by weights without a gradient. `LoopInput`, before the loop, gives them their gradient: of what they add to the gates at
each step autograd knows the gradient, and of the hidden states that they were multiplied by `LoopOutput`, after the
loop, knows them all. Its backward pass comes first, and hands them over in `HiddenStates`.

Shapes: D directions, B rows, T time steps, O outputs, G gates times hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd.first_derivative import first_derivative


class HiddenStates:
    """Where the backward pass of `LoopOutput` leaves the hidden states for that of `LoopInput`."""

    def __init__(self):
        self._states: Tensor | None = None

    def put(self, states: Tensor) -> None:
        """Leaves `(D, T, B, O)`, what was multiplied at each step."""
        self._states = states

    def take(self) -> Tensor:
        """What was left, once: afterwards nothing keeps it in memory."""
        states, self._states = self._states, None
        return states


class LoopInput(torch.autograd.Function):
    """The identity on what is added to the gates at each step, `(D, T, B, G)`; its backward differentiates `weight`."""

    @staticmethod
    def forward(added: Tensor, weight: Tensor, hidden: HiddenStates) -> Tensor:
        return added.view_as(added)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, HiddenStates], output: Tensor) -> None:
        ctx.hidden = inputs[2]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        hidden = ctx.hidden.take().to(grad.dtype)  # (D, T, B, O)
        if not ctx.needs_input_grad[1]:
            return grad, None, None
        return grad, grad.flatten(1, 2).transpose(1, 2) @ hidden.flatten(1, 2), None


class LoopOutput(torch.autograd.Function):
    """The identity on all states of a loop, `(D, B, T, *)` each, the hidden ones first.

    A second derivative is refused: without the weights in the loop, a part of it would be missing.
    """

    @staticmethod
    def forward(hidden: HiddenStates, start: Tensor, keep: Tensor | None, *parts: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.view_as(part) for part in parts)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        ctx.hidden, start, keep, after, *_ = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(start, keep, after)

    @staticmethod
    def backward(ctx, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        start, keep, after = ctx.saved_tensors
        before = torch.cat([start[:, None], after.transpose(1, 2)[:, :-1]], dim=1)  # (D, T, B, O)
        ctx.hidden.put(before if keep is None else before * keep[:, None])
        # The states are an argument so that a second derivative meets the refusal even where `grads` are constants.
        return None, None, None, *first_derivative(_unchanged, after, *grads)


def _unchanged(_: Tensor, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    return tuple(None if grad is None else grad.view_as(grad) for grad in grads)
