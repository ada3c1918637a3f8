"""What a run remembers of its epochs, and how it ends when somebody presses Ctrl-C."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from threading import current_thread, main_thread

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class Recorder(Callback):
    """Keeps a row for each epoch: losses, dev metrics, seconds and training tokens per second.

    The rows are part of the checkpoint, so that a resumed run has the whole learning curve. On the first Ctrl-C
    the batch at hand is finished and `last.ckpt` written, so that a resume loses and repeats nothing.

    Args:
        last: where to write the checkpoint of an interrupted run.
    """

    def __init__(self, last: Path):
        self.last = last
        self.rows: list[dict] = []
        self.interrupted = False
        self._tokens, self._seconds, self._since = 0, 0.0, 0.0

    @property
    def seconds(self) -> float:
        """Seconds spent on training, validation excluded."""
        return sum(row["seconds"] for row in self.rows)

    @property
    def tokens_per_second(self) -> float:
        """Training tokens per second over all epochs; this process's own."""
        return sum(row["tokens"] for row in self.rows) / max(self.seconds, 1e-9)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # With several processes only whole epochs are kept: they would not stop at the same batch.
        if current_thread() is main_thread() and trainer.world_size == 1:
            self._previous = signal.signal(signal.SIGINT, self._on_interrupt)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_signal()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._restore_signal()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tokens, self._seconds, self._since = 0, 0.0, time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self._tokens += batch.lengths.sum()  # no value is read here: that would stall a GPU
        if self.interrupted:
            trainer.save_checkpoint(self.last)
            raise KeyboardInterrupt

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seconds += time.perf_counter() - self._since

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append(
            {"epoch": trainer.current_epoch, **scores, "seconds": self._seconds, "tokens": int(self._tokens)}
        )

    def state_dict(self) -> dict:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict) -> None:
        self.rows = list(state_dict["rows"])

    def _on_interrupt(self, signum, frame) -> None:
        self.interrupted = True
        self._restore_signal()  # a second Ctrl-C stops at once

    def _restore_signal(self) -> None:
        if getattr(self, "_previous", None) is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None
