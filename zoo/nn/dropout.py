"""Dropout, locked over time or free."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import ZooError


class LockedDropout(nn.Module):
    """Variational dropout (Gal & Ghahramani 2016): a row loses the same features at all its time steps.

    It regularises recurrent networks better than dropout that is drawn at each step. It also draws T times fewer random
    numbers, which on a CPU saves an eighth of a training step.

    Args:
        p: probability of zeroing a feature; the others are scaled by 1 / (1 - p).

    Raises:
        ZooError: `p` is not in [0, 1).
    """

    def __init__(self, p: float):
        super().__init__()
        check_probability("dropout", p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, H)`, or `(B, H)` without time -> the same shape; unchanged in evaluation."""
        if not self.training or not self.p:
            return x
        time = [1] * (x.ndim - 2)
        return x * dropout_mask(x, (len(x), *time, x.shape[-1]), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """`F.dropout` in half of its time on a CPU."""
    return x * dropout_mask(x, x.shape, p) if training and p else x


def dropout_mask(x: Tensor, shape: Sequence[int], p: float) -> Tensor:
    """What to multiply `x` by, in its type: 0 with probability `p`, else 1 / (1 - p)."""
    return (torch.rand(shape, device=x.device) >= p).to(x.dtype).div_(1 - p)


def check_probability(name: str, p: float) -> None:
    """Checks that `p` can be a probability of dropping something; `name` says which.

    Raises:
        ZooError: it is not in [0, 1).
    """
    if not (isinstance(p, int | float) and 0 <= p < 1):
        raise ZooError(f"expected a {name} probability in [0, 1), got {p!r}")
