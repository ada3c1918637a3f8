"""The gradient of an optimizer step: that of one batch that contains all batches of the step.

The loss of a batch is a mean over its count n of tokens or texts. An optimizer step has several batches if gradients
are accumulated, or if there are several processes. Lightning divides the loss by the number of accumulated batches, and
DDP takes the mean of the processes' gradients. Both treat all batches alike, whatever their counts. The gradient of the
union of the batches is instead, with the gradient g_b of each mean loss,

    sum_b n_b g_b / N,  N = sum_b n_b.

N is unknown before the last accumulated batch. Until then the reference R takes its place, which is the count of the
first accumulated batch on all processes. After the last batch, all gradients are multiplied by R / N.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class GradientWindow:
    """The batches of one optimizer step, in the order in which they are accumulated.

    All counts are tensors `()` on the device of the training, so that no step makes the host wait for a GPU.
    """

    def __init__(self) -> None:
        self.batches = 0
        self._reference = torch.ones(())
        self._total = torch.zeros(())

    def clear(self) -> None:
        """Starts an optimizer step."""
        self.batches = 0

    def weight(self, count: Tensor, total: Tensor, processes: int) -> Tensor:
        """Adds a batch, and returns the factor of its mean loss, `()`.

        Args:
            count: the number of tokens or texts that the mean is over, on this process.
            total: the sum of the counts over all processes.
            processes: the number of processes, by which DDP divides the sum of the gradients.
        """
        if self.batches:
            self._total = self._total + total
        else:
            self._reference = divisor(total)
            self._total = total
        self.batches += 1
        return processes * divisor(count) / self._reference

    def finish(self, parameters: Iterable[Tensor]) -> None:
        """Replaces the reference by the count of all batches in the gradients, and starts the next step."""
        # A single batch is its own reference.
        if self.batches > 1:
            factor = self._reference / divisor(self._total)
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        self.clear()


class LossAverage:
    """The mean of losses over all their tokens or texts, on all processes.

    Attributes:
        batches: the number of losses that were added on this process.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Starts a new average."""
        self.batches = 0
        self._total = torch.zeros(())
        self._count = torch.zeros(())

    def add(self, loss: Tensor, count: Tensor) -> None:
        """Adds the mean loss `()` of a batch, and the count `()` that it is the mean over."""
        self.batches += 1
        self._total = self._total + in_double(loss.detach()) * divisor(count)
        self._count = self._count + count

    def compute(self, device: torch.device) -> Tensor:
        """The mean so far, `()`. All processes must call it together."""
        sums = torch.stack([self._total.to(device), in_double(self._count.to(device))])
        total, count = sum_over_processes(sums).unbind()
        return total / divisor(count)

    def state_dict(self) -> dict[str, float]:
        """The sums of this process."""
        return {"batches": self.batches, "total": float(self._total), "count": float(self._count)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.batches = int(state["batches"])
        self._total = torch.tensor(state["total"], dtype=torch.float64)
        self._count = torch.tensor(state["count"], dtype=torch.float64)


def divisor(count: Tensor) -> Tensor:
    """What a sum over `count ()` is divided by to give a mean: 1 for a count of 0, where the sum is 0 too."""
    return torch.where(count > 0, count, 1)


def in_double(x: Tensor) -> Tensor:
    """`x` in fp64, or in fp32 on Apple's GPUs, which have no fp64."""
    return x.float() if x.device.type == "mps" else x.double()


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of `x` over all processes, in place."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # Lightning's own reduction begins with a barrier, which makes the host wait for a GPU.
        torch.distributed.all_reduce(x)
    return x
