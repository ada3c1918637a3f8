"""What is left of an epoch that was begun on another number of processes, or with another budget."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.planning import EpochPlanner
from zoo.batches.bucketing import Lengths
from zoo.batches.ragged import Ragged


class Part(NamedTuple):
    """A part of an epoch that was trained: on how many processes, with which budget, and for how many steps."""

    processes: int
    max_tokens: int
    steps: int


class Remainder:
    """The rows that the parts of an epoch leave over, planned like an epoch of their own.

    Args:
        lengths: the number of tokens in each row of the split, or in each side of it.
        parts: the parts that were trained, in order. Each has trained rows that the earlier ones have left over.
        epoch: the number of the epoch, from 0.
        seed: seeds the shuffling.
    """

    def __init__(self, lengths: Lengths, parts: Iterable[Part], *, epoch: int, seed: int):
        self.epoch = epoch
        self.seed = seed
        self._lengths = np.asarray(lengths)
        self.rows = np.arange(len(self._lengths))  # (N,)
        for part in parts:
            self.rows = self.rows[self._left_by(part)]

    def _left_by(self, part: Part) -> NDArray[np.bool_]:
        """Which of the rows a part has not trained `(N,)`."""
        planner = self._planner(part.max_tokens, part.processes)
        left = np.ones(len(self.rows), dtype=bool)
        for rank in range(part.processes):
            batches = planner.batches(self.epoch, rank)
            for step in range(part.steps):
                left[batches[step]] = False
        return left

    def num_steps(self, max_tokens: int, processes: int) -> int:
        """The number of steps that train the rows."""
        return self._planner(max_tokens, processes).num_steps

    def batches(self, max_tokens: int, processes: int, rank: int) -> Ragged:
        """The batches of one process that train the rows."""
        batches = self._planner(max_tokens, processes).batches(self.epoch, rank)
        return Ragged(self.rows[batches.values].astype(np.int32), batches.offsets)

    def _planner(self, max_tokens: int, processes: int) -> EpochPlanner:
        lengths = self._lengths[self.rows]
        return EpochPlanner(lengths, max_tokens, processes=processes, seed=self.seed)
