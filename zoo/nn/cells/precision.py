"""The precision of computations: products follow autocast and the weights, gates and states are fp32 or fp64."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_fp32(x: Tensor) -> Tensor:
    """`x` in fp32, or in fp64 if it has that type, for computations that are inexact in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The type in which `x` is multiplied: its own, or that of the active autocast, which does not change fp64."""
    device = x.device.type
    if x.dtype != torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype


def in_half_precision(weight: Tensor) -> bool:
    """Whether products with this weight are in half precision."""
    return at_least_fp32(weight).dtype != autocast_dtype(weight)
