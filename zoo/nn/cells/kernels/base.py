"""What a kernel is, and what kernels share.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units, O outputs (H, but for a projected cell).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from zoo.masks import last, reverse

if TYPE_CHECKING:
    from zoo.nn.cells.base import RecurrentCell

State = tuple[Tensor, ...]
# Saturates a sigmoid to exactly 0 or 1 in fp32, bf16 and fp16, and overflows in none of them.
SATURATION = 1e4


class Kernel(ABC):
    """A way through a padded batch, for the D cells of a layer.

    Attributes:
        name: what `RecurrentOptions.kernel` calls it.
        between_steps: whether it supports `hidden_dropout` and `zoneout`, which act from one step to the next.
    """

    name: ClassVar[str]
    between_steps: ClassVar[bool] = False

    def suits(self, cell: RecurrentCell, lengths: Tensor | None, steps: int) -> bool:
        """Whether `kernel="auto"` may take it for a batch of `lengths (B,)` and T `steps`; for any when None."""
        return True

    @abstractmethod
    def run(
        self, cells: Sequence[RecurrentCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        """As `zoo.nn.cells.kernels.scan_layer`."""


def starts(cells: Sequence[RecurrentCell], rows: int, given: Sequence[State] | None) -> Sequence[State]:
    """The state of each cell before the first step: the one given, or its initial one."""
    return [cell.initial_state(rows) for cell in cells] if given is None else given


def each_way(x: Tensor, lengths: Tensor, directions: int) -> list[Tensor]:
    """What the cell of each direction reads: `x (B, T, I)`, and for the second its rows reversed."""
    return [x] if directions == 1 else [x, reverse(x, lengths)]


def joined(scans: Sequence[tuple[Tensor, State]], lengths: Tensor) -> tuple[Tensor, list[State]]:
    """The outputs of all directions side by side, in the order of time, `(B, T, D * O)`, and their states."""
    outputs = scans[0][0]
    if len(scans) == 2:
        outputs = torch.cat([outputs, reverse(scans[1][0], lengths)], dim=-1)
    return outputs, [end for _, end in scans]


def stacked(states: Sequence[State]) -> list[Tensor]:
    """The parts of the states of D cells, `(D, B, *)` each."""
    return [torch.stack(part) for part in zip(*states, strict=True)]


def final_state(parts: Sequence[Tensor], lengths: Tensor, start: State) -> State:
    """Each row's state after its own last step, from those at all steps `(B, T, *)`; a row of none keeps `start`."""
    ended = lengths[:, None] > 0
    return tuple(torch.where(ended, last(part, lengths), begin) for part, begin in zip(parts, start, strict=True))
