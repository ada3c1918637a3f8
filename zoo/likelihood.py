"""The log-probability of tokens in a large vocabulary, without a second matrix of its size in fp32.

Shapes: N tokens, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 64  # worked on at a time: their fp32 copies stay in a processor's cache


def token_log_probability(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The log-softmax of `scores (N, V)`, in fp32, where a loss needs it.

    Args:
        scores: in any precision.
        target: `(N,)`.

    Returns:
        Of each target `(N,)`; and the mean over all words `(N,)`, for label smoothing.
    """
    return _TokenLogProbability.apply(scores, target)


class _TokenLogProbability(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        parts = []
        for rows, wanted in zip(scores.split(ROWS), target.split(ROWS), strict=True):
            rows = rows.float()
            parts.append((rows.logsumexp(-1), rows.gather(1, wanted[:, None]).squeeze(1), rows.mean(-1)))
        total, picked, mean = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(scores, target, total)
        return picked - total, mean - total

    @staticmethod
    def backward(ctx, of_target: Tensor, of_mean: Tensor) -> tuple[Tensor, None]:
        scores, target, total = ctx.saved_tensors
        gradient = torch.empty_like(scores)
        columns = [part[:, None].split(ROWS) for part in (target, total, of_target, of_mean)]
        for rows, out, wanted, sums, one, all_words in zip(
            scores.split(ROWS), gradient.split(ROWS), *columns, strict=True
        ):
            part = (rows.float() - sums).exp_().mul_(-(one + all_words)).add_(all_words / scores.shape[1])
            out.copy_(part.scatter_add_(1, wanted, one))
        return gradient, None
