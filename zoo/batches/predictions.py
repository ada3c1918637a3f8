"""What a `Trainer` predicts, batch by batch, and how it comes into order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from torch import distributed

Answer = TypeVar("Answer")


class Predictions(NamedTuple, Generic[Answer]):
    """What a model predicts for one batch: an element of the list that `Trainer.predict` returns."""

    rows: list[int]  # where in their split the inputs are
    answers: list[Answer]  # for each of them, what the model's `predict` returns


def in_order(predictions: Sequence[Predictions[Answer]]) -> list[Answer]:
    """Puts the answers for all batches into the order of their rows.

    A `Trainer` on several processes returns to each process its own part. Every process must then call this function,
    and gets the answers of all.

    >>> in_order([Predictions([2, 0], ["c", "a"]), Predictions([1], ["b"])])
    ['a', 'b', 'c']
    """
    parts = [predictions]
    if distributed.is_available() and distributed.is_initialized():
        parts = [()] * distributed.get_world_size()
        distributed.all_gather_object(parts, predictions)
    answers: dict[int, Answer] = {}
    for part in parts:
        for batch in part:
            answers.update(zip(batch.rows, batch.answers, strict=True))
    return [answers[row] for row in sorted(answers)]
