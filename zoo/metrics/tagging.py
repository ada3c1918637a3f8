"""The scores of a tagger over real tokens: of tags, of words that training never had, of sentences, of spans.

Shapes: B rows, T time steps, K tags. Rows are padded on the right to T. A gold id of K is a tag that training
never had: no prediction can be right there. In the counts such tags share one row, `UNSEEN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from zoo.masks import padding_mask
from zoo.text.tag_schemes import spans

UNSEEN = "<unseen>"


class LabelScore(NamedTuple):
    """The score of one label (of tokens, spans or texts). `support` is how often it occurs in gold."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class TaggingMetrics(Metric):
    """Counts over batches and, under DDP, over processes: there, all ranks must ask for an answer together.

    Args:
        tags: the K tags, in the order of their ids.
        scheme: one of `text.tag_schemes.SCHEMES` where tags mark spans, which are then scored too. Spans are strict:
            label and both ends must be right, and what breaks the scheme is no span.

    Raises:
        ValueError: the scheme is unknown, or a tag cannot belong to it.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, tags: Sequence[str], scheme: str | None = None) -> None:
        super().__init__()
        self.tags = list(tags)
        self.scheme = scheme
        shapes = {"tag_counts": (len(tags) + 1, len(tags)), "unknown_counts": (2,), "sentence_counts": (2,)}
        if scheme is not None:
            spans(self.tags, scheme)  # refuses what is not of the scheme now, not in the middle of an epoch
            self.labels = list(dict.fromkeys(tag.partition("-")[2] for tag in tags if tag != "O"))
            shapes["span_counts"] = (len(self.labels) + 1, 3)
            shapes["stray_counts"] = (2,)
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, gold: Tensor, lengths: Tensor, unknown: Tensor) -> None:
        """Count a batch. What stands at padding is never looked at.

        Args:
            predicted: ids of tags, 0..K-1, `(B, T)`.
            gold: ids of tags, 0..K, `(B, T)`.
            lengths: real tokens of each row, at least 1, `(B,)`.
            unknown: True at words that training never had, `(B, T)`.
        """
        real = padding_mask(lengths, gold.shape[1])  # (B, T)
        correct = predicted == gold  # (B, T)
        cells = gold[real] * len(self.tags) + predicted[real]
        self.tag_counts += torch.bincount(cells, minlength=self.tag_counts.numel()).view_as(self.tag_counts)
        unknown = unknown & real
        self.unknown_counts += torch.stack([(correct & unknown).sum(), unknown.sum()])
        right_rows = (correct | ~real).all(1)  # (B,)
        self.sentence_counts += torch.stack([right_rows.sum(), torch.ones_like(right_rows).sum()])
        if self.scheme is not None:
            counted, stray = self._count_spans(predicted, gold, lengths)
            self.span_counts += counted.to(self.span_counts.device)
            self.stray_counts += stray.to(self.stray_counts.device)

    def compute(self) -> dict[str, Tensor]:
        """All scores, each a scalar in 0..1.

        `accuracy` is of tokens; `unknown_accuracy` of words that training never had, where there are any;
        `sentence_accuracy` of sentences with no wrong tag; `macro_f1` the mean F1 of the tags in gold, the
        unseen as one more. With a scheme, `span_precision`, `span_recall` and `span_f1` over all spans.
        """
        right = self.tag_counts.diagonal().sum()
        _, _, f1 = precision_recall_f1(*_matched_predicted_gold(self.tag_counts))
        scores = {"accuracy": ratio(right, self.tag_counts.sum())}
        if self.unknown_counts[1]:  # of no words there is no share: 0 would read as all wrong
            scores["unknown_accuracy"] = ratio(*self.unknown_counts)
        scores["sentence_accuracy"] = ratio(*self.sentence_counts)
        scores["macro_f1"] = ratio(f1.sum(), (self.tag_counts.sum(1) > 0).sum())
        if self.scheme is not None:
            names = ("span_precision", "span_recall", "span_f1")
            scores |= dict(zip(names, precision_recall_f1(*self.span_counts.sum(0)), strict=True))
        return scores

    def per_tag(self) -> list[LabelScore]:
        """A score for each tag, in the order of their ids; then `UNSEEN`, if gold had any."""
        return _table(self.tags, *_matched_predicted_gold(self.confusion()))

    def per_span_label(self) -> list[LabelScore]:
        """A score for each label of spans; then `UNSEEN`, if gold had any. Empty without a scheme."""
        if self.scheme is None:
            return []
        with self.sync_context():
            return _table(self.labels, *self.span_counts.unbind(1))

    def stray_tokens(self) -> tuple[int, int]:
        """Tokens, predicted and gold, whose tags break the scheme and so are in no span. (0, 0) without a scheme."""
        if self.scheme is None:
            return 0, 0
        with self.sync_context():
            predicted, gold = self.stray_counts.tolist()
        return predicted, gold

    def confusion(self) -> Tensor:
        """How often each gold tag (row, the last `UNSEEN`) was given each predicted (column), `(K+1, K)`."""
        with self.sync_context():
            return self.tag_counts.clone()

    def worst_confusions(self, n: int) -> list[tuple[str, str, int]]:
        """The n most frequent mistakes, as (gold tag, predicted tag, count)."""
        counts = self.confusion().cpu()
        counts.fill_diagonal_(0)
        names = [*self.tags, UNSEEN]
        mistakes = [(names[i], self.tags[j], int(counts[i, j])) for i, j in counts.nonzero().tolist()]
        return sorted(mistakes, key=lambda mistake: -mistake[2])[:n]

    def _count_spans(self, predicted: Tensor, gold: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Matched, predicted and gold spans of each label `(labels + 1, 3)`, and stray tokens `(2,)`.

        A run of unseen tags is one missed span of `UNSEEN`; to the tags around it, it is an `O`.
        """
        rows = {label: [0, 0, 0] for label in self.labels}
        unseen = [0, 0, 0]  # a row of its own, whatever the labels are called
        stray = [0, 0]
        names = [*self.tags, "O"]
        for found, right, length in zip(predicted.tolist(), gold.tolist(), lengths.tolist(), strict=True):
            sides = [[names[i] for i in found[:length]], [names[i] for i in right[:length]]]
            in_found, in_gold = (set(spans(tags, self.scheme)) for tags in sides)
            for side, (tags, counted) in enumerate(zip(sides, (in_found, in_gold), strict=True)):
                inside = sum(span.end - span.start for span in counted)
                stray[side] += len(tags) - tags.count("O") - inside
            for column, counted in enumerate((in_found & in_gold, in_found, in_gold)):
                for span in counted:
                    rows[span.label][column] += 1
            in_runs = groupby(right[:length], lambda i: i == len(self.tags))
            unseen[2] += sum(is_unseen for is_unseen, _ in in_runs)
        return torch.tensor([*rows.values(), unseen]), torch.tensor(stray)


def _matched_predicted_gold(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of a confusion `(K+1, K)`, three times `(K+1,)`: nothing is ever predicted or matched as `UNSEEN`."""
    nothing = confusion.new_zeros(1)
    matched, predicted = confusion.diagonal(), confusion.sum(0)
    return torch.cat([matched, nothing]), torch.cat([predicted, nothing]), confusion.sum(1)


def precision_recall_f1(matched: Tensor, predicted: Tensor, gold: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and F1 from counts."""
    return ratio(matched, predicted), ratio(matched, gold), ratio(2 * matched, predicted + gold)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """`part / whole`, and 0 of nothing: a NaN would spoil every mean that it enters."""
    return part / whole.clamp(min=1)


def _table(names: list[str], matched: Tensor, predicted: Tensor, gold: Tensor) -> list[LabelScore]:
    columns = [column.tolist() for column in (*precision_recall_f1(matched, predicted, gold), gold)]
    rows = [LabelScore(*row) for row in zip([*names, UNSEEN], *columns, strict=True)]
    return rows if rows[-1].support else rows[:-1]
