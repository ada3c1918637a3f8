"""What the processor and the GPU of this machine can do."""

from __future__ import annotations

import platform
import sys
from typing import Any

import torch


def default_precision() -> str:
    """The default precision: "bf16-mixed" if the hardware has bf16 instructions, or else "32-true"."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    capabilities = cpu_capabilities()
    return "bf16-mixed" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "32-true"


def cpu_capabilities() -> dict[str, Any]:
    """The name and instruction sets of the processor, as torch reports them; empty in older versions of torch."""
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return found


def peak_memory_mb() -> int | None:
    """The peak memory in MB of the GPU, or without a GPU of the process; None if the system does not report it."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6)
    try:
        import resource
    # Windows does not have this module.
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def hardware() -> str:
    """The name of the GPU, or without a GPU the name of the processor and the number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = cpu_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
