"""Records the learning curve of a run, and ends the run on a signal."""

from __future__ import annotations

import csv
import math
import signal
import sys
import time
from collections.abc import Sequence
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from recipes.runner.recipe import instance
from recipes.runner.run_folder import RunFolder
from zoo.metrics.display import higher_is_better, score_format
from zoo.models.base import ZooModule
from zoo.models.trained import batch_loss
from zoo.models.union import LossAverage

# SIGINT comes from Ctrl-C. SIGTERM comes from `kill`, a scheduler or a shutdown, before the process is killed.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def best_row(rows: Sequence[dict[str, float]], monitor: str) -> dict[str, float]:
    """The row of a learning curve with the best score `monitor`. Of equal rows it is the first, like the checkpoint."""
    scored = [row for row in rows if not math.isnan(row[monitor])] or rows
    choose = max if higher_is_better(monitor) else min
    return choose(scored, key=lambda row: row[monitor])


class Recorder(Callback):
    """Keeps a row for each validation: epochs so far, dev metrics, and loss, tokens and seconds since the last one.

    The rows are part of the checkpoint, so a resumed run has the whole learning curve. After the first Ctrl-C or
    SIGTERM, the run finishes the current batch and writes `last.ckpt`, so that a resumed run loses and repeats nothing.
    The process then exits with 130 or 143, as it would without this callback. A second signal ends it immediately.

    Args:
        folder: the folder of the run. The table of rows and the checkpoint of an interrupted run are written there.
        monitor: the score that is printed after each validation.
    """

    def __init__(self, folder: RunFolder, monitor: str):
        self.folder = folder
        self.monitor = monitor
        self.rows: list[dict[str, float]] = []
        # Finished epochs, with the finished fraction of the current epoch.
        self._epochs = 0.0
        self._signal: int | None = None
        # The handlers to restore, by signal.
        self._previous: dict[int, Any] = {}
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

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A run that is resumed within an epoch gets no `on_train_epoch_start`, so the clock starts here.
        self._since = time.perf_counter()
        # These handlers replace the ones of Lightning, which write no checkpoint and exit with 0. Several processes
        # would not stop at the same batch, so their runs keep only the checkpoints of whole epochs.
        if current_thread() is main_thread() and trainer.world_size == 1:
            self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_signals()
        # The signal came after the last batch, so the checkpoint is already written.
        self._end_on_signal()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._restore_signals()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = batch_loss(outputs, trainer)
        # A batch without a loss was skipped.
        if loss is not None:
            self._tokens += batch.num_tokens
            instance(pl_module, ZooModule).add_to_average(self._loss, loss)
        self._epochs = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
        if self._signal is not None:
            self._seconds += time.perf_counter() - self._since
            trainer.save_checkpoint(self.folder.last)
            self._end_on_signal()

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
            speed = f"{tokens / max(self._seconds, 1e-9):,.0f} tokens/s"
            score = f"{self.monitor} {score_format(self.monitor).number(row[self.monitor])}"
            # None and -1 mean that there is no limit.
            limit = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
            epochs = f"epoch {row['epochs']:.3g}{limit}"
            print(f"{epochs}  train/loss {row['train/loss']:.4f}  {score}  {speed}", file=sys.stderr, flush=True)
        self._reset()

    def state_dict(self) -> dict[str, Any]:
        since = {"tokens": int(self._tokens), "loss": self._loss.state_dict()}
        return {"rows": self.rows, **since, "seconds": self._seconds, "epochs": self._epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self._tokens = state_dict["tokens"]
        self._loss.load_state_dict(state_dict["loss"])
        self._seconds = state_dict["seconds"]
        self._epochs = state_dict["epochs"]

    def _reset(self) -> None:
        """Resets the counts after a validation."""
        self._tokens = 0
        self._loss.reset()
        self._seconds = 0.0
        self._since = time.perf_counter()

    def write_rows(self) -> None:
        """Writes the learning curve as CSV, a line for each validation."""
        with self.folder.curve.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(dict.fromkeys(name for row in self.rows for name in row)))
            table.writeheader()
            table.writerows(self.rows)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        self._restore_signals()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _end_on_signal(self) -> None:
        if self._signal is not None:
            raise SystemExit(128 + self._signal)

    def _restore_signals(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
