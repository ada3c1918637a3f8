"""Scores that follow from sums over the examples.

Shapes: N examples, R resamplings, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.reports.examples import ScoredExample
from recipes.reports.scores.resampling import Array, Score, score_of_sums


def mean_loss(examples: Sequence[ScoredExample]) -> Score:
    """The mean loss per token."""
    tokens = np.array([0 if math.isnan(one.loss) else one.tokens for one in examples])
    losses = np.array([0.0 if math.isnan(one.loss) else one.loss for one in examples])
    return ratio_score(losses * tokens, tokens)


def exponential(nats: NDArray[Any], units: NDArray[Any]) -> Score:
    """The perplexity of a sum of nats `(N,)` by units `(N,)`."""
    mean = ratio_score(nats, units)
    return lambda weights: np.exp(mean(weights))


def ratio_score(part: NDArray[Any], whole: NDArray[Any]) -> Score:
    """The quotient of two sums over the examples, of `part (N,)` and `whole (N,)`; 0 where the divisor is 0."""
    counts = np.stack([part, whole], axis=1).astype(np.float64)
    return score_of_sums(counts, lambda sums: sums[:, 0] / np.where(sums[:, 1] > 0, sums[:, 1], 1))


def macro_f1(sums: Array, *, in_gold_only: bool) -> Array:
    """The mean F1 of the labels: sums `(R, 3K)` of matched, predicted and gold -> `(R,)`.

    Args:
        sums: what `label_counts` are summed to.
        in_gold_only: whether labels count that occur in gold; otherwise those that are predicted count too.
    """
    matched, predicted, gold = np.split(sums, 3, axis=1)
    both = predicted + gold  # (R, K)
    f1 = 2 * matched / np.where(both > 0, both, 1)
    occurs = gold > 0 if in_gold_only else both > 0
    mean: Array = (f1 * occurs).sum(1) / np.maximum(occurs.sum(1), 1)
    return mean
