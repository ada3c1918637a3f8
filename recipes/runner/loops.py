"""Where in its loops Lightning continues a resumed training.

Lightning saves its counters as they are in the middle of a hook, and guesses from them what is left to do. It skips a
validation that was not begun, and counts a step for the loggers twice. The counters
are therefore corrected: between two batches, all batches so far are complete; and a validation that is due is in its
first batch.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

COUNTS = ("ready", "started", "processed", "completed")
LOGGED_STEPS = "logged_steps"


class LoopState:
    """Corrects Lightning's counters in checkpoints, and when one is resumed.

    Attributes:
        validation_is_pending: whether a validation has begun and not ended.
    """

    def __init__(self) -> None:
        self.validation_is_pending = False
        self._logged_steps: int | None = None

    def write(self, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
        """Corrects the counters of a checkpoint of a training."""
        if trainer.state.fn != "fit":
            return
        loops = checkpoint["loops"]["fit_loop"]
        batches = loops["epoch_loop.batch_progress"]
        for counts in (batches["total"], batches["current"]):
            # In `on_train_batch_end` the batch is processed and not yet complete: Lightning allows for that.
            if counts["processed"] == counts["completed"]:
                counts.update(dict.fromkeys(COUNTS, counts["completed"]))
        validation = loops["epoch_loop.val_loop.batch_progress"]
        begun = 1 if self.validation_is_pending else 0
        for counts in (validation["total"], validation["current"]):
            counts.update(ready=begun, started=begun, processed=0, completed=0)
        steps = loops["epoch_loop.state_dict"]["_batches_that_stepped"]
        # Lightning counts a step only after the validation that follows it.
        checkpoint[LOGGED_STEPS] = steps + 1 if trainer.validating else steps

    def read(self, checkpoint: dict[str, Any]) -> None:
        """Remembers the number of steps that loggers had seen when a checkpoint was written."""
        self._logged_steps = checkpoint.get(LOGGED_STEPS)

    def restore_logged_steps(self, trainer: pl.Trainer) -> None:
        """Corrects the number of the step that loggers see, before the first batch of a resumed training."""
        if self._logged_steps is not None:
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._logged_steps
            self._logged_steps = None
