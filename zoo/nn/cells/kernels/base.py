"""What a kernel is, and what kernels share.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units, O outputs (H, except for a projected cell).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from zoo.masks import last, reverse

if TYPE_CHECKING:
    from zoo.nn.cells.base import RecurrentCell

State = tuple[Tensor, ...]
# The kind of cell that a kernel runs.
CellT = TypeVar("CellT", bound="RecurrentCell", contravariant=True)
# It saturates a sigmoid to exactly 0 or 1 in fp32, bf16 and fp16, and overflows in none of them.
SATURATION = 1e4


class Kernel(ABC, Generic[CellT]):
    """A way of the D cells of a layer through a padded batch.

    Attributes:
        name: what `RecurrentOptions.kernel` calls it.
        supports_step_regularisers: whether it supports `hidden_dropout` and `zoneout`, which act from step to step.
    """

    name: ClassVar[str]
    supports_step_regularisers: ClassVar[bool] = False

    def suits(self, cell: CellT, lengths: Tensor | None, steps: int) -> bool:
        """Whether `kernel="auto"` may use it for a batch of `lengths (B,)`, None if unknown, and T `steps`."""
        return True

    @abstractmethod
    def run(
        self, cells: Sequence[CellT], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        """Runs the cells over a whole batch; see `zoo.nn.cells.kernels.scan_layer`."""


# The kernels that a cell lists.
Kernels = tuple[Kernel[Any], ...]


def first_states(cells: Sequence[RecurrentCell], rows: int, given: Sequence[State] | None) -> Sequence[State]:
    """The state of each cell before the first step: the given one, or the initial one of the cell."""
    return [cell.initial_state(rows) for cell in cells] if given is None else given


def split_directions(x: Tensor, lengths: Tensor, directions: int) -> list[Tensor]:
    """What the cell of each direction reads: `x (B, T, I)`, and for a second direction its rows reversed."""
    return [x] if directions == 1 else [x, reverse(x, lengths)]


def join_directions(scans: Sequence[tuple[Tensor, State]], lengths: Tensor) -> tuple[Tensor, list[State]]:
    """Joins the outputs `(B, T, O)` and last states of each direction: outputs `(B, T, D * O)` in the order of time."""
    outputs = scans[0][0]
    if len(scans) == 2:
        backward = reverse(scans[1][0], lengths)
        outputs = torch.cat([outputs, backward], dim=-1)
    return outputs, [end for _, end in scans]


def stack_states(states: Sequence[State]) -> list[Tensor]:
    """The states of D cells, tensors `(B, *)` each -> tensors `(D, B, *)`."""
    return [torch.stack(part) for part in zip(*states, strict=True)]


def final_state(parts: Sequence[Tensor], lengths: Tensor, start: State) -> State:
    """Each row's state after its own last step.

    Args:
        parts: the state after every step, tensors `(B, T, *)`.
        lengths: `(B,)`.
        start: the state before the first step, tensors `(B, *)`, which a row of length 0 keeps.
    """
    has_steps = lengths[:, None] > 0  # (B, 1)
    return tuple(torch.where(has_steps, last(part, lengths), begin) for part, begin in zip(parts, start, strict=True))
