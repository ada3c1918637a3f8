"""The log-probability of tokens in a large vocabulary, without a second matrix of its size in fp32.

Shapes: N tokens, V words.
"""

from __future__ import annotations

from torch import Tensor

from zoo.autograd import TokenLogProbability


def token_log_probability(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The log-softmax of `scores (N, V)`, in fp32, where a loss needs it.

    Args:
        scores: in any precision.
        target: `(N,)`.

    Returns:
        Of each target `(N,)`; and the mean over all words `(N,)`, for label smoothing.
    """
    of_target, of_mean, _ = TokenLogProbability.apply(scores, target)
    return of_target, of_mean
