"""How models train: the weight of each batch in an optimizer step, clipping, logged losses, and a guard against NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from zoo.models.guard import FiniteGuard, Place, check_weights, skip_step
from zoo.models.optim import clip_grad_norm
from zoo.models.union import GradientWindow, LossAverage, sum_over_processes

# The largest number of rows of a batch that a message names.
NAMED_ROWS = 20
# The largest number of characters of its first text that a message shows.
NAMED_CHARACTERS = 80


class TrainedModule(pl.LightningModule):
    """A LightningModule whose optimizer steps have the gradient of all their batches together (`zoo.models.union`).

    The loss that `training_step` returns is a mean; `loss_count` says over how many tokens or texts. A step is then the
    same whether its examples come in one batch, in several accumulated ones, or on several processes.

    The loss of a step is logged as "train/loss" at the steps that the Trainer records (`log_every_n_steps`). After each
    validation and at the end of an epoch, callbacks see the mean loss of the epoch so far.

    A loss or a gradient that is NaN or infinite stops the training, and the message names the batch. Weights that are
    NaN or infinite are never written to a checkpoint.

    Attributes:
        skip_nonfinite: whether an optimizer step with a loss or gradient that is NaN or infinite is left out instead.
            The number of such steps is logged as "train/skipped".
        batch_count: what the loss of the current batch is the mean over, `()`.
    """

    skip_nonfinite = False
    batch_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._window = GradientWindow()
        self._epoch_loss = LossAverage()
        self._guard = FiniteGuard(self.describe)
        self._place: Place | None = None
        # Whether the current step is left out, and the number of earlier steps that were.
        self._bad: Tensor | None = None
        self._skipped: Tensor | int = 0

    def loss_count(self, batch: Any) -> Tensor:
        """How many tokens or texts the loss of a batch is the mean over, `()`; by default its rows.

        A model whose loss is another mean says so here. If the count is 0, the loss has no mean; a sum of 0 is then
        divided by 1.
        """
        rows: Tensor = batch.rows
        return torch.full((), len(rows), device=rows.device)

    def describe(self, batch: Any) -> str:
        """The examples of a batch, for a message."""
        rows = batch.rows.tolist()
        more = ", ..." if len(rows) > NAMED_ROWS else ""
        named = f"rows {', '.join(map(str, rows[:NAMED_ROWS]))}{more} of the training split"
        excerpt = self.first_text(batch)
        return f"{named}, the first of which begins with {excerpt[:NAMED_CHARACTERS]!r}" if excerpt else named

    def first_text(self, batch: Any) -> str:
        """The first text of a batch, as far as its ids tell it; by default empty."""
        return ""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.batch_count = self.loss_count(batch)
        self._place = Place(self.current_epoch, self.global_step, batch_idx, batch)

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        self._window.clear()
        self._bad = None

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        # Outside of a Trainer, and in manual optimization, a user decides what a step is.
        if self._trainer is not None and self.automatic_optimization and self._place is not None:
            loss = self._weighted(loss, self._place)
        super().backward(loss, *args, **kwargs)

    def _weighted(self, loss: Tensor, place: Place) -> Tensor:
        """The loss of a batch with its weight in the optimizer step, after a look at whether it is finite."""
        processes = self.trainer.world_size
        bad = ~loss.detach().isfinite()
        total = self.batch_count
        if processes > 1:
            # One reduction for both.
            total, bad = sum_over_processes(torch.stack([total.to(loss.device, torch.float64), bad.double()]))
        if self.skip_nonfinite:
            self._bad = bad.bool() if self._bad is None else self._bad | bad.bool()
        else:
            self._guard.watch("loss", loss, bad, place)
        accumulated = self.trainer.accumulate_grad_batches
        if processes == 1 and accumulated == 1:
            return loss
        # Lightning has divided the loss by the number of accumulated batches.
        weight = accumulated * self._window.weight(self.batch_count, total, processes)
        return loss * weight.to(loss.dtype)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        def closure() -> Any:
            result = optimizer_closure() if optimizer_closure is not None else None
            self._window.finish(self.parameters())
            if self.skip_nonfinite:
                self._skip_if_bad(optimizer)
            return result

        super().optimizer_step(epoch, batch_idx, optimizer, closure)

    def _skip_if_bad(self, optimizer: Optimizer | LightningOptimizer) -> None:
        bad = torch.zeros((), dtype=torch.bool, device=self.device) if self._bad is None else self._bad
        # A gradient scaler leaves out steps with such gradients by itself, and its gradients are often infinite.
        if self._is_fused():
            gradients = [p.grad for p in self.parameters() if p.grad is not None]
            bad = bad | ~get_total_norm(gradients).isfinite()
            skip_step(optimizer, bad, self.parameters())
        self._skipped = self._skipped + bad.long()

    def _is_fused(self) -> bool:
        # With a gradient scaler, a fused optimizer unscales the gradients itself, but only after they are clipped.
        # This is no property: torch.jit.trace reads all properties, and a model need not have a Trainer.
        return self.trainer.precision != "16-mixed"

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning refuses to clip for every fused optimizer, although clipping is only wrong with a gradient scaler.
        if self._is_fused() and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            norm = clip_grad_norm(self.parameters(), gradient_clip_val)
            if self._place is not None and not self.skip_nonfinite:
                self._guard.watch("norm of the gradient", norm, ~norm.isfinite(), self._place)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        self._place = None
        loss = batch_loss(outputs, self.trainer)
        if loss is None:
            return
        self.add_to_average(self._epoch_loss, loss)
        # Lightning's `log` takes about 2 % of a step, so only the steps that the Trainer records are logged.
        # Lightning sets this attribute where type checkers do not see it.
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self.global_step % every == 0:
            self._guard.read()
            if self.trainer.world_size > 1:
                of_all = LossAverage()
                of_all.add(loss, self.batch_count)
                loss = of_all.compute(loss.device)
            self.log("train/loss", loss, prog_bar=True)

    def add_to_average(self, average: LossAverage, loss: Tensor) -> None:
        """Adds the loss of the current batch to an average, unless its step is left out."""
        if self._bad is None:
            average.add(loss, self.batch_count)
        else:
            average.add(loss.masked_fill(self._bad, 0.0), self.batch_count * ~self._bad)

    def on_validation_epoch_start(self) -> None:
        self._guard.read()

    def on_train_epoch_end(self) -> None:
        self._guard.read()
        self._report_training()
        self._epoch_loss.reset()

    def _report_training(self) -> None:
        if self._epoch_loss.batches and self.trainer.state.fn == TrainerFn.FITTING:
            # Loggers get the losses of single steps; this mean is for callbacks only. It is that of all processes
            # already. Without `sync_dist`, Lightning would warn.
            mean = self._epoch_loss.compute(self.device)
            self.log("train/loss", mean, prog_bar=True, logger=False, on_epoch=True, sync_dist=True)
            if self.skip_nonfinite:
                self.log("train/skipped", float(self._skipped), on_epoch=True, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._guard.read()
        check_weights(checkpoint["state_dict"])
        # With a weight average, these are not the weights that are trained.
        check_weights(checkpoint.get("current_model_state", {}))
        checkpoint["skipped_steps"] = int(self._skipped)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._skipped = checkpoint["skipped_steps"]


def batch_loss(outputs: object, trainer: pl.Trainer) -> Tensor | None:
    """The loss that `training_step` returned, from the outputs that a callback gets; None for a skipped batch."""
    if not isinstance(outputs, Mapping):
        return None
    loss: Tensor | None = outputs.get("loss")
    # Lightning has already divided the loss by the number of accumulated batches.
    return None if loss is None else loss * trainer.accumulate_grad_batches
