"""What is computed in which precision: products as autocast and weights say, gates and states in fp32 at least."""

from __future__ import annotations

import torch
from torch import Tensor


def exact(x: Tensor) -> Tensor:
    """`x` in fp32 at least, for what half precision would spoil."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def autocast_dtype(x: Tensor) -> torch.dtype:
    """What `x` is multiplied in: its own type, or that of the autocast in force, which leaves fp64 alone."""
    kind = x.device.type
    cast = x.dtype != torch.float64 and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if cast else x.dtype


def in_half_precision(weight: Tensor) -> bool:
    """Whether products with this weight are in half precision."""
    return exact(weight).dtype != autocast_dtype(weight)
