"""The recurrence of the minimal cells, step by step.

Shapes: B rows, T time steps, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd.first_derivative import Context, Gradients, first_derivative


class LinearScan(torch.autograd.Function):
    """All states `(B, T, H)` of h' = h + take * (candidate - h), from `start (B, H)`.

    `take` and `candidate` are `(B, T, H)`. Forward and backward are one operation per time step, which writes its
    result in place: autograd would copy all states once more to stack them.
    """

    @staticmethod
    def forward(take: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
        states = torch.empty_like(take)  # (B, T, H)
        h = start  # (B, H)
        for h_out, take_now, candidate_now in zip(states.unbind(1), take.unbind(1), candidate.unbind(1), strict=True):
            h = torch.lerp(h, candidate_now, take_now, out=h_out)
        return states

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> Gradients:
        return first_derivative(_backward, grad, *ctx.saved_tensors)


def _backward(
    grad: Tensor, take: Tensor, candidate: Tensor, start: Tensor, states: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of take, candidate and start."""
    keep = 1 - take  # (B, T, H)
    # How the loss changes with each state, through all later states: from the last step back to the first.
    total = torch.empty_like(states)  # (B, T, H)
    total[:, -1] = grad[:, -1]
    later = total[:, -1]  # (B, H)
    totals = reversed(total[:, :-1].unbind(1))
    grads = reversed(grad[:, :-1].unbind(1))
    keeps = reversed(keep[:, 1:].unbind(1))
    for total_out, grad_now, keep_next in zip(totals, grads, keeps, strict=True):
        later = torch.addcmul(grad_now, keep_next, later, out=total_out)
    before = torch.cat([start[:, None], states[:, :-1]], dim=1)  # (B, T, H)
    return (candidate - before) * total, take * total, keep[:, 0] * total[:, 0]
