"""The scores of a classifier: of labels, of their ranking, and of the probabilities themselves.

Shapes: N texts, K labels. Gold is `(N,)` ids, or `(N, K)` of 0 and 1 where a text may have several labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
    multiclass_calibration_error,
)
from torchmetrics.utilities import dim_zero_cat

from zoo.errors import ZooError
from zoo.metrics.tagging import LabelScore, precision_recall_f1, ratio

BINS = 15  # of the expected calibration error, and of the reliability diagram
HOTTEST, COLDEST = 16.0, 1 / 16  # temperatures: scores that are always right would have none


class Predictions(NamedTuple):
    """Every text that was evaluated, on all processes."""

    probabilities: Tensor  # (N, K)
    gold: Tensor  # (N,) or (N, K)
    rows: Tensor  # (N,) where in their split the texts are


class ClassificationMetrics(Metric):
    """Keeps all scores of an evaluation; under DDP all ranks must ask for an answer together.

    Args:
        labels: the K labels, in the order of their ids.
        positive: of two labels the one whose ranking is scored; None where there are more.
        multi_label: whether a text may have several labels.
    """

    is_differentiable = False
    # Its scores differ in their direction: see `zoo.metrics.display`.
    higher_is_better = None
    full_state_update = False

    def __init__(self, labels: Sequence[str], positive: str | None = None, *, multi_label: bool = False):
        super().__init__()
        self.labels, self.multi_label = list(labels), multi_label
        self.positive = None if positive is None else self.labels.index(positive)
        self.temperature = 1.0
        for name in ("scores", "gold", "rows"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, gold: Tensor, rows: Tensor) -> None:
        """Keeps a batch: scores before the softmax or sigmoid `(N, K)`, gold, and the texts' rows `(N,)`."""
        self.scores.append(scores.detach().float())
        self.gold.append(gold)
        self.rows.append(rows)

    def compute(self) -> dict[str, Tensor]:
        """All scores, each a scalar in 0..1.

        `accuracy` (of whole sets of labels where a text may have several), `macro_f1` over the labels that
        occur in gold or are predicted, and `ece`, the expected calibration error (Guo et al. 2017) of the
        predictions, or of every label's probability where a text may have several. Of two labels, for the positive
        one, `f1`, `auroc` and `average_precision`; where a text may have several, `micro_f1`. Where all texts have one
        label there is nothing to rank: the last two are left out then.

        Raises:
            ZooError: scores that are not finite.
        """
        probabilities, gold, _ = self._kept()
        counts = self._counts(probabilities, gold)
        _, _, f1 = precision_recall_f1(*counts)
        matched, predicted, occurring = counts
        scores = {
            "accuracy": (self.decide(probabilities) == gold).view(len(gold), -1).all(1).float().mean(),
            "macro_f1": ratio(f1.sum(), (predicted + occurring > 0).sum()),
        }
        if self.multi_label:
            scores["micro_f1"] = precision_recall_f1(*(column.sum() for column in counts))[2]
            scores["ece"] = binary_calibration_error(probabilities.flatten(), gold.flatten().long(), n_bins=BINS)
        else:
            scores["ece"] = multiclass_calibration_error(probabilities, gold, len(self.labels), n_bins=BINS)
        if self.positive is not None:
            is_positive = (gold == self.positive).long()  # (N,)
            ranking = probabilities[:, self.positive]
            scores["f1"] = f1[self.positive]
            if 0 < is_positive.sum() < len(is_positive):
                scores["auroc"] = binary_auroc(ranking, is_positive)
                scores["average_precision"] = binary_average_precision(ranking, is_positive)
            else:
                warnings.warn(f"all texts are {self.labels[int(gold[0])]}: there is no auroc and no average_precision")
        return scores

    def decide(self, probabilities: Tensor) -> Tensor:
        """The best label of each text `(N,)`; where it may have several, 1 for those of 1/2 and more `(N, K)`."""
        return (probabilities >= 0.5).long() if self.multi_label else probabilities.argmax(-1)

    def per_label(self) -> list[LabelScore]:
        """A score for each label, in the order of their ids."""
        probabilities, gold, _ = self.predictions()
        counts = self._counts(probabilities, gold)
        columns = [column.tolist() for column in (*precision_recall_f1(*counts), counts[2])]
        return [LabelScore(*row) for row in zip(self.labels, *columns, strict=True)]

    def confusion(self) -> Tensor:
        """How often each gold label (row) was given each predicted (column), `(K, K)`; one label a text only."""
        probabilities, gold, _ = self.predictions()
        size = len(self.labels)
        return torch.bincount(gold * size + self.decide(probabilities), minlength=size * size).view(size, size)

    def predictions(self) -> Predictions:
        """All that was evaluated, in the order of the rows."""
        with self.sync_context():
            kept = self._kept()
        order = kept.rows.argsort()
        return Predictions(*(part[order] for part in kept))

    def best_temperature(self) -> float:
        """The temperature under which gold is most likely (Guo et al. 2017)."""
        with self.sync_context():
            scores, gold = map(dim_zero_cat, (self.scores, self.gold))
        target = gold if self.multi_label else F.one_hot(gold, len(self.labels))
        low, high = 1 / HOTTEST, 1 / COLDEST
        for _ in range(40):  # the likelihood is concave in 1 / temperature: bisect its slope
            middle = (low * high) ** 0.5
            slope = ((self._normalise(middle * scores) - target) * scores).sum()
            low, high = (low, middle) if slope > 0 else (middle, high)
        return 1 / middle

    def _kept(self) -> Predictions:
        scores, gold, rows = map(dim_zero_cat, (self.scores, self.gold, self.rows))
        if not scores.isfinite().all():
            raise ZooError(
                "the model's scores are no numbers any more: its training diverged, or it began with NaN or inf. "
                "Try a lower --model.learning_rate"
            )
        return Predictions(self._normalise(scores / self.temperature), gold, rows)

    def _normalise(self, scores: Tensor) -> Tensor:
        return scores.sigmoid() if self.multi_label else scores.softmax(-1)

    def _counts(self, probabilities: Tensor, gold: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How often each label was rightly predicted, predicted, and in gold: three times `(K,)`."""
        predicted = self.decide(probabilities)
        if not self.multi_label:
            predicted, gold = (F.one_hot(ids, len(self.labels)) for ids in (predicted, gold))
        gold = gold.long()
        return (predicted * gold).sum(0), predicted.sum(0), gold.sum(0)
