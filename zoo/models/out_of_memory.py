"""A batch that does not fit into the memory of its device is split in two, and each half is tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial, wraps
from itertools import count
from typing import Any, TypeVar

import torch
from pytorch_lightning.utilities.memory import is_oom_error
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from zoo.batches.parts import halves
from zoo.models.union import divisor

Whole = TypeVar("Whole")
Result = TypeVar("Result")
Step = TypeVar("Step", bound=Callable[..., Tensor])

LOGGER = logging.getLogger(__name__)
_SPLITS = count(1)


def in_parts(
    work: Callable[[Whole], Result], whole: Whole, halve: Callable[[Whole], tuple[Whole, Whole] | None] = halves
) -> list[Result]:
    """What `work` returns for a batch, or for each part of a batch that does not fit as a whole, in order.

    Args:
        work: must have no effect before it can no longer run out of memory, because it is called again for each half.
        whole: a batch or its inputs.
        halve: divides a batch; it returns None for one that cannot be divided.

    Raises:
        RuntimeError: what `work` raises. One row that does not fit by itself gets a note that says so.
    """
    try:
        return [work(whole)]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        parts = halve(whole)
        if parts is None:
            error.add_note("One input alone does not fit into the memory of the device: shorten it, or use a CPU")
            raise
    # This is outside of the handler, because the error keeps the tensors of the failed attempt.
    torch.cuda.empty_cache()
    _report()
    return [result for part in parts for result in in_parts(work, part, halve)]


def _report() -> None:
    LOGGER.warning(
        "a batch does not fit into the memory of the device and is split in two (split %d of this process): "
        "a smaller max_tokens avoids the wasted attempts",
        next(_SPLITS),
    )


def splitting(work: Callable[[list[int]], Result]) -> Callable[[list[int]], list[Result]]:
    """`work` on the rows of a batch, as `in_parts` calls it."""

    def halve(rows: list[int]) -> tuple[list[int], list[int]] | None:
        middle = len(rows) // 2
        return (rows[:middle], rows[middle:]) if middle else None

    return lambda rows: in_parts(work, rows, halve)


def training_in_parts(step: Step) -> Step:
    """A `training_step` that divides a batch which does not fit into memory; its gradient is that of the whole batch.

    Each part is computed twice: once for its loss, and again for its gradient, as its activations are not kept in
    between (`torch.utils.checkpoint`). So only one part at a time takes memory. The losses are means, and are weighted
    by `loss_count`. Dropout draws other numbers than for the whole batch.

    A batch is divided only if its forward pass runs out of memory. If the backward pass does, a smaller budget of
    tokens helps. A step of adversarial training contains a backward pass, so it is not divided either.
    """

    @wraps(step)
    def whole_or_parts(self: Any, batch: Any, batch_idx: int) -> Tensor:
        compute = partial(step, self)
        try:
            whole: Tensor = compute(batch, batch_idx)
            return whole
        except RuntimeError as error:
            adversarial = getattr(self.regularization, "adversarial", 0.0)
            parts = None if adversarial or not is_out_of_memory(error) else halves(batch)
            if parts is None:
                raise
        torch.cuda.empty_cache()
        _report()

        def loss_of(part: Any) -> tuple[Tensor, Tensor]:
            return checkpoint(compute, part, batch_idx, use_reentrant=False), self.loss_count(part)

        losses = [pair for part in parts for pair in in_parts(loss_of, part)]
        total = torch.stack([number for _, number in losses]).sum()
        return torch.stack([loss * number for loss, number in losses]).sum() / divisor(total)

    # The wrapper has the signature of what it wraps, which a type checker does not know.
    return whole_or_parts  # type: ignore[return-value]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device has no memory left."""
    # Lightning recognises the messages of cuDNN, and of torch's allocator on a CPU.
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and is_oom_error(error))
