"""The windows of an epoch of language modeling: all streams are cut at the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset, DistributedSampler, SequentialSampler

from datamodules.sampler import Position
from zoo.batches.language_modeling import LanguageModelingBatch, StreamWindows

# An inner cut is moved by at most this fraction of a window, so that windows differ in length from epoch to epoch.
JITTER = 0.25


class Window(NamedTuple):
    """A window of all streams: from step `start` to before `end`, in a pass that begins at `shift` in the circle."""

    start: int
    end: int
    shift: int


class Windows(Dataset[LanguageModelingBatch]):
    """A map-style dataset whose keys are windows and whose items are whole batches."""

    def __init__(self, streams: StreamWindows):
        self.streams = streams

    def __len__(self) -> int:
        """The number of tokens of a stream, each of which a window could begin at."""
        return self.streams.steps

    def __getitem__(self, window: Window) -> LanguageModelingBatch:
        return self.streams.batch(window.start, window.end, shift=window.shift)


def plan(steps: int, size: int, *, tokens: int, seed: int, epoch: int) -> list[Window]:
    """The windows of a training epoch.

    The number of windows is the same in each epoch. Where a pass begins and where it is cut depend on seed and epoch,
    so that a token has another context in each epoch.

    Args:
        steps: the tokens of a stream.
        size: the mean length of a window.
        tokens: the tokens of all streams.
        seed: seeds the random numbers.
        epoch: the number of the epoch, from 0.
    """
    random = np.random.default_rng((seed, epoch))
    windows = max(1, round(steps / size))
    cuts = np.linspace(0, steps, windows + 1)
    cuts[1:-1] += random.uniform(-JITTER, JITTER, windows - 1) * steps / windows
    shift = int(random.integers(tokens))
    return [Window(start, end, shift) for start, end in pairwise(np.rint(cuts).astype(int).tolist()) if start < end]


def in_turn(steps: int, size: int) -> list[Window]:
    """Windows of equal size from the first token on: for evaluation, and to overfit on a few of them."""
    return [Window(start, min(start + size, steps), 0) for start in range(0, steps, size)]


# The two bases are declared with different items: windows (used here) and single rows.
class WindowSampler(DistributedSampler[Window], SequentialSampler):
    """Yields the windows of an epoch in order; they are the same on all processes, which have streams of their own.

    Lightning keeps a `DistributedSampler`, and does not replace a `SequentialSampler` to overfit on a few batches.

    Args:
        dataset: the split.
        windows: the windows of an epoch, by its number; their number does not change.
        start: returns the position at which a pass begins.
    """

    def __init__(
        self,
        dataset: Windows,
        windows: Callable[[int], list[Window]],
        *,
        start: Callable[[], Position] | None = None,
    ):
        super().__init__(dataset, num_replicas=1, rank=0, shuffle=False)
        self._windows = windows
        self._start = start

    def __len__(self) -> int:
        return len(self._windows(0))

    def __iter__(self) -> Iterator[Window]:  # type: ignore[override]
        position = Position(self.epoch, 0) if self._start is None else self._start()
        return iter(self._windows(position.epoch)[position.done :])
