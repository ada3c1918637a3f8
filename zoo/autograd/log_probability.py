"""The log-softmax of the target tokens only, in a large vocabulary.

Shapes: N tokens, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd.first_derivative import Context, Gradients, first_derivative

# So many tokens are processed at a time: their fp32 copies stay in the processor's cache.
ROWS = 64


class TokenLogProbability(torch.autograd.Function):
    """Scores `(N, V)` and targets `(N,)` -> log-probabilities of the targets, means over all words, log-sums, `(N,)`.

    The log-sums are for backward. It computes in fp32 whatever the type of the scores, `ROWS` tokens at a time.
    Autograd would keep two matrices `(N, V)` in fp32 beside the scores.
    """

    @staticmethod
    def forward(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_sums: list[Tensor] = []
        target_scores: list[Tensor] = []
        mean_scores: list[Tensor] = []
        for chunk, chunk_target in zip(scores.split(ROWS), target.split(ROWS), strict=True):
            exact = chunk.float()
            log_sums.append(exact.logsumexp(-1))
            target_scores.append(exact.gather(1, chunk_target[:, None]).squeeze(1))
            mean_scores.append(exact.mean(-1))
        log_sum = torch.cat(log_sums)
        return torch.cat(target_scores) - log_sum, torch.cat(mean_scores) - log_sum, log_sum

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        log_sum = output[2]
        ctx.mark_non_differentiable(log_sum)
        # A loss without label smoothing has no gradient of the means.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, log_sum)

    @staticmethod
    def backward(ctx: Context, grad_target: Tensor | None, grad_mean: Tensor | None, _: Tensor | None) -> Gradients:
        (grad_scores,) = first_derivative(_backward, grad_target, grad_mean, *ctx.saved_tensors)
        return grad_scores, None


def _backward(
    grad_target: Tensor | None, grad_mean: Tensor | None, scores: Tensor, target: Tensor, log_sum: Tensor
) -> tuple[Tensor]:
    """The gradient of the scores."""
    grad_target = torch.zeros_like(log_sum) if grad_target is None else grad_target
    grad_scores = torch.empty_like(scores)
    for start in range(0, len(scores), ROWS):
        rows = slice(start, start + ROWS)
        grad_out = grad_scores[rows]  # (ROWS, V)
        to_target = grad_target[rows, None]
        exact = scores[rows].float()
        # Scores in fp32 need no second matrix.
        gradient = torch.sub(exact, log_sum[rows, None], out=grad_out if exact.dtype == grad_out.dtype else None).exp_()
        if grad_mean is None:
            gradient.mul_(-to_target)
        else:
            to_mean = grad_mean[rows, None]
            gradient.mul_(-(to_target + to_mean)).add_(to_mean / scores.shape[1])
        gradient.scatter_add_(1, target[rows, None], to_target)
        if gradient.dtype != grad_out.dtype:
            grad_out.copy_(gradient)
    return (grad_scores,)
