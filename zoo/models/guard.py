"""Notices losses and gradients that are NaN or infinite, before they reach a checkpoint.

On a CPU, a loss is read at once. On a GPU, reading a value makes the host wait, so losses are read together, after
`MAX_UNREAD` steps and before each checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import ZooError

# The largest number of losses on a GPU that wait to be read.
MAX_UNREAD = 50


class NonFiniteError(ZooError):
    """A training diverged: a loss, a gradient or a weight is NaN or infinite."""


class Place(NamedTuple):
    """A batch in a training."""

    epoch: int  # from 0
    step: int  # optimizer steps before
    batch_index: int  # in its epoch, from 0
    batch: Any


class _Unread(NamedTuple):
    name: str
    value: Tensor  # () on this process
    bad: Tensor  # () not 0 if the value of a process is NaN or infinite
    place: Place


class FiniteGuard:
    """Stops a training with the name of the batch whose loss, or the norm of whose gradient, is not finite.

    Args:
        describe: the examples of a batch, as a message names them.
    """

    def __init__(self, describe: Callable[[Any], str]) -> None:
        self._describe = describe
        self._unread: list[_Unread] = []

    def watch(self, name: str, value: Tensor, bad: Tensor, place: Place) -> None:
        """Watches a value.

        Args:
            name: the name of the value in a message.
            value: `()`, on this process.
            bad: `()`, not 0 if the value of any process is NaN or infinite.
            place: the batch that the value belongs to.

        Raises:
            NonFiniteError: it is NaN or infinite, and on a CPU.
        """
        self._unread.append(_Unread(name, value.detach(), bad, place))
        if value.device.type == "cpu" or len(self._unread) >= MAX_UNREAD:
            self.read()

    def read(self) -> None:
        """Reads all values that are unread. All processes must call it together.

        Raises:
            NonFiniteError: one is NaN or infinite. The message names the first batch with such a value.
        """
        unread = self._unread
        self._unread = []
        if len(unread) == 1:
            flags = [bool(unread[0].bad)]
        else:
            flags = torch.stack([one.bad for one in unread]).bool().tolist() if unread else []
        if True in flags:
            raise NonFiniteError(self._message(unread[flags.index(True)]))

    def _message(self, one: _Unread) -> str:
        own = None
        if not bool(one.value.isfinite()):
            own = f"the {one.name} is {float(one.value)}", self._describe(one.place.batch)
        found, examples = next(named for named in _of_all_processes(own) if named is not None)
        place = one.place
        return (
            f"{found} in epoch {place.epoch}, step {place.step}, batch {place.batch_index} of the epoch (all counted "
            f"from 0): {examples}. No checkpoint has such values. Lower the learning rate, clip gradients, look at the "
            "examples, or set model.skip_nonfinite = True (--skip_nonfinite of a recipe) to leave out such steps"
        )


def _of_all_processes(own: tuple[str, str] | None) -> list[tuple[str, str] | None]:
    parts: list[tuple[str, str] | None] = [own]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, own)
    return parts


def check_weights(weights: Mapping[str, Any]) -> None:
    """Refuses weights that are not finite.

    Raises:
        NonFiniteError: a tensor has a NaN or an infinite value. The message names it.
    """
    for name, value in weights.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
            raise NonFiniteError(
                f"the weight {name} is NaN or infinite, so that no checkpoint is written: the training has diverged. "
                "Resume from the last checkpoint with a lower learning rate or with clipped gradients"
            )


def skip_step(optimizer: Any, bad: Tensor, parameters: Iterable[Tensor]) -> None:
    """Makes the next step of an optimizer change nothing if `bad` is true.

    A fused optimizer reads this on its device, as from a gradient scaler. Any other one makes the host wait.

    Args:
        optimizer: an optimizer of torch, or Lightning's wrapper of one.
        bad: `()`, bool.
        parameters: the parameters of the optimizer.
    """
    optimizer = getattr(optimizer, "optimizer", optimizer)
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = bad.float()
    elif bool(bad):
        for parameter in parameters:
            parameter.grad = None
