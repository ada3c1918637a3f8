"""The scores of `TaggingMetrics` as functions of how often each sentence is drawn.

Shapes: N sentences, K tags, those that are not in the training data being one more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.reports.examples import ScoredExample
from recipes.reports.scores.resampling import Array, Score, score_of_sums
from recipes.reports.scores.sums import macro_f1, mean_loss, ratio_score
from zoo.metrics.tagging import UNSEEN
from zoo.text.tag_schemes import spans


def tagging_scores(examples: Sequence[ScoredExample], task: Mapping[str, Any]) -> dict[str, Score]:
    """The scores of `TaggingMetrics`."""
    tags = [*task["labels"], UNSEEN]
    ids = {tag: i for i, tag in enumerate(task["labels"])}
    unseen = len(tags) - 1
    lengths = np.array([len(one.gold or ()) for one in examples])
    rows = np.repeat(np.arange(len(examples)), lengths)
    gold = np.array([ids.get(tag, unseen) for one in examples for tag in one.gold or ()], dtype=np.int64)
    predicted = np.array([ids[tag] for one in examples for tag in one.predicted or ()], dtype=np.int64)
    right = np.bincount(rows, gold == predicted, minlength=len(examples))
    scores = {"loss": mean_loss(examples), "accuracy": ratio_score(right, lengths)}
    is_unknown = np.zeros(len(rows), dtype=np.bool_)
    starts = np.cumsum(lengths) - lengths
    for start, one in zip(starts, examples, strict=True):
        is_unknown[start + np.array(one.details["unknown"], dtype=np.int64)] = True
    if is_unknown.any():
        known_right = np.bincount(rows, (gold == predicted) & is_unknown, minlength=len(examples))
        scores["unknown_accuracy"] = ratio_score(known_right, np.bincount(rows, is_unknown, minlength=len(examples)))
    scores["sentence_accuracy"] = ratio_score(right == lengths, np.ones(len(examples)))
    counts = label_counts(rows, gold, predicted, size=len(examples), num_labels=len(tags))
    scores["macro_f1"] = score_of_sums(counts, lambda sums: macro_f1(sums, in_gold_only=True))
    if task["scheme"] is not None:
        scores |= _span_scores(examples, task["scheme"], ids)
    return scores


def _span_scores(examples: Sequence[ScoredExample], scheme: str, known: Mapping[str, int]) -> dict[str, Score]:
    """Precision, recall and F1 of spans. A run of unseen tags is one missed span, as in `TaggingMetrics`."""
    counts = np.zeros((len(examples), 3))
    for row, one in enumerate(examples):
        gold = [tag if tag in known else UNSEEN for tag in one.gold or ()]
        found = set(spans(list(one.predicted or ()), scheme))
        wanted = set(spans(["O" if tag == UNSEEN else tag for tag in gold], scheme))
        missed = sum(tag == UNSEEN for tag, _ in groupby(gold))
        counts[row] = len(found & wanted), len(found), len(wanted) + missed
    matched, predicted, in_gold = counts.T
    return {
        "span_precision": ratio_score(matched, predicted),
        "span_recall": ratio_score(matched, in_gold),
        "span_f1": ratio_score(2 * matched, predicted + in_gold),
    }


def label_counts(
    rows: NDArray[np.int64], gold: NDArray[np.int64], predicted: NDArray[np.int64], *, size: int, num_labels: int
) -> Array:
    """How often each label is matched, predicted and in gold in each example, `(N, 3K)`.

    Args:
        rows: the example of each token.
        gold: the label id of each token.
        predicted: its predicted label id.
        size: N.
        num_labels: K.
    """

    def of(ids: NDArray[np.int64], weights: NDArray[Any] | None = None) -> Array:
        cells = np.bincount(rows * num_labels + ids, weights, minlength=size * num_labels)
        return cells.reshape(size, num_labels).astype(np.float64)

    return np.concatenate([of(gold, gold == predicted), of(predicted), of(gold)], axis=1)
