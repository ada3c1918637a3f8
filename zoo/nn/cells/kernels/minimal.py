"""The recurrence of the minimal cells, linear in the state: h' = h + take * (candidate - h). It is computed in fp32.

Shapes: B rows, T time steps, S steps of a span, H hidden units, G gates times hidden units.
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
from zoo.nn.cells.kernels.base import Kernel, State, final_state, first_states, join_directions, split_directions
from zoo.nn.cells.precision import at_least_fp32

if TYPE_CHECKING:
    from zoo.nn.cells.minimal import MinimalCell

# A gate of a span has at most this many numbers: more would leave the cache between two operations.
NUMBERS = 2**18


class MinimalScan(Kernel["MinimalCell"]):
    """What both kernels share: they compute a span of steps at a time."""

    def run(
        self, cells: Sequence[MinimalCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        inputs = split_directions(x, lengths, len(cells))
        starts = first_states(cells, x.shape[0], states)
        scans = []
        for cell, cell_input, start in zip(cells, inputs, starts, strict=True):
            scans.append(self._scan_direction(cell, cell_input, lengths, start))
        return join_directions(scans, lengths)

    def _scan_direction(self, cell: MinimalCell, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state  # (B, H)
        spans = []
        for span in x.split(self.span_length(h, x.shape[1]), dim=1):
            gates = F.linear(span, cell.weight_ih, cell.bias_ih)  # (B, S, G)
            odds, candidate = cell.log_odds(at_least_fp32(gates))  # (B, S, H) each
            spans.append(self.states(odds, candidate, h))
            h = spans[-1][:, -1]
        after = torch.cat(spans, dim=1)  # (B, T, H)
        return after.to(gates.dtype), final_state([after], lengths, state)

    @abstractmethod
    def span_length(self, h: Tensor, steps: int) -> int:
        """S, for a state `(B, H)` and T steps."""

    @abstractmethod
    def states(self, odds: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
        """The states after each step.

        Args:
            odds: `(B, S, H)`, log(take / (1 - take)).
            candidate: `(B, S, H)`, its pre-activation.
            start: `(B, H)`, the state before the first step.

        Returns:
            `(B, S, H)`.
        """


class ParallelScan(MinimalScan):
    """All steps at once, in log space: for GPUs, where T steps are T launches, and when tracing."""

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
        states: Tensor = LinearScan.apply(odds.sigmoid(), positive(candidate), start.to(odds.dtype))
        return states


def positive(x: Tensor) -> Tensor:
    """g(x) of Feng et al. (2024, appendix B.3.2): x + 1/2 for x >= 0, else sigmoid(x); always the larger of the two."""
    return torch.maximum(x + 0.5, x.sigmoid())


def log_positive(x: Tensor) -> Tensor:
    """The logarithm of `positive`."""
    return torch.where(x >= 0, (x.clamp(min=0.0) + 0.5).log(), F.logsigmoid(x.clamp(max=0.0)))


def parallel_scan(log_keep: Tensor, log_added: Tensor, start: Tensor) -> Tensor:
    """All states of h' = a h + b at once, in log space, by recursive doubling (Kogge & Stone 1973).

    After k rounds, each step has combined its last 2^k steps, so there are log2(T) rounds. Nothing is subtracted, so no
    digits are lost, as they are with sums over the whole of a long sequence.

    Args:
        log_keep: log a, `(B, T, H)`.
        log_added: log b, `(B, T, H)`.
        start: the state before the first step, `(B, H)`. It stays out of log space, because it may be negative.

    Returns:
        The states `(B, T, H)`.
    """
    # What the last `reach` steps keep of the state before them, and what they add: (B, T, H) each.
    decay = log_keep
    added = log_added
    reach = 1
    while reach < log_keep.shape[1]:
        combined = torch.logaddexp(added[:, reach:], decay[:, reach:] + added[:, :-reach])
        added = torch.cat([added[:, :reach], combined], dim=1)
        decay = torch.cat([decay[:, :reach], decay[:, reach:] + decay[:, :-reach]], dim=1)
        reach *= 2
    return added.exp() + decay.exp() * start[:, None]
