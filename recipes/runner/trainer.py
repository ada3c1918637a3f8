"""Checks the flags of the Trainer. A run that could not report anything is refused before files are read or written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace

from datamodules.base import CorpusDataModule
from recipes.runner.parser import one_line
from zoo.errors import ZooError


def check_trainer(options: Namespace, *, test: bool) -> None:
    """Refuses flags that would leave a run without a best checkpoint, or without the scores that it reports.

    Args:
        options: the flags of the Trainer.
        test: whether the run will be scored on test.

    Raises:
        ZooError: a flag has such a value.
    """
    limits = ["max_epochs", "max_steps", "limit_train_batches", "limit_val_batches"]
    if test:
        limits.append("limit_test_batches")
    for name in limits:
        if getattr(options, name) == 0:
            raise ZooError(f"--trainer.{name} 0 leaves nothing to report: leave it out, or give a number above 0")
    for name, wrong in (("enable_checkpointing", False), ("barebones", True)):
        if getattr(options, name) is wrong:
            raise ZooError(f"--trainer.{name} {str(wrong).lower()} saves no checkpoint to report: leave it out")
    if options.accumulate_grad_batches < 1:
        raise ZooError(
            f"expected --trainer.accumulate_grad_batches of at least 1, got {options.accumulate_grad_batches}"
        )
    if options.fast_dev_run:
        few = " ".join(f"--trainer.{name} 2" for name in ("max_epochs", "limit_train_batches", "limit_val_batches"))
        raise ZooError(f"--trainer.fast_dev_run saves no checkpoint to report: for a short trial, give {few}")
    batches = options.val_check_interval
    if isinstance(batches, int) and batches > 1 and options.check_val_every_n_epoch is not None:
        raise ZooError(
            f"--trainer.val_check_interval {batches} counts batches within an epoch, which may have fewer: to count "
            "across epochs, add --trainer.check_val_every_n_epoch null; or give a fraction of an epoch, such as 0.5"
        )
    epochs = options.max_epochs or 0
    every = options.check_val_every_n_epoch or 1
    if 0 < epochs < every:
        raise ZooError(
            f"--trainer.check_val_every_n_epoch {every} never scores a model on dev in --trainer.max_epochs "
            f"{epochs}: give more epochs, or score more often"
        )


def check_precision(options: Namespace, trainer: pl.Trainer) -> None:
    """Refuses a precision that Lightning has replaced by another one, because the device lacks it.

    Args:
        options: the flags of the Trainer.
        trainer: what was made of them.

    Raises:
        ZooError: the precision is fp16, and the device is a CPU.
    """
    if str(options.precision) in ("16", "16-mixed") and trainer.precision != "16-mixed":
        raise ZooError(
            f"--trainer.precision {options.precision} needs a GPU: on a CPU give --trainer.precision bf16-mixed"
        )


def check_shares(trainer: pl.Trainer, data: CorpusDataModule[Any, Any], *, test: bool) -> None:
    """Refuses splits with fewer rows than processes, and limits that are fractions of a split but less than a batch.

    Args:
        trainer: the Trainer, before it has the data.
        data: the data, set up for all splits that will be read.
        test: whether the test split will be read.

    Raises:
        ZooError: there is such a split, or a limit is less than one batch.
    """
    data.check_processes(trainer.world_size, ("train", "dev", "test") if test else ("train", "dev"))
    limits = {"train": trainer.limit_train_batches, "val": trainer.limit_val_batches}
    loaders = {"train": data.train_dataloader, "val": data.val_dataloader}
    if test:
        limits["test"], loaders["test"] = trainer.limit_test_batches, data.test_dataloader
    for split, share in limits.items():
        if isinstance(share, float):
            # Every process gets at least one batch.
            batches = max(1, len(loaders[split]()) // trainer.world_size)
            _check_share(f"limit_{split}_batches", share, batches)


def _check_share(name: str, share: float, batches: int) -> None:
    if int(share * batches) == 0:
        enough = f"{1.01 / batches:.3g}"
        raise ZooError(
            f"--trainer.{name} {share:g} of {batches} batches is less than one batch: give a whole number of batches, "
            f"or at least {enough}"
        )


@contextmanager
def fitting(problem: str, kinds: type[Exception] | tuple[type[Exception], ...] = Exception) -> Iterator[None]:
    """Turns an exception of Lightning that a wrong flag causes into an error with a short message.

    Args:
        problem: the beginning of the message. The text of the exception follows.
        kinds: the classes of exceptions to turn.

    Raises:
        ZooError: such an exception was raised.
    """
    try:
        yield
    except ZooError:
        raise
    except kinds as error:
        raise ZooError(f"{problem}: {one_line(str(error)) or type(error).__name__}") from error
