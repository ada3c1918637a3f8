"""Sequences of different lengths in one flat array, in memory or memory-mapped.

Shapes: N sequences, M values in all of them together, B chosen sequences, T positions of the longest chosen one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.integer[Any]]
Rows = Sequence[int] | Integers


class Ragged:
    """N sequences of integers, one after the other. Sequence n is `values[offsets[n] : offsets[n + 1]]`.

    >>> ragged = Ragged.of([[5, 6], [], [7]])
    >>> ragged.padded([2, 0])
    tensor([[7, 0],
            [5, 6]])

    Args:
        values: all sequences joined `(M,)`.
        offsets: where each sequence begins, and M at the end `(N + 1,)`.
    """

    def __init__(self, values: Integers, offsets: Integers):
        self.values = values
        self.offsets = offsets

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> Self:
        """Joins sequences of integers below 2**31."""
        sequences = list(sequences)
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        offsets = offsets_of(lengths)
        values = np.fromiter(chain.from_iterable(sequences), dtype=np.int32, count=int(offsets[-1]))
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Integers:
        """One sequence, as a view."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Integers:
        """The length of each sequence `(N,)`."""
        return np.diff(self.offsets)

    def take(self, rows: Rows) -> Ragged:
        """The sequences at `rows`, in that order."""
        starts = self.offsets[rows]
        lengths = self.offsets[1:][rows] - starts
        offsets = offsets_of(lengths)
        # Where each value stands in `values`: the start of its sequence, and its place in the sequence.
        places = np.repeat(starts - offsets[:-1], lengths)
        places += np.arange(len(places))
        return Ragged(self.values[places], offsets)

    def head(self, count: int) -> Integers:
        """The first `count` of all values, or all if they are fewer."""
        return self.values[:count]

    def padded(self, rows: Rows, *, min_steps: int = 0) -> Tensor:
        """The sequences at `rows`, in that order, right-padded with 0 `(B, T)`; T is at least `min_steps`."""
        taken = self.take(rows)
        return pad(taken.values, taken.lengths, min_steps=min_steps)


class ShardedRagged(Ragged):
    """Sequences in several parts, such as the memory-mapped shards of a store.

    Args:
        parts: the parts.
        lengths: the length of each sequence of all parts `(N,)`.
        on_take: is called after sequences were copied, with their number.
    """

    def __init__(self, parts: Sequence[Ragged], lengths: Integers, *, on_take: Callable[[int], None]):
        self._parts = [(part.values, part.offsets) for part in parts]
        # The first row of each part, and N at the end.
        self._starts = offsets_of(np.array(list(map(len, parts)), dtype=np.int64)).tolist()
        self._lengths = lengths
        self._on_take = on_take
        self.offsets = offsets_of(lengths)
        # It is indexed as an array is.
        self.values = cast(Integers, _ShardedValues([part.values for part in parts], on_take))

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, row: int) -> Integers:
        part = bisect_right(self._starts, row) - 1
        values, offsets = self._parts[part]
        place = row - self._starts[part]
        return values[offsets[place] : offsets[place + 1]]

    @property
    def lengths(self) -> Integers:
        """The length of each sequence `(N,)`."""
        return self._lengths

    def take(self, rows: Rows) -> Ragged:
        """The sequences at `rows`, in that order."""
        taken = [self[row] for row in np.asarray(rows).tolist()]
        lengths = np.fromiter(map(len, taken), dtype=np.int64, count=len(taken))
        values = np.concatenate(taken)
        self._on_take(len(taken))
        return Ragged(values, offsets_of(lengths))

    def head(self, count: int) -> Integers:
        """The first `count` of all values, or all if they are fewer."""
        taken = []
        for values, _ in self._parts:
            taken.append(np.array(values[:count]))
            count -= len(taken[-1])
            self._on_take(len(self))
        return np.concatenate(taken)


class _ShardedValues:
    """The values of several parts, one after the other."""

    def __init__(self, parts: Sequence[Integers], on_take: Callable[[int], None]):
        self._parts = parts
        self._starts = offsets_of(np.array(list(map(len, parts)), dtype=np.int64))
        self._on_take = on_take

    def __getitem__(self, places: NDArray[np.int64]) -> Integers:
        """The values at places, in their shape."""
        found = np.empty(places.shape, dtype=np.int64)
        part_of = np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(part_of).tolist():
            chosen = part_of == number
            found[chosen] = self._parts[number][places[chosen] - self._starts[number]]
        self._on_take(places.size)
        return found


class StringLists:
    """N lists of strings, as bytes: a whole split of them takes no Python objects.

    Args:
        text: the strings of each list, joined, in UTF-8.
        sizes: the number of bytes of each string, for each list.
    """

    def __init__(self, text: Ragged, sizes: Ragged):
        self.text = text
        self.sizes = sizes

    @classmethod
    def of(cls, lists: Sequence[Sequence[str]]) -> Self:
        """Encodes lists of strings."""
        encoded = [[string.encode(errors="surrogatepass") for string in strings] for strings in lists]
        sizes = Ragged.of([list(map(len, strings)) for strings in encoded])
        joined = [b"".join(strings) for strings in encoded]
        text = np.frombuffer(b"".join(joined), dtype=np.uint8)
        return cls(Ragged(text, offsets_of(np.array(list(map(len, joined)), dtype=np.int64))), sizes)

    def take(self, rows: Rows) -> list[list[str]]:
        """The lists at `rows`, in that order."""
        sizes = self.sizes.take(rows)
        text = self.text.take(rows).values.tobytes()
        ends = np.cumsum(sizes.values).tolist()
        strings = [text[start:end].decode(errors="surrogatepass") for start, end in pairwise([0, *ends])]
        return [strings[start:end] for start, end in pairwise(sizes.offsets.tolist())]


def offsets_of(lengths: Integers) -> NDArray[np.int64]:
    """Where sequences of these lengths `(N,)` begin if they are joined, and their total at the end `(N + 1,)`."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def pad(values: Integers, lengths: Integers, *, min_steps: int = 0) -> Tensor:
    """Joined sequences `(M,)` of these lengths `(N,)`, right-padded with 0 `(N, T)`; T is at least `min_steps`."""
    steps = max(min_steps, int(lengths.max()))
    padded = np.zeros((len(lengths), steps), dtype=np.int64)  # (N, T)
    padded[np.arange(steps) < lengths[:, None]] = values
    return torch.from_numpy(padded)


def row_tensor(rows: Rows) -> Tensor:
    """Rows as a tensor `(B,)`."""
    return torch.from_numpy(np.array(rows, dtype=np.int64))
