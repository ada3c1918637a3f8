"""The batches of an epoch: rows of similar length within a token budget, with the same plan on every process.

A sampler yields lists of rows, and a `DataLoader` turns each list into one batch. Building a batch takes a few indexing
operations, so the loader neither collates nor needs workers.
"""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler, SequentialSampler

from datamodules.planning import EpochPlanner
from datamodules.remainder import Part, Remainder
from zoo.batches.bucketing import Lengths
from zoo.batches.ragged import Ragged

# Warnings of Lightning that do not apply. Workers gain little here, the DataModule saves the position of a loader, and
# the sampler predicts every row.
NOT_OF_THESE_LOADERS = (
    ".*does not have many workers",
    ".*your dataloader is not resumable",
    "You are using a custom batch sampler `RepeatingSampler` for prediction",
)

Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)


class BatchDataset(Protocol[Batch_co]):
    """A split of any task as tensors, such as `zoo.batches.tagging.TaggingDataset`."""

    @property
    def lengths(self) -> Lengths:
        """The number of tokens in each row."""

    def batch(self, rows: Sequence[int]) -> Batch_co:
        """The given rows as one padded batch, in the given order."""


class Position(NamedTuple):
    """A position in a training: the epoch, from 0, and the number of finished batches of that epoch.

    If an epoch was begun on another number of processes, the current plan contains the rows that these `parts`
    have left over. Its batches count as the last ones of the epoch.
    """

    epoch: int
    done: int
    parts: tuple[Part, ...] = ()


def next_position(trainer: pl.Trainer) -> Position:
    """The position at which a training continues from a checkpoint that the Trainer writes now.

    Only the Trainer knows which batches it has finished, because loaders fetch batches in advance.
    """
    epoch_loop = trainer.fit_loop.epoch_loop
    epochs = asdict(trainer.fit_loop.epoch_progress.current)
    epoch = epochs["completed"]
    if epochs["started"] == epoch:
        # Between two epochs, the count of batches is still the one of the finished epoch.
        return Position(epoch, 0)
    done = asdict(epoch_loop.batch_progress.current)["processed"]
    # The Trainer may end an epoch early, because of `max_steps` or a callback. The hooks that follow see a processed
    # epoch.
    ended_early = epochs["processed"] > epoch and epoch_loop.done
    if done >= trainer.num_training_batches or ended_early:
        return Position(epoch + 1, 0)
    return Position(epoch, done)


def continue_from(trainer: pl.Trainer, position: Position) -> None:
    """Sets the Trainer's count of batches, if an epoch has another number of batches than when it was begun.

    Call it in `on_train_start`, before the Trainer continues to count.
    """
    in_this_epoch = position.epoch == trainer.fit_loop.epoch_progress.current.completed
    done = position.done if in_this_epoch else trainer.num_training_batches
    counts = trainer.fit_loop.epoch_loop.batch_progress.current
    # In a checkpoint that was written in `on_train_batch_end`, a batch is complete that is not counted yet.
    uncounted = vars(counts)["processed"] - vars(counts)["completed"]
    vars(counts).update(ready=done, started=done, processed=done, completed=done - uncounted)


class Batches(Dataset[Batch_co]):
    """A map-style dataset whose keys are lists of rows and whose items are whole batches."""

    def __init__(self, data: BatchDataset[Batch_co]):
        self.data = data

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.data.lengths)

    def __getitem__(self, rows: Sequence[int]) -> Batch_co:
        return self.data.batch(rows)

    # A loader with a batch sampler calls this method, to get all rows of a batch at once.
    __getitems__ = __getitem__


class EpochSampler(DistributedSampler[list[int]]):
    """Yields the batches of one process, each as a list of rows. The batches change from epoch to epoch.

    Lightning keeps a `DistributedSampler`, because such a sampler gives each process its own part. Without a Trainer,
    call `set_epoch` before each pass.

    Args:
        dataset: the split to sample from.
        max_tokens: the token budget of a batch, padding included.
        processes: the number of processes.
        rank: the number of this process, from 0.
        seed: seeds the shuffling.
        start: returns the position at which a pass begins: the epoch, and the number of batches to skip. It takes
            precedence over `set_epoch`.

    Raises:
        ZooError: there are fewer rows than processes.
    """

    repeats: ClassVar[bool] = False

    def __init__(
        self,
        dataset: Batches[object],
        max_tokens: int,
        *,
        processes: int = 1,
        rank: int = 0,
        seed: int = 0,
        start: Callable[[], Position] | None = None,
    ):
        super().__init__(dataset, num_replicas=processes, rank=rank, shuffle=not self.repeats, seed=seed)
        self.start = start
        self._lengths = dataset.data.lengths
        self._max_tokens = max_tokens
        self._planner = EpochPlanner(dataset.data.lengths, max_tokens, processes=processes, seed=seed)
        self._planned: tuple[int, Ragged] | None = None

    def __len__(self) -> int:
        """The number of batches in a whole epoch: the same in every epoch and on every process."""
        return self._planner.num_steps

    def __iter__(self) -> Iterator[list[int]]:
        epoch, done, parts = Position(self.epoch, 0) if self.start is None else self.start()
        if parts and not self.repeats:
            rest = Remainder(self._lengths, parts, epoch=epoch, seed=self.seed)
            batches = rest.batches(self._max_tokens, self.num_replicas, self.rank)
            done -= len(self) - len(batches)
        else:
            batches = self._batches(0 if self.repeats else epoch)
        return (batches[batch].tolist() for batch in range(done, len(batches)))

    def _batches(self, epoch: int) -> Ragged:
        """The batches of this process in an epoch; the last plan is kept."""
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._planner.batches(epoch, self.rank))
        return self._planned[1]


# The two bases are declared with different items: lists of rows (used here) and single rows.
class RepeatingSampler(EpochSampler, SequentialSampler):  # type: ignore[misc]
    """Yields the same batches in every epoch: for evaluation, and to overfit on a few batches.

    With `overfit_batches`, Lightning replaces samplers that shuffle. It recognises a `SequentialSampler` as one that
    does not.
    """

    repeats = True


def batch_loader(
    dataset: Dataset[Batch],
    sampler: Sampler[Any],
    *,
    predicts: bool = False,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Loads one batch of `dataset` for each key that `sampler` yields, such as a list of rows.

    Args:
        dataset: the batches of a split.
        sampler: yields the key of each batch.
        predicts: whether the loader is for `Trainer.predict`. Then `sampler` is a batch sampler, so that Lightning can
            tell callbacks the rows of a batch. In a training on several processes, Lightning would replace a batch
            sampler.
        num_workers: the number of processes that build batches; 0 builds them in the process that trains.
        pin_memory: whether batches are put into page-locked memory, from which a GPU copies them while it computes.
    """
    for message in NOT_OF_THESE_LOADERS:
        warnings.filterwarnings("ignore", message=message, category=PossibleUserWarning)
    return DataLoader(
        dataset,
        batch_size=1 if predicts else None,
        sampler=None if predicts else sampler,
        batch_sampler=sampler if predicts else None,
        collate_fn=_unchanged,
        num_workers=num_workers,
        pin_memory=pin_memory,
        # By default, each pass draws a number from the global generator. A resumed training would then draw other
        # numbers than an uninterrupted one.
        generator=torch.Generator(),
        worker_init_fn=_leave_signals_to_the_first_process,
    )


def _leave_signals_to_the_first_process(worker: int) -> None:
    """Lets Ctrl-C, and what a cluster sends to all processes, end no worker: the training ends them at its own end."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _unchanged(batch: Batch) -> Batch:
    return batch
