"""Training in our own workers: with a plain Trainer, as a user would, and in turns with the other systems."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from plain_trainer import Precision, plain_trainer
from pytorch_lightning.utilities.types import STEP_OUTPUT
from turns import Message, Pace, Turns

from zoo.models.base import ZooModule

VERSIONS = f"lstm-zoo on torch {torch.__version__} and pytorch-lightning {pl.__version__}"


class TakeTurns(pl.Callback):
    """Lets the other systems train between a Trainer's steps. `count` returns how many tokens or texts a batch has."""

    def __init__(self, turns: Turns, rounds: int, count: Callable[[Any], int]):
        self.turns, self.rounds, self.count = turns, rounds, count

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.pace = Pace(self.turns, self.rounds, steps=int(trainer.estimated_stepping_batches))
        self.pace.begin()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        self.pace.step(self.count(batch))


def take_settings(turns: Turns) -> Message:
    """Takes the first command, silences warnings and logs, and sets threads and the seed."""
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    settings = turns.take()
    torch.set_num_threads(settings["threads"])
    pl.seed_everything(0, verbose=False)
    return settings


def train(
    turns: Turns,
    model: ZooModule,
    data: pl.LightningDataModule,
    count: Callable[[Any], int],
    *,
    epochs: int,
    rounds: int,
    precision: Precision,
    folder: str,
    clip: float | None = None,
) -> None:
    """Trains, and saves the model in `folder`. `clip` is the largest norm of the gradients, if the peers clip them."""
    take_turns = TakeTurns(turns, rounds, count)
    plain_trainer(take_turns, precision=precision, max_epochs=epochs, clip=clip).fit(model, data)
    model.save_pretrained(folder)
    turns.give(**take_turns.pace.result)
