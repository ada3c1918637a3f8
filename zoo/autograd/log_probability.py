"""The log-softmax of chosen tokens in a large vocabulary.

Shapes: N tokens, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd.first_derivative import first_derivative

ROWS = 64  # tokens at a time, so that their fp32 copies stay in a processor's cache


class TokenLogProbability(torch.autograd.Function):
    """Scores `(N, V)` and targets `(N,)` -> the log-probability of each target, and the mean over all words, `(N,)`.

    It computes in fp32 whatever the type of the scores, a few rows at a time. Autograd would keep two matrices
    `(N, V)` in fp32 beside the scores.
    """

    @staticmethod
    def forward(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        totals, picked, means = [], [], []
        for rows, wanted in zip(scores.split(ROWS), target.split(ROWS), strict=True):
            rows = rows.float()
            totals.append(rows.logsumexp(-1))
            picked.append(rows.gather(1, wanted[:, None]).squeeze(1))
            means.append(rows.mean(-1))
        total = torch.cat(totals)
        return torch.cat(picked) - total, torch.cat(means) - total, total

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        total = output[2]
        ctx.mark_non_differentiable(total)
        ctx.save_for_backward(*inputs, total)

    @staticmethod
    def backward(ctx, of_target: Tensor, of_mean: Tensor, _) -> tuple[Tensor | None, None]:
        (grad,) = first_derivative(_to_scores, of_target, of_mean, *ctx.saved_tensors)
        return grad, None


def _to_scores(of_target: Tensor, of_mean: Tensor, scores: Tensor, target: Tensor, total: Tensor) -> tuple[Tensor]:
    gradient = torch.empty_like(scores)
    columns = [part[:, None].split(ROWS) for part in (target, total, of_target, of_mean)]
    for rows, out, wanted, sums, one, all_words in zip(scores.split(ROWS), gradient.split(ROWS), *columns, strict=True):
        part = (rows.float() - sums).exp_().mul_(-(one + all_words)).add_(all_words / scores.shape[1])
        out.copy_(part.scatter_add_(1, wanted, one))
    return (gradient,)
