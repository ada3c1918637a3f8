"""The ways of a layer's cells through a padded batch: kernels, and which of them a batch takes.

A kernel is an object with a name, what it supports, and `run`. A cell lists its kernels in the order in which they are
tried. Where two kernels of a cell suit a batch, measured constants decide (`zoo.nn.cells.kernels.speeds`). On a GPU
nothing was measured yet: there, the first kernel that suits is the one with the fewest launches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.nn.cells.kernels.base import Kernel, Kernels, State
from zoo.nn.cells.precision import autocasts_slowly

if TYPE_CHECKING:
    from zoo.nn.cells.base import RecurrentCell

__all__ = ["Kernel", "Kernels", "State", "choose_kernel", "scan_layer"]


def choose_kernel(cell: RecurrentCell, lengths: Tensor | None = None, steps: int = 0) -> Kernel[RecurrentCell]:
    """The kernel that the cell's options name, or with `kernel="auto"` the first one that suits the batch.

    Args:
        cell: of any kind.
        lengths: `(B,)` of the batch, if known.
        steps: T of the batch.
    """
    options = cell.options
    if cell.training and options.step_regularisers:
        able = [kernel for kernel in cell.kernels if kernel.supports_step_regularisers]
    elif options.kernel != "auto":
        able = [kernel for kernel in cell.kernels if kernel.name == options.kernel]
    else:
        able = [kernel for kernel in cell.kernels if kernel.suits(cell, lengths, steps)]
    return able[0]


def scan_layer(
    cells: Sequence[RecurrentCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
) -> tuple[Tensor, list[State]]:
    """Runs a layer's D cells over a whole batch: the first reads each row from its start, the second from its end.

    Args:
        cells: of one kind.
        x: `(B, T, I)`, zeros at padding.
        lengths: `(B,)`, time steps.
        states: where each direction starts; None for the initial states.

    Returns:
        The outputs `(B, T, D * O)`, undefined at padding, and the state in which each direction ends.
    """
    if autocasts_slowly(x.device):
        with torch.autocast(x.device.type, enabled=False):
            return scan_layer(cells, x.to(cells[0].weight_ih.dtype), lengths, states)
    return choose_kernel(cells[0], lengths, x.shape[1]).run(cells, x, lengths, states)
