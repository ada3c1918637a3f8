"""The precision of computations: products follow autocast and the weights, gates and states are fp32 or fp64.

A CPU without instructions for a half precision takes five to eight times as long for its products as for those in fp32
(AVX2, measured), and torch's own LSTM fails there in some shapes. On such a CPU, autocast to that type leaves the
products of a scan in fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Without oneDNN nothing is known of the CPU.
_KNOWS_CPU = torch.backends.mkldnn.is_available()
# The types that the CPU has no instructions for.
SLOW_ON_CPU = {
    dtype
    for dtype, is_supported in (
        (torch.bfloat16, not _KNOWS_CPU or torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        (torch.float16, not _KNOWS_CPU or torch.ops.mkldnn._is_mkldnn_fp16_supported()),
    )
    if not is_supported
}


def at_least_fp32(x: Tensor) -> Tensor:
    """`x` in fp32, or in fp64 if it has that type, for computations that are inexact in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The type in which `x` is multiplied: its own, or that of the active autocast, which does not change fp64."""
    device = x.device.type
    if x.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.float32 if autocasts_slowly(x.device) else torch.get_autocast_dtype(device)


def autocasts_slowly(device: torch.device) -> bool:
    """Whether autocast is active on a device that has no instructions for its type."""
    is_enabled = device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return is_enabled and torch.get_autocast_dtype("cpu") in SLOW_ON_CPU


def in_half_precision(weight: Tensor) -> bool:
    """Whether products with this weight are in half precision."""
    return at_least_fp32(weight).dtype != autocast_dtype(weight)
