"""The labels of a corpus of texts: how often they occur, which ones there are, and how much each weighs in the loss."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.examples import LabelledText
from datamodules.readers.labelled_texts import SEPARATOR
from zoo.text import Inventory


class LabelCount(NamedTuple):
    """The number of texts that have a label, and the line of the first of them."""

    texts: int
    first_line: int


LabelCounts = dict[str, LabelCount]


def count_labels(texts: Iterable[LabelledText]) -> LabelCounts:
    """Counts the labels of texts."""
    counts: LabelCounts = {}
    for text in texts:
        for label in text.labels:
            found = counts.get(label, LabelCount(0, text.line))
            counts[label] = found._replace(texts=found.texts + 1)
    return counts


def add_labels(counts: LabelCounts, more: LabelCounts) -> None:
    """Adds the labels of texts that come later."""
    for label, count in more.items():
        found = counts.get(label, LabelCount(0, count.first_line))
        counts[label] = found._replace(texts=found.texts + count.texts)


def renamed(texts: Iterable[LabelledText], names: Mapping[str, str]) -> Iterator[LabelledText]:
    """The texts with other names of their labels. A label without a name keeps its own."""
    return (replace(text, labels=tuple(names.get(label, label) for label in text.labels)) for text in texts)


def fit_labels(counts: LabelCounts, num_texts: int, path: str | Path, *, multi_label: bool) -> Inventory:
    """The labels of a training split, in alphabetical order.

    Args:
        counts: its labels.
        num_texts: the number of its texts.
        path: its file, for messages.
        multi_label: whether a text may have several labels. If not, a warning tells of labels that look like several.

    Raises:
        DataError: there are fewer than two labels, or with `multi_label` none.
    """
    labels = sorted(counts)
    if len(labels) < (1 if multi_label else 2):
        raise DataError(
            f"{path}: expected at least two different labels, got {'only ' + labels[0] if labels else 'none'}. Is this "
            "the right column, and has train all labels?"
        )
    if not multi_label:
        _hint_at_several(counts, num_texts, path)
    return Inventory(labels)


def _hint_at_several(counts: LabelCounts, num_texts: int, path: str | Path) -> None:
    """Warns of labels that look like several joined ones: two of them share a part between separators."""
    parts = {label: {part.strip() for part in label.split(SEPARATOR)} - {""} for label in counts}
    common = {part for part, count in Counter(chain.from_iterable(parts.values())).items() if count > 1}
    joined = [label for label in counts if parts[label] & common - {label}]
    if joined:
        first = min(joined, key=lambda label: counts[label].first_line)
        warnings.warn(
            f"{path}:{counts[first].first_line}: {first} is read as one label. This concerns "
            f"{sum(counts[label].texts for label in joined)} of {num_texts} texts. If {SEPARATOR} separates several "
            "labels of a text, add --data.multi_label true"
        )


def check_labels(texts: Iterable[LabelledText], known: Inventory, path: str | Path) -> None:
    """Refuses labels that a codec lacks.

    Raises:
        DataError: there is one. The message names its line in the file `path`.
    """
    for text in texts:
        for label in text.labels:
            if label not in known:
                raise DataError(
                    f"{path}:{text.line}: expected one of the labels {', '.join(known)}, got {label}. The expected "
                    "labels are those of train or of the model. Choose other data with --data.dataset or --data.test"
                )


def balanced_weights(counts: LabelCounts, labels: Iterable[str], num_texts: int, *, multi_label: bool) -> list[float]:
    """The weight of each label in the loss with which all labels have the same total.

    Args:
        counts: the labels of the training split.
        labels: the labels of the codec.
        num_texts: the number of texts in the training split.
        multi_label: whether a text may have several labels. Then the weight is that of having the label, relative to
            not having it.
    """
    having = [counts[label].texts if label in counts else 0 for label in labels]
    if multi_label:
        return [max(1, num_texts - count) / max(1, count) for count in having]
    return [num_texts / (len(having) * max(1, count)) for count in having]
