"""What our own workers share: they train as a user would, with a plain Trainer, and take turns with the others."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from plain_trainer import plain_trainer
from turns import Pace, Turns

from zoo.models.base import ZooModule

VERSIONS = f"lstm-zoo on torch {torch.__version__} and pytorch-lightning {pl.__version__}"


class TakeTurns(pl.Callback):
    """Lets the other systems train between a Trainer's steps; `count` says what there is in a batch."""

    def __init__(self, turns: Turns, rounds: int, count: Callable):
        self.turns, self.rounds, self.count = turns, rounds, count

    def on_train_start(self, trainer, module) -> None:
        self.pace = Pace(self.turns, self.rounds, steps=int(trainer.estimated_stepping_batches))
        self.pace.begin()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.pace.step(self.count(batch))


def take_settings(turns: Turns) -> dict:
    """The first command, after which nothing but results is said."""
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
    count: Callable,
    *,
    epochs: int,
    rounds: int,
    precision: str,
    folder: str,
    clip: float | None = None,
) -> None:
    """Trains, clipping gradients where the peers do, and saves the model in `folder`."""
    take_turns = TakeTurns(turns, rounds, count)
    plain_trainer(take_turns, precision=precision, max_epochs=epochs, clip=clip).fit(model, data)
    model.save_pretrained(folder)
    turns.give(**take_turns.pace.result)
