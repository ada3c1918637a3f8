"""Both directions of a layer in one computation: their parameters in one tensor, with D in front.

Shapes: D directions, I inputs, G outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedParameters(dict[str, Tensor]):
    """The parameters of D cells of one kind by name, `(D, *)` each. Each is stacked when it is first asked for.

    It reads attributes by name, and not `parameters()`, which does not list a weight that is normalised, pruned or
    replicated.
    """

    def __init__(self, cells: Sequence[nn.Module]):
        super().__init__()
        self._cells = cells

    def __missing__(self, name: str) -> Tensor:
        parts: list[Tensor] = [getattr(cell, name) for cell in self._cells]
        stacked: Tensor = torch.stack(parts) if len(parts) > 1 else parts[0][None]
        self[name] = stacked
        return stacked


def stacked_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """D linear layers at once: `x (D, ..., I)`, `weight (D, G, I)` and `bias (D, G)` -> `(D, ..., G)`."""
    y = torch.baddbmm(bias[:, None], x.flatten(1, -2), weight.transpose(1, 2))
    return torch.unflatten(y, 1, x.shape[1:-1])
