"""What models return: the results of `Trainer.predict` and their order, and attention.

Shapes: S source positions, T target positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from torch import Tensor, distributed

Answer = TypeVar("Answer")


class Predictions(NamedTuple, Generic[Answer]):
    """A model's predictions for one batch, an element of the list that `Trainer.predict` returns."""

    rows: list[int]  # positions of the inputs in their split
    answers: list[Answer]  # the answer to each input, as the model's `predict` returns it


class Attended(NamedTuple):
    """The attention of each piece of a target to the pieces of its source."""

    source: list[str]
    target: list[str]  # the end is its last piece
    weights: Tensor  # (T, S)


def in_order(predictions: Sequence[Predictions[Answer]]) -> list[Answer]:
    """The answers of all batches, in the order of their rows.

    On several processes, `Trainer.predict` returns only the answers of its own process. All processes must call this
    function together, and each gets the answers of all.

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
