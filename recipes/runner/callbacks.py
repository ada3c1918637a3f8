"""Records the learning curve of a run."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from recipes.runner.recipe import instance
from recipes.runner.run_folder import RunFolder
from recipes.runner.whole_files import replacing
from zoo.metrics.display import higher_is_better, score_format
from zoo.models.base import ZooModule
from zoo.models.processes import of_all_processes
from zoo.models.trained import batch_loss
from zoo.models.union import LossAverage


def best_row(rows: Sequence[dict[str, float]], monitor: str) -> dict[str, float]:
    """The row of a learning curve with the best score `monitor`. Of equal rows it is the first, like the checkpoint."""
    scored = [row for row in rows if not math.isnan(row[monitor])] or rows
    choose = max if higher_is_better(monitor) else min
    return choose(scored, key=lambda row: row[monitor])


class Recorder(Callback):
    """Keeps a row for each validation: epochs so far, dev metrics, and loss, tokens and seconds since the last one.

    The rows are part of the checkpoint, so a resumed run has the whole learning curve and no row twice.

    Args:
        folder: the folder of the run, where the table of rows is written.
        monitor: the score that is printed after each validation.
        quiet: whether nothing is printed.
    """

    def __init__(self, folder: RunFolder, monitor: str, *, quiet: bool = False):
        self.folder = folder
        self.monitor = monitor
        self.quiet = quiet
        self.rows: list[dict[str, float]] = []
        # Finished epochs, with the finished fraction of the current epoch.
        self._epochs = 0.0
        self._saved_by_ranks: list[dict[str, Any]] = []
        self._tokens: Tensor | int
        self._loss = LossAverage()
        self._reset()

    @property
    def seconds(self) -> float:
        """Seconds of training, without validation."""
        return sum(row["seconds"] for row in self.rows)

    @property
    def tokens_per_second(self) -> float:
        """Training tokens per second over all rows, of all processes together."""
        return sum(row["tokens"] for row in self.rows) / max(self.seconds, 1e-9)

    @property
    def tokens_per_second_now(self) -> float:
        """Training tokens per second since the last validation, of this process."""
        seconds: float = self._seconds + time.perf_counter() - self._since
        return float(self._tokens) / max(seconds, 1e-9)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A run that is resumed within an epoch gets no `on_train_epoch_start`, so the clock starts here.
        self._since = time.perf_counter()
        if self._saved_by_ranks:
            own = self._saved_by_ranks[trainer.global_rank % len(self._saved_by_ranks)]
            self._tokens = own["tokens"]
            self._loss.load_state_dict(own["loss"])
            self._saved_by_ranks = []
        # A run that was killed after its checkpoint may have written more rows.
        if self.rows and trainer.is_global_zero:
            self.write_rows()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = batch_loss(outputs, trainer)
        # A batch without a loss was skipped.
        if loss is not None:
            self._tokens += batch.num_tokens
            instance(pl_module, ZooModule).add_to_average(self._loss, loss)
        self._epochs = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seconds += time.perf_counter() - self._since

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        scores["train/loss"] = float(self._loss.compute(pl_module.device))
        tokens = int(trainer.strategy.reduce(torch.as_tensor(self._tokens), reduce_op="sum"))
        row = {"epochs": self._epochs, **scores, "seconds": self._seconds, "tokens": tokens}
        self.rows.append(row)
        if trainer.is_global_zero:
            self.write_rows()
        if trainer.is_global_zero and not self.quiet:
            speed = f"{tokens / max(self._seconds, 1e-9):,.0f} tokens/s"
            score = f"{self.monitor} {score_format(self.monitor).number(row[self.monitor])}"
            # None and -1 mean that there is no limit.
            limit = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
            epochs = f"epoch {row['epochs']:.3g}{limit}"
            print(f"{epochs}  train/loss {row['train/loss']:.4f}  {score}  {speed}", file=sys.stderr, flush=True)
        self._reset()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        own = {"tokens": int(self._tokens), "loss": self._loss.state_dict()}
        seconds = self._seconds
        if trainer.training:
            seconds += time.perf_counter() - self._since
        checkpoint["recorder"] = {
            "rows": list(self.rows), "epochs": self._epochs, "seconds": seconds, "ranks": of_all_processes(own),
        }  # fmt: skip

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        saved = checkpoint["recorder"]
        self.rows = list(saved["rows"])
        self._epochs = saved["epochs"]
        self._seconds = saved["seconds"]
        self._saved_by_ranks = saved["ranks"]

    def _reset(self) -> None:
        """Resets the counts after a validation."""
        self._tokens = 0
        self._loss.reset()
        self._seconds = 0.0
        self._since = time.perf_counter()

    def write_rows(self) -> None:
        """Writes the learning curve as CSV, a line for each validation."""
        with replacing(self.folder.curve) as part, part.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(dict.fromkeys(name for row in self.rows for name in row)))
            table.writeheader()
            table.writerows(self.rows)
