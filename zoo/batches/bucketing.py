"""Which rows make a batch: those of like lengths, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from numbers import Integral

import numpy as np
import torch

from zoo.errors import ZooError

SPARE_ROWS = 8  # with padding for more rows than these, two batches take less time on a CPU (benchmarks/RESULTS.md)
BUCKET = 2  # sources whose lengths differ by less may share a batch at no cost


def check_budget(max_tokens: object) -> None:
    """Raises a ZooError unless `max_tokens` is a whole number of at least 1."""
    if not isinstance(max_tokens, Integral) or isinstance(max_tokens, bool) or max_tokens < 1:
        raise ZooError(f"expected max_tokens, the tokens of a batch, as a whole number from 1, got {max_tokens!r}")


def group_by_length(
    lengths: Sequence[int] | Sequence[tuple[int, ...]],
    max_tokens: int,
    order: Iterable[int] | None = None,
    *,
    max_padding: float = inf,
) -> list[list[int]]:
    """Groups like lengths, so that little is padding: rows of each batch, shortest batches first.

    Args:
        lengths: tokens in each row; for a row with several sides, such as a source and its target, of each side.
        max_tokens: the budget of a batch, padding included: rows times the longest row, all sides together. A row
            that alone is longer makes a batch of its own.
        order: rows of equal length stay in this order; that of the rows themselves by default.
        max_padding: the padding of a batch, in rows: no more than so many times the longest row.
    """
    check_budget(max_tokens)
    if not len(lengths):
        return []
    sides = np.array(lengths, dtype=np.int64).reshape(len(lengths), -1)  # (N, S)
    rows = np.arange(len(lengths)) if order is None else np.array(list(order), dtype=np.int64)
    # Of several sides the last is in strict order within buckets of those before it, which leave it a choice. Their
    # exact lengths come last: so the order of the lengths, and with it the number of batches, never depends on `order`.
    keys = [*(side // BUCKET for side in sides[rows, :-1].T), *sides[rows, -1:].T, *sides[rows, :-1].T]
    rows = rows[np.lexsort(keys[::-1])]
    batches = []
    while len(rows):
        nearest = sides[rows[: max_tokens // max(1, sides[rows[0]].sum()) + 1]]  # as many as the budget may hold
        count = np.arange(1, len(nearest) + 1)
        steps = np.maximum.accumulate(nearest).sum(1).clip(1)  # of a batch that ends at this row, all sides together
        padding = count * steps - nearest.sum(1).cumsum()
        full = (count * steps > max_tokens) | (padding > max_padding * steps)
        size = int(full.argmax()) or len(nearest)  # a row that alone is too long is a batch
        batches.append(rows[:size].tolist())
        rows = rows[size:]
    return batches


def group_for_prediction(
    lengths: Sequence[int], max_tokens: int, device: torch.device, order: Iterable[int] | None = None
) -> list[list[int]]:
    """`group_by_length`, on a CPU with little padding; elsewhere, not measured, in as few batches as there may be."""
    max_padding = SPARE_ROWS if device.type == "cpu" else inf
    return group_by_length(lengths, max_tokens, order, max_padding=max_padding)
