"""How certain scores and their differences are: bootstrap resampling over the examples (Efron 1979, Koehn 2004).

A resampling draws as many examples as there are, with replacement, so each of them has a weight: how often it is drawn.
Every score is a function of these weights.

Shapes: N examples, R resamplings, S sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError

Array = NDArray[np.float64]
# The values of a score, (R,), for the weights of the examples, (R, N).
Score = Callable[[Array], Array]
RESAMPLINGS = 1000
# Large splits have narrow intervals, and are resampled less often: this many drawn examples in all, but at least
# so many resamplings.
DRAWN_EXAMPLES = 200_000_000
FEWEST_RESAMPLINGS = 200
# How many weights are in memory at a time.
WEIGHTS = 2_000_000
# The quantiles of an interval of 95 %.
QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A value of all examples, and where 95 % of the resampled values are."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The difference between the scores of two models on the same examples."""

    interval: Interval
    p: float
    """How probable so large a difference is if neither model is better: twice the fraction of the resamplings in which
    it has another sign, at most 1."""


def resamplings(size: int) -> int:
    """How often `size` examples are resampled."""
    return min(RESAMPLINGS, max(FEWEST_RESAMPLINGS, DRAWN_EXAMPLES // size))


def score_of_sums(counts: Array, value: Callable[[Array], Array]) -> Score:
    """A score that follows from sums over the examples.

    Args:
        counts: `(N, S)`.
        value: computes the score from sums; `(R, S)` -> `(R,)`.
    """
    return lambda weights: value(weights @ counts)


def values_of(scores: Mapping[str, Score], size: int) -> dict[str, float]:
    """The scores of all `size` examples."""
    return {name: float(score(np.ones((1, size)))[0]) for name, score in scores.items()}


def intervals(scores: Mapping[str, Score], size: int, *, seed: int = 0) -> dict[str, Interval]:
    """The scores of `size` examples, with their intervals."""
    resampled = _resampled(scores, size, seed)
    return {name: _interval(value, resampled[name]) for name, value in values_of(scores, size).items()}


def differences(
    ours: Mapping[str, Score], theirs: Mapping[str, Score], size: int, *, seed: int = 0
) -> dict[str, Difference]:
    """How much higher our scores are than theirs, for each score that both have, by paired bootstrap resampling.

    Args:
        ours: the scores of one model.
        theirs: those of another model on the same `size` examples in the same order.
        size: N.
        seed: seeds the resamplings.
    """
    shared = [name for name in ours if name in theirs]
    pairs = {name: _subtracted(ours[name], theirs[name]) for name in shared}
    resampled = _resampled(pairs, size, seed)
    found = {}
    for name, value in values_of(pairs, size).items():
        drawn = resampled[name]
        # The difference itself counts as one more resampling, so p is never 0.
        not_above = 1 + int((drawn <= 0).sum())
        not_below = 1 + int((drawn >= 0).sum())
        p = min(1.0, 2 * min(not_above, not_below) / (len(drawn) + 1))
        found[name] = Difference(_interval(value, drawn), p)
    return found


def _subtracted(ours: Score, theirs: Score) -> Score:
    return lambda weights: ours(weights) - theirs(weights)


def _interval(value: float, drawn: Array) -> Interval:
    """A value with the interval of the resampled ones. Some may not exist, such as a ranking of one label alone."""
    existing = drawn[np.isfinite(drawn)]
    if not existing.size:
        return Interval(value, value, value)
    low, high = np.quantile(existing, QUANTILES)
    # Scores such as the calibration error grow in every resampling, but the interval has the value in any case.
    return Interval(value, min(value, float(low)), max(value, float(high)))


def _resampled(scores: Mapping[str, Score], size: int, seed: int) -> dict[str, Array]:
    """The values of each score in all resamplings, `(R,)`."""
    if not size:
        raise ZooError("expected examples to resample, got none")
    parts: dict[str, list[Array]] = {name: [] for name in scores}
    for weights in _weights(size, seed):
        for name, score in scores.items():
            parts[name].append(score(weights))
    return {name: np.concatenate(of_score) for name, of_score in parts.items()}


def _weights(size: int, seed: int) -> Iterator[Array]:
    """How often each example is drawn in each resampling, a few resamplings `(R, N)` at a time."""
    dice = np.random.default_rng(seed)
    left = resamplings(size)
    while left:
        rows = min(left, max(1, WEIGHTS // size))
        drawn = dice.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)
        left -= rows
