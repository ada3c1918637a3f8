"""What a run remembers of its training, and how it ends when it is told to."""

from __future__ import annotations

import csv
import math
import signal
import sys
import time
from collections.abc import Sequence
from threading import current_thread, main_thread

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from recipes.runner.run_folder import RunFolder
from zoo.metrics.display import higher_is_better, score_format
from zoo.models.base import batch_loss

# Ctrl-C, and what `kill`, a scheduler or a shutdown send before they end a process for good.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def best_row(rows: Sequence[dict[str, float]], monitor: str) -> dict[str, float]:
    """The row of a learning curve whose score `monitor` is best; of equal ones the first, as its checkpoint is kept."""
    scored = [row for row in rows if not math.isnan(row[monitor])] or rows
    choose = max if higher_is_better(monitor) else min
    return choose(scored, key=lambda row: row[monitor])


class Recorder(Callback):
    """Keeps a row for each validation: epochs so far, dev metrics, and loss, tokens and seconds since the last one.

    The rows are part of the checkpoint, so that a resumed run has the whole learning curve. On the first Ctrl-C or
    SIGTERM the batch at hand is finished and `last.ckpt` written, so that a resume loses and repeats nothing; the
    process then ends with 130 or 143, as it would have by itself. A second signal ends it at once.

    Args:
        folder: the run's, for the rows as a table and for the checkpoint of an interrupted run.
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.rows: list[dict] = []
        self._epochs = 0.0  # so far, this one's share included
        self._signal: int | None = None
        self._previous: dict[int, object] = {}
        self._reset()

    @property
    def seconds(self) -> float:
        """Seconds spent on training, validation excluded."""
        return sum(row["seconds"] for row in self.rows)

    @property
    def tokens_per_second(self) -> float:
        """Training tokens per second over all rows, of all processes together."""
        return sum(row["tokens"] for row in self.rows) / max(self.seconds, 1e-9)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()  # a run resumed within an epoch sees no start of it
        # Only now, in the place of Lightning's own, which ends without a checkpoint and with 0. With several processes
        # only whole epochs are kept: they would not stop at the same batch.
        if current_thread() is main_thread() and trainer.world_size == 1:
            self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_signals()
        self._end_if_told()  # told after the last batch, of which there is a checkpoint

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._restore_signals()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        loss = batch_loss(outputs, trainer)
        if loss is not None:  # else the batch was skipped
            self._tokens += batch.num_tokens
            self._losses += loss
            self._batches += 1
        self._epochs = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
        if self._signal is not None:
            self._seconds += time.perf_counter() - self._since
            trainer.save_checkpoint(self.folder.last)
            self._end_if_told()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seconds += time.perf_counter() - self._since

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        scores["train/loss"] = float(self._losses) / max(1, self._batches)
        tokens = int(trainer.strategy.reduce(torch.as_tensor(self._tokens), reduce_op="sum"))
        row = {"epochs": self._epochs, **scores, "seconds": self._seconds, "tokens": tokens}
        self.rows.append(row)
        if trainer.is_global_zero:
            self.write_rows()
            speed = f"{tokens / max(self._seconds, 1e-9):,.0f} tokens/s"
            monitor = pl_module.monitor
            score = f"{monitor} {score_format(monitor).number(row[monitor])}"
            limit = f"/{trainer.max_epochs}" if trainer.max_epochs > 0 else ""  # -1 for none
            epochs = f"epoch {row['epochs']:.3g}{limit}"
            print(f"{epochs}  train/loss {row['train/loss']:.4f}  {score}  {speed}", file=sys.stderr, flush=True)
        self._reset()

    def state_dict(self) -> dict:
        since = {"tokens": int(self._tokens), "losses": float(self._losses), "batches": self._batches}
        return {"rows": self.rows, **since, "seconds": self._seconds, "epochs": self._epochs}

    def load_state_dict(self, state_dict: dict) -> None:
        self.rows = list(state_dict["rows"])
        self._tokens, self._losses = state_dict["tokens"], state_dict["losses"]
        self._batches, self._seconds = state_dict["batches"], state_dict["seconds"]
        self._epochs = state_dict["epochs"]

    def _reset(self) -> None:
        self._tokens, self._losses, self._batches = 0, 0.0, 0
        self._seconds, self._since = 0.0, time.perf_counter()

    def write_rows(self) -> None:
        """Writes the learning curve as a table, a line for each validation."""
        with self.folder.curve.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(dict.fromkeys(name for row in self.rows for name in row)))
            table.writeheader()
            table.writerows(self.rows)

    def _on_signal(self, number: int, frame) -> None:
        self._signal = number
        self._restore_signals()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _end_if_told(self) -> None:
        if self._signal is not None:
            raise SystemExit(128 + self._signal)

    def _restore_signals(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
