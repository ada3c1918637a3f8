"""Which labels are confused with which."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

# The largest number of labels in a picture of confusions. More of them cannot be read.
SHOWN = 60


class Confusions(NamedTuple):
    """How often each gold label (row) was predicted as each label (column)."""

    counts: list[list[int]]
    gold: list[str]
    predicted: list[str]


def most_confused(confusions: Confusions) -> Confusions:
    """The rows and columns of the `SHOWN` labels with the most mistakes; all of them if there are no more."""
    counts, gold, predicted = confusions
    if len(predicted) <= SHOWN:
        return confusions
    mistakes = Counter(dict.fromkeys(predicted, 0))
    for right, row in zip(gold, counts, strict=True):
        for label, count in zip(predicted, row, strict=True):
            if label != right:
                mistakes[right] += count
                mistakes[label] += count
    shown = {label for label, _ in mistakes.most_common(SHOWN)}
    rows = [i for i, label in enumerate(gold) if label in shown]
    columns = [i for i, label in enumerate(predicted) if label in shown]
    return Confusions(
        [[counts[i][j] for j in columns] for i in rows], [gold[i] for i in rows], [predicted[j] for j in columns]
    )
