"""The two directions of a layer as one computation: their parameters in one tensor, D in front.

Shapes: D directions, I inputs, G outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedParameters:
    """The parameters of D cells of one kind, by name as attributes, `(D, *)` each; stacked when first asked for.

    The cells are asked by name, not for their `parameters()`: a weight that is normalised, pruned or replicated is
    none of these.
    """

    def __init__(self, cells: Sequence[nn.Module]):
        self._cells = cells

    def __getattr__(self, name: str) -> Tensor:
        parts = [getattr(cell, name) for cell in self._cells]
        stacked = torch.stack(parts) if len(parts) > 1 else parts[0][None]
        setattr(self, name, stacked)
        return stacked


def stacked_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """D linear layers at once: `(D, ..., I)`, `(D, G, I)` and `(D, G)` -> `(D, ..., G)`."""
    return torch.baddbmm(bias[:, None], x.flatten(1, -2), weight.transpose(1, 2)).unflatten(1, x.shape[1:-1])
