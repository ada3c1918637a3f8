"""Plans which rows make the batches of an epoch, on all processes alike.

Shapes: N rows, S sides of a row (2 for pairs), M batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.batches.bucketing import Lengths, batch_offsets, check_budget, run_starts, sides_of, sort_by_length
from zoo.batches.ragged import Ragged
from zoo.errors import ZooError


def check_rows(rows: int, processes: int, *, of: str) -> None:
    """Refuses fewer rows than processes. A process without a batch would not take part in what the others compute.

    Args:
        rows: the number of rows.
        processes: the number of processes.
        of: the name of the split, for the message.

    Raises:
        ZooError: there are fewer rows.
    """
    if rows < processes:
        raise ZooError(
            f"expected at least one row for each of {processes} processes, got {rows} in {of}: use fewer devices"
        )


class EpochPlanner:
    """Plans the steps of each epoch: each step has one batch for each process.

    Every row occurs exactly once in an epoch. A plan depends only on the arguments and the number of the epoch, so
    every process makes the same plan and takes its own part. The batches of one step have similar lengths, so no
    process waits long for another. From epoch to epoch, rows of the same length swap places and the steps change their
    order. Where batches begin among the rows sorted by length never changes, and with it the number of steps, because
    Lightning asks for it once.

    Args:
        lengths: the number of tokens in each row, or in each side of it.
        max_tokens: the token budget of a batch, padding included.
        processes: the number of batches in each step.
        seed: seeds the shuffling.

    Raises:
        ZooError: fewer rows than processes, or a budget below 1.
    """

    def __init__(self, lengths: Lengths, max_tokens: int, *, processes: int = 1, seed: int = 0):
        check_budget(max_tokens)
        check_rows(len(lengths), processes, of="a split")
        self.processes, self.seed = processes, seed
        sides = sides_of(lengths)  # (N, S)
        order = sort_by_length(sides)
        sides = sides[order]
        self._offsets = _shared_evenly(batch_offsets(sides, max_tokens), processes)  # (M + 1,)
        # For each row, the rank of its length among all lengths.
        starts = run_starts(sides)
        ranks = np.arange(len(starts), dtype=np.min_scalar_type(len(starts)))
        self._ranks = np.empty(len(order), dtype=ranks.dtype)  # (N,)
        self._ranks[order] = np.repeat(ranks, np.diff(starts, append=len(order)))

    @property
    def num_steps(self) -> int:
        """The number of steps in every epoch."""
        return (len(self._offsets) - 1) // self.processes

    def batches(self, epoch: int, rank: int = 0) -> Ragged:
        """The rows of each batch of one process, in the order of the steps.

        Args:
            epoch: the number of the epoch, from 0.
            rank: the number of the process, from 0.
        """
        # A generator takes the bytes as a sequence of numbers. Unlike numbers of their own, seeds may be negative.
        generator = np.random.default_rng(list(f"{self.seed}/{epoch}".encode()))
        rows = generator.permutation(len(self._ranks))
        rows = rows[np.argsort(self._ranks[rows], kind="stable")]
        steps = generator.permutation(self.num_steps)
        # Batches of similar lengths follow each other: those of a step are neighbours.
        batches = Ragged(rows.astype(np.int32), self._offsets)
        return batches.take(steps * self.processes + rank)


def _shared_evenly(offsets: list[int], processes: int) -> NDArray[np.int64]:
    """The offsets of batches, their number made a multiple of `processes`.

    Halving the largest batches adds some. If there are too few rows for that, joining the shortest removes some.
    """
    num_rows = offsets[-1]
    num_batches = len(offsets) - 1
    missing = -num_batches % processes
    starts = np.array(offsets)
    if num_batches + missing > num_rows:
        return np.delete(starts, range(1, 1 + num_batches % processes))
    for _ in range(missing):
        sizes = np.diff(starts)
        largest = int(sizes.argmax())
        starts = np.insert(starts, largest + 1, starts[largest] + sizes[largest] // 2)
    return starts
