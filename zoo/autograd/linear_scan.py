"""The recurrence of the minimal cells, step by step.

Shapes: B rows, T time steps, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd.first_derivative import first_derivative


class LinearScan(torch.autograd.Function):
    """All states `(B, T, H)` of h' = h + take * (candidate - h), from `start (B, H)`.

    Forward and backward are one operation a time step, which writes where its result belongs: no state is copied.
    """

    @staticmethod
    def forward(take: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
        states, h = torch.empty_like(take), start  # (B, T, H), (B, H)
        for now, take_now, candidate_now in zip(states.unbind(1), take.unbind(1), candidate.unbind(1), strict=True):
            h = torch.lerp(h, candidate_now, take_now, out=now)
        return states

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        return first_derivative(_to_inputs, grad, *ctx.saved_tensors)


def _to_inputs(
    grad: Tensor, take: Tensor, candidate: Tensor, start: Tensor, states: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    keep = 1 - take  # (B, T, H)
    flow = torch.empty_like(states)  # (B, T, H), how the loss changes with each state
    flow[:, -1] = grad[:, -1]
    later = flow[:, -1]
    earlier = (flow[:, :-1], grad[:, :-1], keep[:, 1:])
    for now, grad_now, keep_next in zip(*(reversed(part.unbind(1)) for part in earlier), strict=True):
        later = torch.addcmul(grad_now, keep_next, later, out=now)
    before = torch.cat([start[:, None], states[:, :-1]], dim=1)  # (B, T, H)
    return (candidate - before) * flow, take * flow, keep[:, 0] * flow[:, 0]
