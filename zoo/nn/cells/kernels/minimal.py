"""The minimal cells' recurrence, linear in the state: h' = h + take * (candidate - h). Both ways are in fp32.

Shapes: B rows, T time steps, S steps of a span, H hidden units.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.autograd import LinearScan
from zoo.masks import is_traced
from zoo.nn.cells.kernels.base import Kernel, State, each_way, final_state, joined, starts
from zoo.nn.cells.precision import exact

if TYPE_CHECKING:
    from zoo.nn.cells.minimal import MinimalCell

# A span's gate has at most this many numbers: more would leave the cache between one operation and the next.
NUMBERS = 2**18


class MinimalScan(Kernel):
    """What both ways share: a span of steps at a time."""

    def run(
        self, cells: Sequence[MinimalCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        scans = []
        for cell, read, state in zip(
            cells, each_way(x, lengths, len(cells)), starts(cells, x.shape[0], states), strict=True
        ):
            scans.append(self._one_way(cell, read, lengths, state))
        return joined(scans, lengths)

    def _one_way(self, cell: MinimalCell, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state  # (B, H)
        spans = []
        for span in x.split(self.span_length(h, x.shape[1]), dim=1):
            gates = F.linear(span, cell.weight_ih, cell.bias_ih)  # (B, S, G)
            odds, candidate = cell.log_odds(exact(gates))  # (B, S, H) each
            spans.append(self.states(odds, candidate, h))
            h = spans[-1][:, -1]
        after = torch.cat(spans, dim=1)  # (B, T, H)
        return after.to(gates.dtype), final_state([after], lengths, state)

    @abstractmethod
    def span_length(self, h: Tensor, steps: int) -> int:
        """S, for a state `(B, H)` and T steps."""

    @abstractmethod
    def states(self, odds: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
        """log(take / (1 - take)) and the candidate, `(B, S, H)`, and the state before, `(B, H)` -> `(B, S, H)`."""


class ParallelScan(MinimalScan):
    """All steps at once, in log space: for GPUs, where T steps are T launches, and where it is traced."""

    name = "parallel"

    def suits(self, cell: MinimalCell, lengths: Tensor | None, steps: int) -> bool:
        return is_traced() or cell.weight_ih.device.type != "cpu"

    def span_length(self, h: Tensor, steps: int) -> int:
        return steps

    def states(self, odds: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
        return parallel_scan(F.logsigmoid(-odds), F.logsigmoid(odds) + log_positive(candidate), start)


class LinearSteps(MinimalScan):
    """Step by step, without a matrix product."""

    name = "steps"

    def span_length(self, h: Tensor, steps: int) -> int:
        return max(1, NUMBERS // h.numel())

    def states(self, odds: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
        return LinearScan.apply(odds.sigmoid(), positive(candidate), start.to(odds.dtype))


def positive(x: Tensor) -> Tensor:
    """x + 1/2 where x is not negative, sigmoid(x) elsewhere (appendix B.3.2): always the larger of the two."""
    return torch.maximum(x + 0.5, x.sigmoid())


def log_positive(x: Tensor) -> Tensor:
    """The logarithm of `positive`."""
    return torch.where(x >= 0, (x.clamp(min=0.0) + 0.5).log(), F.logsigmoid(x.clamp(max=0.0)))


def parallel_scan(keep: Tensor, take: Tensor, start: Tensor) -> Tensor:
    """All states of h' = a h + b at once, in log space, by recursive doubling (Kogge & Stone 1973).

    After k rounds a step knows what its last 2^k steps leave, so there are log2(T) rounds. Nothing is subtracted: no
    digit is lost, as it is with sums over all of a long sequence.

    Args:
        keep: log a, `(B, T, H)`.
        take: log b, `(B, T, H)`.
        start: the state before the first step, `(B, H)`: it fades by itself, for it may be negative.

    Returns:
        The states `(B, T, H)`.
    """
    decay, left, reach = keep, take, 1  # (B, T, H): what the last `reach` steps keep of the state, and what they add
    while reach < keep.shape[1]:
        added = torch.logaddexp(left[:, reach:], decay[:, reach:] + left[:, :-reach])
        left = torch.cat([left[:, :reach], added], dim=1)
        decay = torch.cat([decay[:, :reach], decay[:, reach:] + decay[:, :-reach]], dim=1)
        reach *= 2
    return left.exp() + decay.exp() * start[:, None]
