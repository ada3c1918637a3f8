"""Every cell on the device in fp32, bf16 and fp16 beside fp32 on the CPU: outputs and gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from tools.device_check.setting import PRECISIONS, Setting, some_lengths, table
from zoo import CELLS, BackboneOutput, RecurrentBackbone

# The largest distance from the CPU's fp32, relative to its length: of outputs and of gradients. In half precision, a
# layer norm of little variance multiplies what is rounded off, and its gradients are far from those of fp32.
TOLERANCES = {"fp32": (1e-4, 1e-3), "bf16": (5e-2, 3e-1), "fp16": (1e-2, 1e-1)}
ROWS = 16
STEPS = 40
UNITS = 64


def check_cells(setting: Setting) -> str:
    """Compares all cells with the CPU; the section fails if one is too far off."""
    rows, steps, units = (3, 5, 8) if setting.tiny else (ROWS, STEPS, UNITS)
    x = torch.randn(rows, steps, units, generator=torch.Generator().manual_seed(0))
    lengths = some_lengths(rows, steps, shortest=0.1)
    points = [(cell,) for cell in CELLS]
    lines: list[list[str]] = []
    far: list[str] = []
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        for index in setting.points(points):
            (cell,) = points[index]
            torch.manual_seed(0)
            backbone = RecurrentBackbone(units, units, cell=cell, num_layers=2)
            expected = _results(backbone, x, lengths)
            backbone = backbone.to(setting.device)
            line = [cell]
            for precision in PRECISIONS:
                with setting.autocast(precision):
                    found = _results(backbone, x.to(setting.device), lengths.to(setting.device))
                distances = [_distance(ours, theirs) for ours, theirs in zip(found, expected, strict=True)]
                close = all(d <= limit for d, limit in zip(distances, TOLERANCES[precision], strict=True))
                line += [f"{distance:.1e}" for distance in distances]
                if not close:
                    far.append(f"{cell} in {precision}")
            lines.append(line)
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
    limits = [f"{limit:.0e}" for precision in PRECISIONS for limit in TOLERANCES[precision]]
    columns = [f"{precision}, {what}" for precision in PRECISIONS for what in ("outputs", "gradients")]
    verdict = "All are within their tolerance." if not far else f"TOO FAR: {', '.join(far)}."
    text = table(["cell", *columns], [["at most", *limits], *lines], len(points) - len(lines))
    return f"Distance from fp32 on the CPU, relative to its length. {verdict}\n\n{text}"


def _results(backbone: RecurrentBackbone, x: Tensor, lengths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs, and the gradients of all parameters."""
    encoded: BackboneOutput = backbone(x, lengths)
    outputs = [encoded.sequence, encoded.final]
    loss = torch.stack([part.float().tanh().mean() for part in outputs]).sum()
    return outputs, list(torch.autograd.grad(loss, list(backbone.parameters())))


def _distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """The distance of all tensors together, relative to their length; NaN if one has NaN."""
    ours = torch.cat([part.detach().cpu().double().flatten() for part in found])
    theirs = torch.cat([part.detach().cpu().double().flatten() for part in expected])
    return float((ours - theirs).norm() / theirs.norm())
