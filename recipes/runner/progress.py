"""The progress bar of a training in a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from recipes.runner.callbacks import Recorder
from recipes.runner.hardware import peak_memory_mb
from zoo.metrics.display import score_format

# Drawing takes about two milliseconds.
SECONDS_BETWEEN = 0.5


class TrainingBar(ProgressBar):
    """Shows the batches of the epoch, the time left for the whole training, loss, dev score, tokens/s and memory.

    It is drawn at most twice a second, so that it costs a training of many steps per second nothing that one sees.

    Args:
        recorder: has the scores and counts the tokens. It comes before this callback.
        monitor: the dev score to show.
    """

    def __init__(self, recorder: Recorder, monitor: str):
        super().__init__()
        self.recorder = recorder
        self.monitor = monitor
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[left]}"),
            console=self.console,
            auto_refresh=False,
        )
        self.task = self.progress.add_task("", total=1, left="")
        self.numbers = Text(no_wrap=True, overflow="ellipsis")
        self._enabled = True
        self._live: Live | None = None
        self._drawn = 0.0
        # The time of the first batch, and the fraction of the training that was done then.
        self._start: tuple[float, float] | None = None

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    # Lightning calls these on the process that shows the bar, and on the others, where it is disabled.

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = None
        self._open()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._start is None:
            self._start = (time.monotonic(), _share_done(trainer, batch_idx + 1))
        if self._is_due(batch_idx + 1, self.total_train_batches):
            self._tell(trainer, batch_idx + 1)
            limit = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
            self._draw(f"epoch {trainer.current_epoch + 1}{limit}", batch_idx + 1, self.total_train_batches)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        total = sum(trainer.num_val_batches)
        if self._is_due(batch_idx + 1, total):
            self._draw("dev", batch_idx + 1, total)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.numbers = Text()
        self.progress.update(self.task, left="")
        self._open()

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        total = sum(trainer.num_test_batches)
        if self._is_due(batch_idx + 1, total):
            self._draw("test", batch_idx + 1, total)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _open(self) -> None:
        if self._enabled and self._live is None:
            # What is printed goes above the bar; standard output may be a file.
            self._live = Live(console=self.console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _is_due(self, done: int, total: float) -> bool:
        now = time.monotonic()
        if self._live is None or (now - self._drawn < SECONDS_BETWEEN and done < total):
            return False
        self._drawn = now
        return True

    def _draw(self, description: str, done: int, total: float) -> None:
        self.progress.update(self.task, description=description, completed=done, total=total)
        if self._live is not None:
            self._live.update(Group(self.progress, self.numbers), refresh=True)

    def _tell(self, trainer: pl.Trainer, batches: int) -> None:
        """Takes up the numbers of the training so far."""
        share = _share_done(trainer, batches)
        if self._start is not None and share > self._start[1]:
            begun, share_before = self._start
            seconds = (time.monotonic() - begun) * (1 - share) / (share - share_before)
            self.progress.update(self.task, left=f"{duration(seconds)} left")
        parts = []
        loss = trainer.progress_bar_metrics.get("train/loss")
        if loss is not None:
            parts.append(f"loss {float(loss):.4f}")
        if self.recorder.rows:
            parts.append(f"{self.monitor} {score_format(self.monitor).number(self.recorder.rows[-1][self.monitor])}")
        parts.append(f"{self.recorder.tokens_per_second_now * trainer.world_size:,.0f} tokens/s")
        memory = peak_memory_mb()
        if memory is not None:
            parts.append(f"{memory:,} MB")
        self.numbers = Text("  ".join(parts), no_wrap=True, overflow="ellipsis")


def shows_progress(asked: bool | None, *, quiet: bool) -> bool:
    """Whether a bar is shown: in a terminal, unless the user does not want it."""
    return sys.stderr.isatty() and asked is not False and not quiet


def duration(seconds: float) -> str:
    """A number of seconds as `0:05`, `12:34` or `1:02:03`.

    >>> duration(5), duration(754), duration(3723)
    ('0:05', '12:34', '1:02:03')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _share_done(trainer: pl.Trainer, batches: int) -> float:
    """The fraction of a training that is done, after so many batches of the epoch; 0 if it has no limit."""
    share = 0.0
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        share = (trainer.current_epoch + batches / trainer.num_training_batches) / trainer.max_epochs
    if trainer.max_steps > 0:
        share = max(share, trainer.global_step / trainer.max_steps)
    return min(share, 1.0)
