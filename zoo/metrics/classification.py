"""Scores of a classifier: of its decisions, of its ranking and of its probabilities.

Shapes: N texts, K labels. Gold labels are ids `(N,)`, or 0 and 1 `(N, K)` if a text may have several labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_stat_scores,
    multilabel_exact_match,
    multilabel_stat_scores,
)
from torchmetrics.utilities import dim_zero_cat

from zoo.errors import ZooError
from zoo.metrics.tagging import LabelScore, precision_recall_f1, ratio

# Bins of the expected calibration error and of the reliability diagram.
BINS = 15
# The optimal temperature of a classifier without mistakes is 0, and that of a useless one is infinite.
MIN_TEMPERATURE = 1 / 16
MAX_TEMPERATURE = 16.0
BISECTIONS = 40


class Predictions(NamedTuple):
    """All texts of an evaluation, on all processes."""

    probabilities: Tensor  # (N, K)
    gold: Tensor  # (N,) or (N, K)
    rows: Tensor  # (N,) the position of each text in its split


class _Counts(NamedTuple):
    """How often each label was predicted correctly, predicted, and in gold."""

    matched: Tensor  # (K,)
    predicted: Tensor  # (K,)
    gold: Tensor  # (K,)


class ClassificationMetrics(Metric):
    """Keeps all logits of an evaluation, and computes all scores from them.

    With several processes, all must call `compute`, `predictions` and the other methods together.

    Args:
        labels: the K labels in the order of their ids.
        positive: the label that `f1` and the ranking scores are about; None unless there are two labels.
        multi_label: whether a text may have several labels.

    Attributes:
        temperature: divides the logits before they become probabilities.
    """

    is_differentiable = False
    # Its scores differ in their direction: see `zoo.metrics.display`.
    higher_is_better = None
    full_state_update = False
    logits: list[Tensor]
    gold: list[Tensor]
    rows: list[Tensor]

    def __init__(self, labels: Sequence[str], positive: str | None = None, *, multi_label: bool = False):
        super().__init__()
        self.labels = list(labels)
        self.positive = None if positive is None else self.labels.index(positive)
        self.multi_label = multi_label
        self.temperature = 1.0
        for name in ("logits", "gold", "rows"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, gold: Tensor, rows: Tensor) -> None:
        """Keeps a batch.

        Args:
            logits: scores before the softmax or sigmoid, `(B, K)`.
            gold: `(B,)` or `(B, K)`.
            rows: the position of each text in its split, `(B,)`.
        """
        self.logits.append(logits.detach().float())
        self.gold.append(gold)
        self.rows.append(rows)

    def compute(self) -> dict[str, Tensor]:
        """All scores, each a scalar in 0..1.

        `accuracy` is the fraction of texts whose label, or whole set of labels, is right. `macro_f1` is the mean over
        the labels that occur in gold or are predicted. `ece` is the expected calibration error (Guo et al. 2017) of the
        predicted label's probability, or of every label's probability if a text may have several; these models have
        `micro_f1` too. A model of two labels has the `f1`, `auroc` and `average_precision` of the positive one; the
        last two do not exist if all texts have the same label.

        Raises:
            ZooError: some logits are not finite.
        """
        probabilities, gold, _ = self._kept()
        decided = self.decide(probabilities)
        counts = self._counts(decided, gold)
        _, _, f1 = precision_recall_f1(*counts)  # (K,)
        # torchmetrics' own macro F1 of several labels counts those that never occur as 0.
        occurs = counts.predicted + counts.gold > 0  # (K,)
        scores = {"accuracy": self._accuracy(decided, gold), "macro_f1": ratio(f1.sum(), occurs.sum())}
        if self.multi_label:
            _, _, scores["micro_f1"] = precision_recall_f1(*(count.sum() for count in counts))
            scores["ece"] = binary_calibration_error(probabilities.flatten(), gold.flatten().long(), n_bins=BINS)
        else:
            scores["ece"] = multiclass_calibration_error(probabilities, gold, len(self.labels), n_bins=BINS)
        if self.positive is not None:
            scores["f1"] = f1[self.positive]
            scores |= self._ranking_scores(probabilities[:, self.positive], gold, self.positive)
        return scores

    def decide(self, probabilities: Tensor) -> Tensor:
        """The predicted label ids `(N,)`; if a text may have several labels, 1 for each of at least 1/2, `(N, K)`."""
        return (probabilities >= 0.5).long() if self.multi_label else probabilities.argmax(-1)

    def per_label(self) -> list[LabelScore]:
        """A score for each label, in the order of their ids."""
        probabilities, gold, _ = self.predictions()
        counts = self._counts(self.decide(probabilities), gold)
        precision, recall, f1 = precision_recall_f1(*counts)
        columns = [column.tolist() for column in (precision, recall, f1, counts.gold)]
        return [LabelScore(*row) for row in zip(self.labels, *columns, strict=True)]

    def confusion(self) -> Tensor:
        """How often each gold label (row) was predicted as each label (column), `(K, K)`; not for several labels."""
        probabilities, gold, _ = self.predictions()
        return multiclass_confusion_matrix(self.decide(probabilities), gold, len(self.labels), validate_args=False)

    def predictions(self) -> Predictions:
        """All texts of the evaluation in the order of their rows."""
        with self.sync_context():
            kept = self._kept()
        order = kept.rows.argsort()
        return Predictions(*(part[order] for part in kept))

    def best_temperature(self) -> float:
        """The temperature that gives the gold labels the highest likelihood (Guo et al. 2017)."""
        with self.sync_context():
            logits = dim_zero_cat(self.logits)
            gold = dim_zero_cat(self.gold)
        target = gold if self.multi_label else F.one_hot(gold, len(self.labels))  # (N, K)
        # The log-likelihood is concave in the inverse temperature: bisect where its slope is 0.
        low = 1 / MAX_TEMPERATURE
        high = 1 / MIN_TEMPERATURE
        for _ in range(BISECTIONS):
            inverse: float = (low * high) ** 0.5
            slope = ((self._probabilities(inverse * logits) - target) * logits).sum()
            if slope > 0:
                high = inverse
            else:
                low = inverse
        return 1 / inverse

    def _kept(self) -> Predictions:
        logits = dim_zero_cat(self.logits)
        if not logits.isfinite().all():
            raise ZooError(
                "expected finite logits, got NaN or inf: the training diverged, or the model started with such "
                "weights. Try a lower learning rate"
            )
        probabilities = self._probabilities(logits / self.temperature)
        return Predictions(probabilities, dim_zero_cat(self.gold), dim_zero_cat(self.rows))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.multi_label else logits.softmax(-1)

    def _accuracy(self, decided: Tensor, gold: Tensor) -> Tensor:
        if self.multi_label:
            return multilabel_exact_match(decided, gold.long(), len(self.labels), validate_args=False)
        return multiclass_accuracy(decided, gold, len(self.labels), average="micro", validate_args=False)

    def _counts(self, decided: Tensor, gold: Tensor) -> _Counts:
        stat_scores = multilabel_stat_scores if self.multi_label else multiclass_stat_scores
        counts = stat_scores(decided, gold.long(), len(self.labels), average=None, validate_args=False)  # (K, 5)
        true_positive, false_positive, _, _, support = counts.unbind(1)
        return _Counts(true_positive, true_positive + false_positive, support)

    def _ranking_scores(self, ranking: Tensor, gold: Tensor, positive: int) -> dict[str, Tensor]:
        """How well the probabilities `(N,)` of the positive label rank its texts before the others."""
        is_positive = gold == positive  # (N,)
        if is_positive.all() or not is_positive.any():
            warnings.warn(f"all texts are {self.labels[int(gold[0])]}: there is no auroc and no average_precision")
            return {}
        target = is_positive.long()
        return {
            "auroc": binary_auroc(ranking, target),
            "average_precision": binary_average_precision(ranking, target),
        }
