"""The answers of a tagger or classifier by label, computed from its examples.

Shapes: N answers, K labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.pages.run_record import RunRecord
from recipes.reports.confusions import Confusions
from recipes.reports.scores.classification import bin_of, label_matrix
from zoo.metrics.classification import BINS
from zoo.metrics.tagging import UNSEEN, LabelScore
from zoo.text.tag_schemes import spans

# The largest number of curves of precision and recall.
CURVES = 6
# A curve is drawn with at most so many points.
POINTS = 200


@dataclass(frozen=True)
class Curve:
    """Precision by recall of one label."""

    label: str
    average_precision: float
    points: list[tuple[float, float]]
    """Recall and precision, from the most probable text to the least."""


def confusions_of(run: RunRecord) -> Confusions | None:
    """The confusions of tags or labels; None for texts, and for texts with several labels."""
    task = run.task
    pairs: Iterable[tuple[Any, Any]]
    if run.kind == "tagging":
        pairs = chain.from_iterable(zip(one.gold or (), one.predicted or (), strict=True) for one in run.examples)
    elif run.kind == "classification" and not task["multi_label"]:
        pairs = ((one.gold, one.predicted) for one in run.examples)
    else:
        return None
    labels = task["labels"]
    known = set(labels)
    found = Counter((gold if gold in known else UNSEEN, predicted) for gold, predicted in pairs)
    gold = [label for label in [*labels, UNSEEN] if any((label, other) in found for other in labels)]
    return Confusions([[found[row, column] for column in labels] for row in gold], gold, list(labels))


def mistakes_of(confusions: Confusions, number: int) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: gold label, predicted label and count."""
    counts, gold, predicted = confusions
    found = [
        (row, column, count)
        for row, of_row in zip(gold, counts, strict=True)
        for column, count in zip(predicted, of_row, strict=True)
        if count and row != column
    ]
    return sorted(found, key=lambda mistake: -mistake[2])[:number]


def label_scores_of(run: RunRecord) -> list[LabelScore]:
    """Precision, recall and F1 of each label of spans, or of each tag or label; empty for texts."""
    task = run.task
    if run.kind == "tagging" and task["scheme"] is not None:
        return _span_scores(run, task["scheme"])
    confusions = confusions_of(run)
    if confusions is not None:
        predicted = np.array(confusions.counts).reshape(-1, len(confusions.predicted)).sum(0)
        of_label = dict(zip(confusions.predicted, predicted.tolist(), strict=True))
        in_gold = {label: sum(row) for label, row in zip(confusions.gold, confusions.counts, strict=True)}
        place = {label: j for j, label in enumerate(confusions.predicted)}
        matched = {
            label: row[place[label]] if label in place else 0
            for label, row in zip(confusions.gold, confusions.counts, strict=True)
        }
        return _scores(matched, of_label, in_gold)
    if run.kind == "classification":
        gold = Counter(chain.from_iterable(one.gold or () for one in run.examples))
        found = Counter(chain.from_iterable(one.predicted or () for one in run.examples))
        both = Counter(chain.from_iterable(set(one.gold or ()) & set(one.predicted or ()) for one in run.examples))
        return _scores(both, found, gold)
    return []


def _span_scores(run: RunRecord, scheme: str) -> list[LabelScore]:
    known = set(run.task["labels"])
    counts: list[Counter[str]] = [Counter(), Counter(), Counter()]
    for one in run.examples:
        found = set(spans(list(one.predicted or ()), scheme))
        gold = set(spans([tag if tag in known else "O" for tag in one.gold or ()], scheme))
        for counter, part in zip(counts, (found & gold, found, gold), strict=True):
            counter.update(span.label for span in part)
    return _scores(*counts)


def _scores(matched: dict[str, int], predicted: dict[str, int], gold: dict[str, int]) -> list[LabelScore]:
    """The scores of the labels that occur, the most frequent first."""
    found = []
    for label in sorted({*predicted, *gold}, key=lambda label: (-gold.get(label, 0), label)):
        hits, answers, support = (counts.get(label, 0) for counts in (matched, predicted, gold))
        if answers or support:
            f1 = 2 * hits / (answers + support)
            found.append(LabelScore(label, hits / max(1, answers), hits / max(1, support), f1, support))
    return found


def calibration_of(run: RunRecord) -> list[tuple[float, float, int]]:
    """Of each bin of probabilities that has some: their mean, the fraction that is right, and their number."""
    confidence, right = _confidence(run)
    place = bin_of(confidence)
    found = []
    for i in range(BINS + 1):
        inside = place == i
        if inside.any():
            found.append((float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())))
    return found


def _confidence(run: RunRecord) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probability of each answer and whether it is right; of each label, if a text may have several."""
    probabilities = _probabilities(run)
    if run.task["multi_label"]:
        gold = label_matrix([one.gold for one in run.examples], run.task["labels"])
        return probabilities.ravel(), gold.ravel()
    return probabilities.max(1), np.array([one.right for one in run.examples])


def curves_of(run: RunRecord) -> list[Curve]:
    """Precision by recall of the positive label, or of the labels with the lowest average precision."""
    labels: Sequence[str] = run.task["labels"]
    positive = run.task["positive"]
    probabilities = _probabilities(run)
    gold = label_matrix([one.gold for one in run.examples], labels)
    shown = [label for label in labels if positive in (None, label)]
    curves = [
        _curve(label, probabilities[:, i], gold[:, i])
        for i, label in enumerate(labels)
        if label in shown and gold[:, i].any()
    ]
    return sorted(curves, key=lambda curve: curve.average_precision)[:CURVES]


def _curve(label: str, ranking: NDArray[np.float64], has_label: NDArray[np.bool_]) -> Curve:
    order = np.argsort(-ranking, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(ranking[order]) != 0, True))
    matched = np.cumsum(has_label[order])[ends]
    precision = matched / (ends + 1)
    recall = matched / matched[-1]
    average = float((np.diff(recall, prepend=0) * precision).sum())
    kept = np.unique(np.linspace(0, len(ends) - 1, POINTS).round().astype(int))
    return Curve(label, average, list(zip(recall[kept].tolist(), precision[kept].tolist(), strict=True)))


def _probabilities(run: RunRecord) -> NDArray[Any]:
    """The probability of each label of each text, `(N, K)`."""
    return np.array([one.details["probabilities"] for one in run.examples]).reshape(len(run.examples), -1)
