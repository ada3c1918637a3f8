"""Groups rows of similar lengths into batches, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf, prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import ZooError

# The number of tokens in each row, or in each side of a row.
Lengths = Sequence[int] | Sequence[tuple[int, ...]] | NDArray[np.integer[Any]]

# If the padding of a batch fills more rows than this, two batches take less time on a CPU (benchmarks/NOTES.md).
SPARE_ROWS = 8
# Attention compares each position of a source with each position of its target. This is the largest number of such
# pairs in a batch for each token of its budget. A source of 400 and a target of 100 pieces need fewer.
PAIRS_PER_TOKEN = 100
# The number of successive source lengths in a bucket. Its sources share a batch at almost no cost.
BUCKET_WIDTH = 2


def check_budget(max_tokens: object) -> None:
    """Checks a token budget.

    Raises:
        ZooError: `max_tokens` is not a whole number of at least 1.
    """
    if not isinstance(max_tokens, Integral) or isinstance(max_tokens, bool) or max_tokens < 1:
        raise ZooError(f"expected max_tokens, the tokens of a batch, as a whole number from 1, got {max_tokens!r}")


def group_by_length(
    lengths: Lengths, max_tokens: int, order: Iterable[int] | None = None, *, max_padding: float = inf
) -> list[list[int]]:
    """Groups rows of similar lengths into batches; the batches with the shortest rows come first.

    >>> group_by_length([9, 2, 8, 3, 2], max_tokens=18)
    [[1, 4, 3], [2, 0]]

    Args:
        lengths: the lengths of N rows in tokens. If a row has several sides, such as a source and its target, it has a
            tuple with the length of each.
        max_tokens: the largest size of a batch, padding included: its number of rows times its longest row, summed
            over the sides. A row that exceeds it makes a batch of its own. With two sides, the pairs of positions that
            attention compares are bounded too, by `PAIRS_PER_TOKEN`.
        order: the rows to group; rows of equal lengths keep this order. By default, these are all rows in ascending
            order.
        max_padding: the largest padding of a batch, in units of its longest row.

    Returns:
        The rows of each batch.

    Raises:
        ZooError: `max_tokens` is not a whole number of at least 1.
    """
    check_budget(max_tokens)
    if not len(lengths):
        return []
    sides = sides_of(lengths)
    rows = np.arange(len(sides)) if order is None else np.array(list(order), dtype=np.int64)
    rows = rows[sort_by_length(sides[rows])]
    offsets = batch_offsets(sides[rows], max_tokens, max_padding=max_padding)
    listed = rows.tolist()
    return [listed[start:end] for start, end in pairwise(offsets)]


def sides_of(lengths: Lengths) -> NDArray[np.unsignedinteger[Any]]:
    """Lengths as an array `(N, S)` of the smallest type that holds them: 16 bits are sorted in a quarter of the time.

    Args:
        lengths: N lengths, or the lengths of S sides for each of N rows.
    """
    sides = np.asarray(lengths).reshape(len(lengths), -1)
    return sides.astype(np.min_scalar_type(int(sides.max(initial=0))))


def sort_by_length(sides: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.intp]:
    """The order of rows by their lengths `(N, S)`: by buckets of all sides but the last, then by the last side.

    Within the buckets the last side is sorted exactly, which leaves little padding in it. The exact lengths of the
    other sides break ties, so that the sorted lengths, and with them the batches, do not depend on the order of the
    rows.
    """
    others = list(sides[:, :-1].T)
    last = sides[:, -1]
    keys = [*(side // BUCKET_WIDTH for side in others), last, *others]
    # The last key of lexsort is the first to sort by.
    return np.lexsort(keys[::-1])


def run_starts(sides: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.intp]:
    """Where rows with other lengths begin, among sorted lengths `(N, S)`: an index for each distinct row."""
    differs = (sides[1:] != sides[:-1]).any(1)
    return np.concatenate([[0], np.flatnonzero(differs) + 1])


def batch_offsets(sides: NDArray[np.unsignedinteger[Any]], max_tokens: int, *, max_padding: float = inf) -> list[int]:
    """Where each batch begins among rows whose lengths `(N, S)` are sorted, and N at the end.

    A batch ends before the first row that it cannot hold. Rows of equal lengths are counted, not visited: the time
    depends on the number of distinct lengths.
    """
    starts = run_starts(sides)
    sizes = np.diff(starts, append=len(sides)).tolist()
    offsets = [0]
    batch = _Batch(max_tokens, max_padding)
    for start, size, lengths in zip(starts.tolist(), sizes, sides[starts].tolist(), strict=True):
        end = start + size
        room = batch.room(lengths)
        if batch.rows and room < size:
            # The batch is full within this run.
            start += max(0, room)
            offsets.append(start)
            batch = _Batch(max_tokens, max_padding)
            room = batch.room(lengths)
        if not batch.rows:
            # Full batches of rows of this length only. A row that exceeds the budget is a batch of its own.
            room = max(1, room)
            full = (end - start - 1) // room
            offsets.extend(range(start + room, start + full * room + 1, room))
            start += full * room
        batch.add(lengths, end - start)
    return [*offsets, len(sides)]


class _Batch:
    """A batch that is being filled: how many rows of certain lengths it can still hold.

    Args:
        max_tokens: the largest number of rows times the longest row.
        max_padding: the largest padding, in units of the longest row.
    """

    def __init__(self, max_tokens: int, max_padding: float):
        self.max_tokens, self.max_padding = max_tokens, max_padding
        self.rows = 0
        self._tokens = 0
        self._longest: list[int] = []  # of each side

    def room(self, lengths: list[int]) -> int:
        """How many more rows of these lengths fit; below 1 if none does."""
        longest = self._longest_with(lengths)
        size = max(1, sum(longest))
        if len(longest) > 1:
            size = max(size, prod(longest) // PAIRS_PER_TOKEN)
        room = self.max_tokens // size - self.rows
        if self.max_padding < inf:
            # The padding that may still be added, and that of each row.
            spare = self.max_padding * size - (self.rows * size - self._tokens)
            more = size - sum(lengths)
            if spare < 0:
                room = 0
            elif more:
                room = min(room, int(spare // more))
        return room

    def add(self, lengths: list[int], rows: int) -> None:
        """Adds rows of these lengths."""
        if rows:
            self._longest = self._longest_with(lengths)
            self._tokens += rows * sum(lengths)
            self.rows += rows

    def _longest_with(self, lengths: list[int]) -> list[int]:
        return list(map(max, self._longest, lengths)) if self._longest else lengths


def group_for_prediction(
    lengths: Lengths, max_tokens: int, device: torch.device, order: Iterable[int] | None = None
) -> list[list[int]]:
    """`group_by_length` with little padding on a CPU, and with few batches on other devices, which are not measured."""
    max_padding = SPARE_ROWS if device.type == "cpu" else inf
    return group_by_length(lengths, max_tokens, order, max_padding=max_padding)
