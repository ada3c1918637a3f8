"""Windows of a stream of tokens, which a language model reads one after the other, and single lines.

Shapes: N tokens, L lines, S streams or lines that are read side by side, T tokens of a window or line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.batches.ragged import Integers, Ragged, Rows, pad, row_tensor


class LanguageModelingInputs(NamedTuple):
    """A window of each stream: the tokens that are read."""

    token_ids: Tensor  # (S, T)
    lengths: Tensor  # (S,) in tokens
    begins: bool  # whether the streams begin, so that no state is carried into this window


class LanguageModelingBatch(NamedTuple):
    """A window of each stream, and the tokens that follow the tokens that are read."""

    inputs: LanguageModelingInputs
    target_ids: Tensor  # (S, T)
    units: Tensor  # (2,) words and characters of the lines that end among the targets, their ends included
    rows: Tensor  # (S,) positions of the first target of each stream, or the numbers of the lines

    @property
    def num_tokens(self) -> Tensor:
        """The number of tokens as a tensor: to read its value would make the host wait for a GPU."""
        return self.inputs.lengths.sum()

    @property
    def num_rows(self) -> int:
        return len(self.rows)


class TokenStream:
    """All lines of a split as one stream of tokens, each line with its end.

    The stream is a circle: the token before the first one is the end of the last line, from which the model begins.

    Args:
        lines: the ids of each line, its end included, in the order of the text.
        words: the words of each line `(L,)`, with its end as one.
        characters: the characters of each line `(L,)`, with its end as one.
        backward: whether the stream is read from the last token of the last line to the first token of the first line.
    """

    def __init__(self, lines: Ragged, *, words: Integers, characters: Integers, backward: bool = False):
        self.lines = lines
        self.words = words
        self.characters = characters
        self.backward = backward

    def __len__(self) -> int:
        """N, the number of tokens."""
        return int(self.lines.offsets[-1])

    @property
    def lengths(self) -> Integers:
        """The tokens of each line with its end, `(L,)`."""
        return self.lines.lengths

    def ids(self, positions: NDArray[np.int64]) -> Integers:
        """The ids at positions in the order of reading; they may lie outside 0 to N - 1, as the stream is a circle."""
        size = len(self)
        # Backwards, the end of a line stays behind what is read of it.
        places = size - 2 - positions if self.backward else positions
        return self.lines.values[places % size]

    def batch(self, rows: Rows) -> LanguageModelingBatch:
        """The lines at `rows`, in that order, each read by itself from the beginning."""
        taken = self.lines.take(rows)
        ids = taken.values
        if self.backward:
            ids = np.concatenate([[*line[-2::-1], line[-1]] for line in np.split(ids, taken.offsets[1:-1])])
        target_ids = pad(ids, taken.lengths)  # (S, T)
        begin = torch.full_like(target_ids[:, :1], int(ids[-1]))
        chosen = np.asarray(rows)
        units = np.array([self.words[chosen].sum(), self.characters[chosen].sum()])
        return LanguageModelingBatch(
            LanguageModelingInputs(
                torch.cat([begin, target_ids[:, :-1]], dim=1), torch.from_numpy(taken.lengths), begins=True
            ),
            target_ids,
            torch.from_numpy(units),
            rows=row_tensor(rows),
        )

    def units(self, start: int, end: int) -> Integers:
        """Words and characters of the lines that end at positions from `start` to before `end`, `(2,)`."""
        offsets = self.lines.offsets
        if self.backward:
            # A line read backwards ends before its first token.
            size = len(self)
            first, last = np.searchsorted(offsets[:-1], (size - end, size - start))
        else:
            first, last = np.searchsorted(offsets[1:], (start, end), side="right")
        lines = slice(int(first), int(last))
        return np.array([self.words[lines].sum(dtype=np.int64), self.characters[lines].sum(dtype=np.int64)])


class StreamWindows:
    """A stream as S streams of equal length, up to one token, that are read side by side in windows.

    Every token is the target of one window. A pass may begin anywhere in the circle of the stream.

    Args:
        stream: the tokens.
        streams: S, on this process.
        first: the number of the first of these streams, among those of all processes.
        total: the number of streams on all processes.

    Attributes:
        steps: the number of tokens of the longest stream.
    """

    def __init__(self, stream: TokenStream, streams: int, *, first: int = 0, total: int | None = None):
        self.stream = stream
        bounds = np.arange(first, first + streams + 1) * len(stream) // (total or streams)
        self._starts = bounds[:-1]
        self._sizes = np.diff(bounds)
        self.steps = -(-len(stream) // (total or streams))

    def batch(self, start: int, end: int, *, shift: int = 0) -> LanguageModelingBatch:
        """The window of each stream from its step `start` to before `end`.

        Args:
            start, end: steps, from 0 to `steps`.
            shift: where in the circle the first stream begins.
        """
        lengths = np.minimum(self._sizes, end) - start  # (S,)
        begins = self._starts + start + shift
        positions = begins[:, None] + np.arange(-1, end - start)  # (S, T + 1)
        ids = torch.from_numpy(self.stream.ids(positions).astype(np.int64))
        return LanguageModelingBatch(
            LanguageModelingInputs(ids[:, :-1], torch.from_numpy(lengths), begins=start == 0),
            ids[:, 1:],
            self._units(begins, begins + lengths),
            rows=torch.from_numpy(begins),
        )

    def _units(self, starts: Integers, ends: Integers) -> Tensor:
        size = len(self.stream)
        total = np.zeros(2, dtype=np.int64)
        for start, end in zip(starts % size, ends - starts + starts % size, strict=True):
            total += self.stream.units(start, min(end, size))
            if end > size:
                total += self.stream.units(0, end - size)
        return torch.from_numpy(total)
