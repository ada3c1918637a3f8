"""The scores of `ClassificationMetrics` as functions of how often each text is drawn.

Shapes: N texts, R resamplings, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.reports.examples import ScoredExample
from recipes.reports.scores.resampling import Array, Score, score_of_sums
from recipes.reports.scores.sums import macro_f1, mean_loss, ratio_score
from zoo.metrics.classification import BINS


def classification_scores(examples: Sequence[ScoredExample], task: Mapping[str, Any]) -> dict[str, Score]:
    """The scores of `ClassificationMetrics`."""
    labels = task["labels"]
    size = len(examples)
    probabilities = np.array([one.details["probabilities"] for one in examples]).reshape(size, len(labels))
    gold = label_matrix([one.gold for one in examples], labels)  # (N, K)
    predicted = label_matrix([one.predicted for one in examples], labels)
    right = (gold == predicted).all(1)
    counts = np.concatenate([gold & predicted, predicted, gold], axis=1).astype(np.float64)  # (N, 3K)
    scores = {
        "loss": mean_loss(examples),
        "accuracy": ratio_score(right, np.ones(size)),
        "macro_f1": score_of_sums(counts, lambda sums: macro_f1(sums, in_gold_only=False)),
    }
    if task["multi_label"]:
        matched = 2 * (gold & predicted).sum(1)
        scores["micro_f1"] = ratio_score(matched, predicted.sum(1) + gold.sum(1))
        scores["ece"] = calibration_score(probabilities, gold)
    else:
        scores["ece"] = calibration_score(probabilities.max(1, keepdims=True), right[:, None])
    if task["positive"] is not None:
        label = labels.index(task["positive"])
        has_label = gold[:, label]
        matched = 2 * (has_label & predicted[:, label])
        scores["f1"] = ratio_score(matched, predicted[:, label].astype(np.int64) + has_label)
        if has_label.any() and not has_label.all():
            scores |= _ranking_scores(probabilities[:, label], has_label)
    return scores


def label_matrix(answers: Sequence[Any], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each example has each label, `(N, K)`. An answer is a label, or a list of them."""
    place = {label: i for i, label in enumerate(labels)}
    found = np.zeros((len(answers), len(labels)), dtype=np.bool_)
    for row, answer in enumerate(answers):
        for label in [answer] if isinstance(answer, str) else answer:
            found[row, place[label]] = True
    return found


def calibration_score(confidence: Array, right: NDArray[np.bool_]) -> Score:
    """The expected calibration error, in the bins of `ClassificationMetrics`.

    Args:
        confidence: probabilities, `(N, *)`.
        right: whether what they are the probabilities of is true, `(N, *)`.
    """
    size = len(confidence)
    place = bin_of(confidence)
    rows = np.arange(size)[:, None] * (BINS + 1)
    gaps = np.bincount((rows + place).ravel(), (confidence - right).ravel(), minlength=size * (BINS + 1))
    counts = np.concatenate([gaps.reshape(size, -1), np.full((size, 1), confidence.shape[1])], axis=1)
    return score_of_sums(counts, lambda sums: np.abs(sums[:, :-1]).sum(1) / sums[:, -1])


def bin_of(confidence: Array) -> NDArray[np.intp]:
    """The bins of probabilities; 1 itself has a bin of its own, as in torchmetrics."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1), confidence, side="right") - 1


def _ranking_scores(ranking: Array, has_label: NDArray[np.bool_]) -> dict[str, Score]:
    """The area under the ROC curve and the average precision of probabilities `(N,)`; equal ones are one step."""
    order = np.argsort(-ranking, kind="stable")
    # The last text of each group of equal probabilities.
    ends = np.flatnonzero(np.append(np.diff(ranking[order]) != 0, True))

    def steps(weights: Array) -> tuple[Array, Array]:
        """How many texts with and without the label are ranked up to each step, `(R, steps)`."""
        drawn = weights[:, order]
        with_label = np.cumsum(drawn * has_label[order], axis=1)[:, ends]
        return with_label, np.cumsum(drawn, axis=1)[:, ends] - with_label

    def auroc(weights: Array) -> Array:
        with_label, without = steps(weights)
        width = np.diff(without, axis=1, prepend=0)
        height = with_label - np.diff(with_label, axis=1, prepend=0) / 2
        # Without one of the two there is no such score.
        with np.errstate(invalid="ignore"):
            area: Array = (width * height).sum(1) / (with_label[:, -1] * without[:, -1])
        return area

    def average_precision(weights: Array) -> Array:
        with_label, without = steps(weights)
        precision = with_label / np.maximum(with_label + without, 1)
        with np.errstate(invalid="ignore"):
            mean: Array = (np.diff(with_label, axis=1, prepend=0) * precision).sum(1) / with_label[:, -1]
        return mean

    return {"auroc": auroc, "average_precision": average_precision}
