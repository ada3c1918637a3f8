"""Saves a training so that it resumes exactly: at intervals, after each validation, and before it stops."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint, WeightAveraging

from recipes.runner.checkpoints import CheckpointFiles
from recipes.runner.loops import LoopState
from recipes.runner.signals import Agreement, StopSignals
from recipes.runner.slurm import requeue
from recipes.runner.wandb_run import counting_logger
from zoo.errors import ZooError

# What a process asks of the others: nothing, a checkpoint, or to stop on the signal of this number. No signal that
# stops a training has number 1.
NOTHING = 0
SAVE = 1
WANDB_ROWS = "wandb_rows"


@dataclass(frozen=True)
class CheckpointOptions:
    """When a training is saved. It is also saved after each validation, and when a signal stops it.

    Args:
        every_minutes: the minutes between two checkpoints; None for no limit.
        every_steps: the optimizer steps between two checkpoints; by default only the time counts.
        keep: the number of checkpoints that are kept, the newest ones; the best one is kept in any case.
    """

    every_minutes: float | None = 10.0
    every_steps: int | None = None
    keep: int = 2

    def __post_init__(self) -> None:
        for name, least in (("every_minutes", 0.0), ("every_steps", 1), ("keep", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ZooError(f"expected --checkpoints.{name} of at least {least}, got {value}")


class Saver(Checkpoint):
    """Saves a training between two optimizer steps or just before a validation.

    In the middle of accumulated batches, each process has gradients of its own that no checkpoint contains. So a
    signal or a checkpoint that is due waits for the end of the step. A validation that a signal interrupts is done
    anew by the resumed run.

    A training that a signal stops exits with 128 + the signal's number.

    Args:
        files: the checkpoints of the run.
        best: saves the best model. If it has just saved one, that file is the newest checkpoint too.
        options: when to save.
    """

    def __init__(self, files: CheckpointFiles, best: ModelCheckpoint, options: CheckpointOptions):
        self.files = files
        self.best = best
        self.options = options
        self.signals = StopSignals()
        self.loops = LoopState()
        self._agreement: Agreement | None = None
        self._saved_at = 0.0
        self._saved_step = 0
        self._validated = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.signals.watch()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._agreement = Agreement()
        self._saved_at = time.monotonic()
        self._saved_step = trainer.global_step

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.loops.restore_logged_steps(trainer)
        if batch_idx % trainer.accumulate_grad_batches:
            return
        asked = self._exchange()
        self._stop(trainer, asked)
        steps = trainer.global_step
        every = self.options.every_steps
        if asked == SAVE or self._validated or (every and steps % every == 0 and steps != self._saved_step):
            self._save(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self.loops.validation_is_pending = True
        if self._between_steps(trainer):
            self._stop(trainer, self._exchange())

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self.loops.validation_is_pending or not self._between_steps(trainer):
            return
        asked = self._exchange()
        if asked > SAVE:
            for averaging in (each for each in _callbacks(trainer) if isinstance(each, WeightAveraging)):
                # During a validation the model has the averaged weights. This takes them back.
                averaging.on_validation_epoch_end(trainer, pl_module)
            self._stop(trainer, asked)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = self.loops.validation_is_pending
        self.loops.validation_is_pending = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        asked = self._settle()
        self._save(trainer)
        self._end(trainer, asked)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end(trainer, self._settle())

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.signals.unwatch()
        if trainer.is_global_zero:
            self.files.commit_left_over(trainer.global_step)
        self._end(trainer, self.signals.received)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.signals.unwatch()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.loops.write(trainer, checkpoint)
        logger = counting_logger(trainer)
        if logger is not None:
            checkpoint[WANDB_ROWS] = logger.rows

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.loops.read(checkpoint)
        logger = counting_logger(trainer)
        if logger is not None and WANDB_ROWS in checkpoint:
            logger.rows = checkpoint[WANDB_ROWS]

    def _exchange(self) -> int:
        return self._agreement.exchange(self._wish()) if self._agreement else self._wish()

    def _settle(self) -> int:
        return self._agreement.settle(self._wish()) if self._agreement else self._wish()

    def _wish(self) -> int:
        """What this process asks of all."""
        if self.signals.received:
            return self.signals.received
        minutes = self.options.every_minutes
        due = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        return SAVE if due else NOTHING

    def _between_steps(self, trainer: pl.Trainer) -> bool:
        """Whether no gradients are accumulated."""
        # Lightning has no public method for this.
        return not trainer.fit_loop._should_accumulate()

    def _save(self, trainer: pl.Trainer) -> None:
        best = self.best.best_model_path
        # Lightning has no public names for these two attributes.
        just_saved = self._validated and self.best._last_checkpoint_saved == best
        if just_saved and self.best._last_global_step_saved == trainer.global_step:
            if trainer.is_global_zero:
                self.files.copy_best()
        else:
            trainer.save_checkpoint(self.files.folder.new)
        if trainer.is_global_zero:
            self.files.commit(trainer.global_step)
        self._validated = False
        self._saved_at = time.monotonic()
        self._saved_step = trainer.global_step

    def _stop(self, trainer: pl.Trainer, asked: int) -> None:
        """Saves the training and ends it, if a signal asks for that."""
        if asked > SAVE:
            self._save(trainer)
            self._end(trainer, asked)

    def _end(self, trainer: pl.Trainer, asked: int) -> None:
        if asked <= SAVE:
            return
        if trainer.is_global_zero:
            requeue(asked)
            raise SystemExit(128 + asked)
        # Lightning kills the first process, which may not have ended yet, if another one ends with an error.
        raise SystemExit(0)


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    # Lightning declares this attribute nowhere.
    found: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return found
