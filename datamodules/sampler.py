"""Epochs of batches: buckets of like lengths within a token budget, planned alike on every process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from zoo.batches.bucketing import group_by_length
from zoo.errors import ZooError

Batch = TypeVar("Batch", covariant=True)
Lengths = Sequence[int] | Sequence[tuple[int, ...]]  # tokens in each row, or of each of its sides


class BatchDataset(Protocol[Batch]):
    """A split as tensors, of any task: `zoo.batches.TaggingDataset` is one."""

    lengths: Lengths

    def batch(self, rows: Sequence[int]) -> Batch:
        """The rows asked for, in that order, padded."""


def plan_epoch(
    lengths: Lengths, max_tokens: int, *, processes: int = 1, seed: int = 0, epoch: int = 0
) -> list[list[list[int]]]:
    """The steps of an epoch: for each step, one batch of rows for each process.

    Every row occurs exactly once. The plan depends on its arguments alone, so each process makes the same one
    and takes its own part; batches of one step have like lengths, so that no process waits for long. Rows of one
    length, and the steps, change places from epoch to epoch; the number of steps stays: Lightning asks once.

    Args:
        lengths: tokens in each row.
        max_tokens: budget of a batch, padding included.
        processes: batches in each step.
        seed: of the shuffling.
        epoch: 0 for the first.

    Raises:
        ZooError: fewer rows than processes.
    """
    if len(lengths) < processes:
        raise ZooError(f"{len(lengths)} rows cannot be dealt to {processes} processes: use fewer devices")
    dice = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    dice.shuffle(order)
    batches = group_by_length(lengths, max_tokens, order)
    # Every process needs a batch in every step: halve the largest ones, or join short ones where rows are too few.
    missing = -len(batches) % processes
    if len(batches) + missing <= len(lengths):
        for _ in range(missing):
            largest = max(range(len(batches)), key=lambda i: len(batches[i]))
            rows = batches[largest]
            batches[largest : largest + 1] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    else:
        for _ in range(len(batches) % processes):
            batches[:2] = [batches[0] + batches[1]]
    steps = [batches[i : i + processes] for i in range(0, len(batches), processes)]
    dice.shuffle(steps)
    return steps


class BatchLoader(Generic[Batch]):
    """An iterable of batches that knows where it is: each pass is the next epoch, a restored pass goes on.

    It is no `DataLoader`, on purpose: a batch is a few indexing operations, so workers would only cost; Lightning
    saves and restores its state within an epoch; and Lightning leaves its share of a distributed epoch alone.

    Args:
        data: the encoded split.
        max_tokens: budget of a batch, padding included.
        repeat: whether every epoch has the batches of the first one, in its order.
        seed: of the shuffling.
        rank: this process.
        processes: all processes.
        trainer_epoch: tells, when a pass begins, which epoch it is; by default the loader counts by itself. A Trainer
            must be asked: it may end a pass early (`limit_train_batches`) or ask for a new loader
            (`reload_dataloaders_every_n_epochs`).
    """

    def __init__(
        self,
        data: BatchDataset[Batch],
        max_tokens: int,
        *,
        repeat: bool = False,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
        trainer_epoch: Callable[[], int] | None = None,
    ):
        self.data, self.max_tokens = data, max_tokens
        self.repeat, self.seed = repeat, seed
        self.rank, self.processes = rank, processes
        self.trainer_epoch = trainer_epoch
        self.epoch, self.position = 0, 0  # of the pass that is under way
        self._restored = False
        self._steps = len(self._plan())

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._next_epoch()
        if epoch != self.epoch or not self._restored:
            self.epoch, self.position = epoch, 0
        self._restored = False
        for step in self._plan()[self.position :]:
            self.position += 1
            yield self.data.batch(step[self.rank])

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position, self._restored = state["epoch"], state["position"], True

    def _next_epoch(self) -> int:
        if self.trainer_epoch is not None:
            return self.trainer_epoch()
        begun = self.position > 0 and not self._restored
        finished = self.position == len(self)
        return self.epoch + 1 if begun or finished else self.epoch

    def _plan(self) -> list[list[list[int]]]:
        return plan_epoch(
            self.data.lengths,
            self.max_tokens,
            processes=self.processes,
            seed=self.seed,
            epoch=0 if self.repeat else self.epoch,
        )
