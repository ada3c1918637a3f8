"""The forward algorithm of a linear-chain CRF. Its gradient is the backward algorithm.

Shapes: B rows, T time steps, K tags.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd.first_derivative import Context, Gradients, first_derivative

# e^-80 added to 1 is lost in rounding, in float64 too.
LOWEST = -80.0


class ForwardAlgorithm(torch.autograd.Function):
    """The scores of tags `(B, T, K)` and of pairs `(K, K)` -> `alpha (B, T, K)`, and the weights for backward.

    `alpha[b, t, k]` is the log of the summed exp scores of all tag sequences of steps 0 to t that end in tag k. The
    weights p(y_t | y_t+1, x_1..t) are `(T - 1, B, K, K)`.

    Autograd over `torch.logsumexp` takes longer, above all with forbidden transitions: exp is slow for very negative
    arguments, and here they are clamped to the range in which it is fast. Each tag is shifted by its own maximum. The
    faster `log(exp(alpha - max) @ exp(pairwise))` would underflow where scores are 100 nats apart.
    """

    @staticmethod
    def forward(unary: Tensor, pairwise: Tensor) -> tuple[Tensor, Tensor]:
        rows, steps, size = unary.shape
        weights = unary.new_empty(steps - 1, rows, size, size)
        alphas = [unary[:, 0]]
        for scores, paths in zip(unary.unbind(1)[1:], weights, strict=True):
            torch.add(alphas[-1][:, :, None], pairwise, out=paths)  # (B, K, K)
            highest = paths.amax(1, keepdim=True)  # (B, 1, K)
            paths.sub_(highest).clamp_min_(LOWEST).exp_()
            total = paths.sum(1, keepdim=True)  # (B, 1, K)
            paths.div_(total)
            alphas.append(total.log_().add_(highest).squeeze(1) + scores)
        return torch.stack(alphas, 1), weights

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        weights = output[1]
        ctx.mark_non_differentiable(weights)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weights)

    @staticmethod
    def backward(ctx: Context, grad: Tensor | None, _: None) -> Gradients:
        if grad is None:
            return None, None
        return first_derivative(_backward_algorithm, grad, *ctx.saved_tensors)


def _backward_algorithm(grad: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of the scores of tags `(B, T, K)` and of pairs `(K, K)`."""
    grads = list(grad.unbind(1))  # each (B, K)
    rows, _, size = grad.shape
    pairs = grad.new_zeros(rows, size, size)
    for step in range(len(weights) - 1, -1, -1):
        flow = weights[step] * grads[step + 1][:, None]  # (B, K, K)
        grads[step] = grads[step] + flow.sum(2)
        pairs += flow
    return torch.stack(grads, 1), pairs.sum(0)
