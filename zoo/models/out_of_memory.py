"""A batch that does not fit into the memory of its device is split in two, and each half is tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from typing import TypeVar

import torch
from pytorch_lightning.utilities.memory import is_oom_error

from zoo.batches.parts import halves

Whole = TypeVar("Whole")
Result = TypeVar("Result")

LOGGER = logging.getLogger(__name__)
_SPLITS = count(1)


def in_parts(
    work: Callable[[Whole], Result], whole: Whole, halve: Callable[[Whole], tuple[Whole, Whole] | None] = halves
) -> list[Result]:
    """What `work` returns for a batch, or for each part of a batch that does not fit as a whole, in order.

    Args:
        work: must have no effect before it can no longer run out of memory, because it is called again for each half.
        whole: a batch or its inputs.
        halve: divides it; None for what cannot be divided.

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
    # Outside of the handler, as the error keeps the tensors of the failed attempt.
    torch.cuda.empty_cache()
    LOGGER.warning(
        "a batch does not fit into the memory of the device and is split in two (split %d of this process): "
        "a smaller max_tokens avoids the wasted attempts",
        next(_SPLITS),
    )
    return [result for part in parts for result in in_parts(work, part, halve)]


def splitting(work: Callable[[list[int]], Result]) -> Callable[[list[int]], list[Result]]:
    """`work` on the rows of a batch, as `in_parts` calls it."""

    def halve(rows: list[int]) -> tuple[list[int], list[int]] | None:
        middle = len(rows) // 2
        return (rows[:middle], rows[middle:]) if middle else None

    return lambda rows: in_parts(work, rows, halve)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device has no memory left."""
    # Lightning knows what cuDNN says of it, and torch's allocator on a CPU.
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and is_oom_error(error))
