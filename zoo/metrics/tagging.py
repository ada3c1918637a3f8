"""Scores of a tagger over unpadded tokens: of tags, unknown words, sentences and spans.

Shapes: B sentences, T tokens, K tags. Sentences are padded on the right to T. A gold id of K is a tag that is not in
the training data: no prediction is right there, and all such tags share one row of the counts, `UNSEEN`.

The counts are our own, because torchmetrics has square confusion matrices without this row, and no spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from zoo.masks import padding_mask
from zoo.text.tag_schemes import Span, spans

UNSEEN = "<unseen>"


class LabelScore(NamedTuple):
    """The score of one label of tokens, spans or texts; `support` is how often it occurs in gold."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class TaggingMetrics(Metric):
    """Counts over batches and over processes; with several processes, all must call `compute` and the others together.

    Args:
        tags: the K tags in the order of their ids.
        scheme: one of `zoo.text.tag_schemes.SCHEMES` if tags mark spans, which are then scored too; otherwise None.
            Spans are strict: the label and both ends must be right, and tags that break the scheme form no span.

    Raises:
        ZooError: the scheme is unknown, or a tag does not belong to it.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    tag_counts: Tensor  # (K+1, K)
    unknown_counts: Tensor  # (2,) correct and all
    sentence_counts: Tensor  # (2,) correct and all
    span_counts: Tensor  # (labels + 1, 3) matched, predicted and gold
    stray_counts: Tensor  # (2,) predicted and gold

    def __init__(self, tags: Sequence[str], scheme: str | None = None):
        super().__init__()
        self.tags = list(tags)
        self.scheme = scheme
        self._add_counts("tag_counts", len(tags) + 1, len(tags))
        self._add_counts("unknown_counts", 2)
        self._add_counts("sentence_counts", 2)
        if scheme is not None:
            # This refuses tags outside the scheme now, not in the middle of an epoch.
            spans(self.tags, scheme)
            self.labels = list(dict.fromkeys(tag.partition("-")[2] for tag in tags if tag != "O"))
            self._add_counts("span_counts", len(self.labels) + 1, 3)
            self._add_counts("stray_counts", 2)

    def _add_counts(self, name: str, *shape: int) -> None:
        self.add_state(name, torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, gold: Tensor, lengths: Tensor, unknown: Tensor) -> None:
        """Counts a batch. Values at padding are ignored.

        Args:
            predicted: tag ids 0..K-1, `(B, T)`.
            gold: tag ids 0..K, `(B, T)`.
            lengths: the number of tokens of each sentence, at least 1, `(B,)`.
            unknown: True at words that are not in the training data, `(B, T)`.
        """
        real = padding_mask(lengths, gold.shape[1])  # (B, T)
        correct = predicted == gold  # (B, T)
        cells = gold[real] * len(self.tags) + predicted[real]
        self.tag_counts += torch.bincount(cells, minlength=self.tag_counts.numel()).view_as(self.tag_counts)
        unknown = unknown & real
        self.unknown_counts += torch.stack([(correct & unknown).sum(), unknown.sum()])
        all_correct = (correct | ~real).all(1)  # (B,)
        self.sentence_counts += torch.stack([all_correct.sum(), torch.ones_like(all_correct).sum()])
        if self.scheme is not None:
            counted, stray = self._count_spans(predicted, gold, lengths, scheme=self.scheme)
            self.span_counts += counted.to(self.span_counts.device)
            self.stray_counts += stray.to(self.stray_counts.device)

    def compute(self) -> dict[str, Tensor]:
        """All scores, each a scalar in 0..1.

        `accuracy` is over tokens; `unknown_accuracy` is over words that are not in the training data, if there are any;
        `sentence_accuracy` is the fraction of sentences without a wrong tag; `macro_f1` is the mean F1 of the tags in
        gold, with unseen tags as one more. With a scheme, `span_precision`, `span_recall` and `span_f1` are over all
        spans.
        """
        correct = self.tag_counts.diagonal().sum()
        _, _, f1 = precision_recall_f1(*_matched_predicted_gold(self.tag_counts))
        scores = {"accuracy": ratio(correct, self.tag_counts.sum())}
        # Without unknown words there is no such accuracy; 0 would mean that all are wrong.
        if self.unknown_counts[1]:
            scores["unknown_accuracy"] = ratio(*self.unknown_counts)
        scores["sentence_accuracy"] = ratio(*self.sentence_counts)
        scores["macro_f1"] = ratio(f1.sum(), (self.tag_counts.sum(1) > 0).sum())
        if self.scheme is not None:
            precision, recall, span_f1 = precision_recall_f1(*self.span_counts.sum(0))
            scores |= {"span_precision": precision, "span_recall": recall, "span_f1": span_f1}
        return scores

    def per_tag(self) -> list[LabelScore]:
        """A score for each tag in the order of their ids, and for `UNSEEN` if gold has such tags."""
        return _label_scores(self.tags, *_matched_predicted_gold(self.confusion()))

    def per_span_label(self) -> list[LabelScore]:
        """A score for each label of spans, and for `UNSEEN` if gold has such tags; empty without a scheme."""
        if self.scheme is None:
            return []
        with self.sync_context():
            return _label_scores(self.labels, *self.span_counts.unbind(1))

    def stray_tokens(self) -> tuple[int, int]:
        """How many tokens, predicted and gold, are in no span because their tags break the scheme."""
        if self.scheme is None:
            return 0, 0
        with self.sync_context():
            predicted, gold = self.stray_counts.tolist()
        return predicted, gold

    def confusion(self) -> Tensor:
        """How often each gold tag (row, `UNSEEN` last) was predicted as each tag (column), `(K+1, K)`."""
        with self.sync_context():
            return self.tag_counts.clone()

    def worst_confusions(self, n: int) -> list[tuple[str, str, int]]:
        """The n most frequent mistakes: gold tag, predicted tag and count."""
        counts = self.confusion().cpu()
        counts.fill_diagonal_(0)
        names = [*self.tags, UNSEEN]
        mistakes = [(names[i], self.tags[j], int(counts[i, j])) for i, j in counts.nonzero().tolist()]
        return sorted(mistakes, key=lambda mistake: -mistake[2])[:n]

    def _count_spans(self, predicted: Tensor, gold: Tensor, lengths: Tensor, *, scheme: str) -> tuple[Tensor, Tensor]:
        """Matched, predicted and gold spans of each label `(labels + 1, 3)`, and stray tokens `(2,)`.

        A run of unseen tags counts as one missed span in the row of `UNSEEN`, even if a label has that name. For the
        tags around it, such a run counts as `O`.
        """
        counts = {label: [0, 0, 0] for label in self.labels}
        unseen_spans = 0
        stray_predicted = 0
        stray_gold = 0
        names = [*self.tags, "O"]
        for predicted_ids, gold_ids, length in zip(predicted.tolist(), gold.tolist(), lengths.tolist(), strict=True):
            predicted_tags = [names[i] for i in predicted_ids[:length]]
            gold_tags = [names[i] for i in gold_ids[:length]]
            predicted_spans = set(spans(predicted_tags, scheme))
            gold_spans = set(spans(gold_tags, scheme))
            for column, found in enumerate((predicted_spans & gold_spans, predicted_spans, gold_spans)):
                for span in found:
                    counts[span.label][column] += 1
            unseen_spans += _runs(gold_ids[:length], len(self.tags))
            stray_predicted += _stray_tokens(predicted_tags, predicted_spans)
            stray_gold += _stray_tokens(gold_tags, gold_spans)
        return torch.tensor([*counts.values(), [0, 0, unseen_spans]]), torch.tensor([stray_predicted, stray_gold])


def _runs(ids: Sequence[int], wanted: int) -> int:
    """The number of runs of the id `wanted`."""
    return sum(i == wanted for i, _ in groupby(ids))


def _stray_tokens(tags: Sequence[str], found: Iterable[Span]) -> int:
    """The number of tags that are neither `O` nor in a span."""
    inside = sum(span.end - span.start for span in found)
    return len(tags) - tags.count("O") - inside


def _matched_predicted_gold(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three counts `(K+1,)` of a confusion `(K+1, K)`; the unseen tag is never predicted and never matched."""
    nothing = confusion.new_zeros(1)
    matched = torch.cat([confusion.diagonal(), nothing])
    predicted = torch.cat([confusion.sum(0), nothing])
    return matched, predicted, confusion.sum(1)


def precision_recall_f1(matched: Tensor, predicted: Tensor, gold: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and F1 of counts of any shape."""
    return ratio(matched, predicted), ratio(matched, gold), ratio(2 * matched, predicted + gold)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """`part / whole`, and 0 for 0 / 0, because a NaN would make every mean over it NaN."""
    return part / whole.clamp(min=1)


def _label_scores(names: Sequence[str], matched: Tensor, predicted: Tensor, gold: Tensor) -> list[LabelScore]:
    precision, recall, f1 = precision_recall_f1(matched, predicted, gold)
    columns = [column.tolist() for column in (precision, recall, f1, gold)]
    scores = [LabelScore(*row) for row in zip([*names, UNSEEN], *columns, strict=True)]
    return scores if scores[-1].support else scores[:-1]
