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
        ctx.save_for_backward(*inputs, log_sum)

    @staticmethod
    def backward(ctx: Context, grad_target: Tensor, grad_mean: Tensor, _: Tensor) -> Gradients:
        (grad_scores,) = first_derivative(_backward, grad_target, grad_mean, *ctx.saved_tensors)
        return grad_scores, None


def _backward(grad_target: Tensor, grad_mean: Tensor, scores: Tensor, target: Tensor, log_sum: Tensor) -> tuple[Tensor]:
    """The gradient of the scores."""
    grad_scores = torch.empty_like(scores)
    columns = [column[:, None].split(ROWS) for column in (target, log_sum, grad_target, grad_mean)]
    for chunk, grad_out, chunk_target, chunk_log_sum, to_target, to_mean in zip(
        scores.split(ROWS), grad_scores.split(ROWS), *columns, strict=True
    ):
        probability = (chunk.float() - chunk_log_sum).exp_()  # (ROWS, V)
        gradient = probability.mul_(-(to_target + to_mean)).add_(to_mean / scores.shape[1])
        grad_out.copy_(gradient.scatter_add_(1, chunk_target, to_target))
    return (grad_scores,)
