"""The loss of an evaluation, as a mean over its tokens or texts."""

from __future__ import annotations

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class MeanLoss(Metric):
    """The mean of the losses of batches, weighted by what each of them is the mean over, on all processes.

    torchmetrics' MeanMetric adds in fp32, where the rounding errors of many batches exceed 1e-6. The sums here are made
    at the end, on the CPU, because some GPUs have no fp64.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    losses: list[Tensor]  # (1,) each
    counts: list[Tensor]  # (1,) each

    def __init__(self) -> None:
        super().__init__()
        for name in ("losses", "counts"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, loss: Tensor, count: Tensor) -> None:
        """Adds a batch.

        Args:
            loss: its mean loss, `()`; with a count of 0 it is ignored.
            count: the tokens or texts that the loss is the mean over, `()`.
        """
        self.losses.append(loss.detach().reshape(1))
        self.counts.append(count.reshape(1))

    def compute(self) -> Tensor:
        """The mean loss, `()`; 0 if nothing was counted."""
        losses = dim_zero_cat(self.losses)
        counts = dim_zero_cat(self.counts).cpu().double()
        counted = counts > 0
        if not counted.any():
            return losses.new_zeros(())
        weights = counts[counted] / counts.sum()
        return (losses.cpu().double()[counted] * weights).sum().to(losses)
