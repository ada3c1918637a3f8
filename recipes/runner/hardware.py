"""What the processor and the GPU of this machine can do."""

from __future__ import annotations

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
