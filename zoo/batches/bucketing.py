"""Groups rows of similar lengths into batches, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import ZooError

# If the padding of a batch takes more rows than these, two batches take less time on a CPU (benchmarks/NOTES.md).
SPARE_ROWS = 8
# Lengths of sources that share a bucket; they may share a batch at almost no cost.
BUCKET_WIDTH = 2


def check_budget(max_tokens: object) -> None:
    """Refuses a budget that is not a whole number of at least 1.

    Raises:
        ZooError: `max_tokens` is not.
    """
    if not isinstance(max_tokens, Integral) or isinstance(max_tokens, bool) or max_tokens < 1:
        raise ZooError(f"expected max_tokens, the tokens of a batch, as a whole number from 1, got {max_tokens!r}")


def group_by_length(
    lengths: Sequence[int] | Sequence[tuple[int, ...]],
    max_tokens: int,
    order: Iterable[int] | None = None,
    *,
    max_padding: float = inf,
) -> list[list[int]]:
    """The rows of each batch, the batches with the shortest rows first.

    >>> group_by_length([9, 2, 8, 3, 2], max_tokens=18)
    [[1, 4, 3], [2, 0]]

    Args:
        lengths: N lengths in tokens; if a row has several sides, such as a source and its target, a length of each.
        max_tokens: the largest size of a batch, padding included: its rows times the longest row, summed over the
            sides. A row that is longer is a batch of its own.
        order: the rows to group; rows of equal lengths stay in this order. By default all rows, in their own order.
        max_padding: the largest padding of a batch, in units of its longest row.

    Raises:
        ZooError: `max_tokens` is not a whole number of at least 1.
    """
    check_budget(max_tokens)
    if not len(lengths):
        return []
    sides = np.array(lengths, dtype=np.int64).reshape(len(lengths), -1)  # (N, S)
    rows = np.arange(len(lengths)) if order is None else np.array(list(order), dtype=np.int64)
    rows = rows[_sorting(sides[rows])]
    sides = sides[rows]
    batches: list[list[int]] = []
    start = 0
    while start < len(rows):
        end = start + _batch_size(sides[start:], max_tokens, max_padding=max_padding)
        batches.append(rows[start:end].tolist())
        start = end
    return batches


def _sorting(sides: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order of rows by their lengths `(N, S)`: by buckets of all sides but the last, then by the last side.

    Within the buckets the last side is sorted exactly, which leaves little padding in it. The exact lengths of the
    other sides break ties, so that the sorted lengths, and with them the number of batches, do not depend on the order
    of the rows.
    """
    others = list(sides[:, :-1].T)
    last = sides[:, -1]
    keys = [*(side // BUCKET_WIDTH for side in others), last, *others]
    # The last key of lexsort is the first to sort by.
    return np.lexsort(keys[::-1])


def _batch_size(sides: NDArray[np.int64], max_tokens: int, *, max_padding: float) -> int:
    """How many of the first rows, whose lengths `(N, S)` are sorted, make the next batch."""
    shortest = max(1, int(sides[0].sum()))
    nearest = sides[: max_tokens // shortest + 1]  # (M, S) as many as the budget could hold
    count = np.arange(1, len(nearest) + 1)
    # Of a batch that ends at each row: the longest row, summed over the sides, and the padding.
    longest = np.maximum.accumulate(nearest).sum(1).clip(1)  # (M,)
    padding = count * longest - nearest.sum(1).cumsum()  # (M,)
    is_full = (count * longest > max_tokens) | (padding > max_padding * longest)
    if not is_full.any():
        return len(nearest)
    # A first row that exceeds the budget is a batch of its own.
    return max(1, int(is_full.argmax()))


def group_for_prediction(
    lengths: Sequence[int], max_tokens: int, device: torch.device, order: Iterable[int] | None = None
) -> list[list[int]]:
    """`group_by_length` with little padding on a CPU; on other devices, which were not measured, with few batches."""
    max_padding = SPARE_ROWS if device.type == "cpu" else inf
    return group_by_length(lengths, max_tokens, order, max_padding=max_padding)
