"""Checks of the Trainer's flags: a run that could report nothing is refused before anything is read or written."""

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
        options: the Trainer's flags.
        test: whether the run is to be scored on test.

    Raises:
        ZooError: there is such a flag.
    """
    limits = ["max_epochs", "max_steps", "limit_train_batches", "limit_val_batches"]
    if test:
        limits.append("limit_test_batches")
    for name in limits:
        if getattr(options, name) == 0:
            raise ZooError(f"--trainer.{name} 0 leaves nothing to report: leave it out, or give more than 0")
    for name, wrong in (("enable_checkpointing", False), ("barebones", True)):
        if getattr(options, name) is wrong:
            raise ZooError(f"--trainer.{name} {str(wrong).lower()} leaves no best checkpoint to report: leave it out")
    if options.accumulate_grad_batches < 1:
        raise ZooError(
            f"expected --trainer.accumulate_grad_batches of at least 1, got {options.accumulate_grad_batches}"
        )
    if options.fast_dev_run:
        few = " ".join(f"--trainer.{name} 2" for name in ("max_epochs", "limit_train_batches", "limit_val_batches"))
        raise ZooError(f"--trainer.fast_dev_run leaves no checkpoint to report: for a short trial give {few}")
    batches = options.val_check_interval
    if isinstance(batches, int) and batches > 1 and options.check_val_every_n_epoch is not None:
        raise ZooError(
            f"--trainer.val_check_interval {batches} counts the batches of one epoch, which may have fewer: to count "
            "across epochs add --trainer.check_val_every_n_epoch null, or give a share of an epoch, such as 0.5"
        )
    epochs = options.max_epochs or 0
    every = options.check_val_every_n_epoch or 1
    if 0 < epochs < every:
        raise ZooError(
            f"--trainer.check_val_every_n_epoch {every} never scores a model on dev in --trainer.max_epochs {epochs}: "
            "give more epochs, or score more often"
        )


def check_shares(trainer: pl.Trainer, data: CorpusDataModule[Any], *, test: bool) -> None:
    """Refuses a limit that is a fraction of a split and less than one batch of it.

    Args:
        trainer: a Trainer that does not yet know the data.
        data: set up for all splits that will be read.
        test: whether test is one of them.

    Raises:
        ZooError: there is such a limit.
    """
    limits = {"train": trainer.limit_train_batches, "val": trainer.limit_val_batches}
    loaders = {"train": data.train_dataloader, "val": data.val_dataloader}
    if test:
        limits["test"], loaders["test"] = trainer.limit_test_batches, data.test_dataloader
    for split, share in limits.items():
        if isinstance(share, float):
            # Each process gets at least one batch.
            batches = max(1, len(loaders[split]()) // trainer.world_size)
            _check_share(f"limit_{split}_batches", share, batches)


def _check_share(name: str, share: float, batches: int) -> None:
    if int(share * batches) == 0:
        enough = f"{1.01 / batches:.3g}"
        raise ZooError(
            f"--trainer.{name} {share:g} is less than one of {batches} batches: give a number of batches, or at least "
            f"{enough}"
        )


@contextmanager
def fitting(problem: str, kinds: type[Exception] | tuple[type[Exception], ...] = Exception) -> Iterator[None]:
    """Turns an error of Lightning, which a wrong flag has caused, into a message: `problem` and the error's own text.

    Args:
        problem: the beginning of the message.
        kinds: the exceptions that are turned.

    Raises:
        ZooError: there was one.
    """
    try:
        yield
    except ZooError:
        raise
    except kinds as error:
        raise ZooError(f"{problem}: {one_line(str(error)) or type(error).__name__}") from error
