"""What loggers show of a training while it runs, beside its loss and its scores."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from recipes.runner.callbacks import Recorder
from recipes.runner.hardware import peak_memory_mb


class Gauges(Callback):
    """Logs the learning rate, the norm of the gradient, tokens per second and memory, every `log_every_n_steps` steps.

    Without a logger, nothing is measured.

    Args:
        recorder: counts the tokens. It comes before this callback.
    """

    def __init__(self, recorder: Recorder):
        self.recorder = recorder
        # The norm of the gradient before it is clipped, `()`, of a step that is due.
        self._norm: Tensor | None = None

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        # Lightning sets this attribute where type checkers do not see it.
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.loggers and every and (trainer.global_step + 1) % every == 0:
            self._norm = get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._norm is None:
            return
        values: dict[str, float] = {
            "train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train/gradient_norm": float(self._norm),
            # Each process gets batches of about the same size.
            "train/tokens_per_second": self.recorder.tokens_per_second_now * trainer.world_size,
        }
        self._norm = None
        memory = peak_memory_mb()
        if memory is not None:
            values["train/peak_memory_mb"] = memory
        for logger in trainer.loggers:
            # The number with which Lightning logs the loss of this step.
            logger.log_metrics(values, step=trainer.fit_loop.epoch_loop._batches_that_stepped)
