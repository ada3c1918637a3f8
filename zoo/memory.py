"""Refuses weights that do not fit into this machine's memory, before any of them is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import torch
from torch import nn

from zoo.errors import ZooError


def require_memory(weights: float, cause: str) -> None:
    """Raises an error if the weights by themselves need more than the memory of this machine.

    Args:
        weights: the number of weights to allocate, in torch's default type.
        cause: what the weights are for, and the sizes that determine their number; the message begins with it.

    Raises:
        ZooError: the weights do not fit.
    """
    available = physical_memory()
    needed = weights * torch.get_default_dtype().itemsize
    if available is not None and needed > available:
        raise ZooError(
            f"{cause}: {weights:,} weights need {needed / 2**30:,.0f} GiB, and this machine has "
            f"{available / 2**30:,.0f} GiB. Give a smaller size: the defaults are between 64 and 512"
        )


def physical_memory() -> int | None:
    """The physical memory of this machine in bytes; None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def count_weights(make: Callable[[], nn.Module]) -> float:
    """The number of weights of the module that `make` makes, without allocating them; inf if it overflows."""
    if torch.get_default_device().type == "meta":
        # The module itself will have no memory.
        return 0
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in make().parameters())
    except RuntimeError:
        # The number of bytes overflows in torch.
        return math.inf
