"""What cannot fit into this machine's memory is refused before any of it is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import torch
from torch import nn

from zoo.errors import ZooError


def require_memory(numbers: float, cause: str) -> None:
    """Raises a ZooError where so many weights alone are more than the memory of this machine.

    Args:
        numbers: weights that are about to be allocated.
        cause: what they are for, with the arguments that make them many.
    """
    available = physical_memory()
    needed = numbers * torch.get_default_dtype().itemsize
    if available is not None and needed > available:
        raise ZooError(
            f"{cause}: {numbers:,} weights need {needed / 2**30:,.0f} GiB, and this machine has "
            f"{available / 2**30:,.0f} GiB. Give a smaller size: the defaults are between 64 and 512"
        )


def physical_memory() -> int | None:
    """In bytes; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def count_weights(make: Callable[[], nn.Module]) -> float:
    """The numbers in all parameters of a module that `make` would make, without memory for them."""
    if torch.get_default_device().type == "meta":
        return 0  # the module itself will have no memory
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in make().parameters())
    except RuntimeError:  # torch cannot count so many bytes
        return math.inf
