"""Minimal cells (Feng et al. 2024, "Were RNNs all we needed?"): gates that see the input alone.

Each step is then linear in the state, h' = h + take * (candidate - h), and a whole sequence is one scan: in parallel
over time, in log space ("parallel"), or step by step without a matrix product ("steps"). Both in fp32, whatever
autocast says.

Shapes: B rows, T time steps, S steps of a span, I inputs, H hidden units, G = gates * H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.cells.checks import check_batch, check_states
from zoo.cells.contract import (
    State,
    chosen_kernel,
    each_way,
    final_state,
    joined,
    starts,
)
from zoo.cells.options import RecurrentOptions
from zoo.cells.precision import exact
from zoo.masks import padding_mask, zero_padding

NUMBERS = 2**18  # of a gate in a span of steps: more would leave the cache between one operation and the next


class MinimalCell(nn.Module):
    """What both share; a subclass says how much is taken of the candidate in the place of the state."""

    gates: ClassVar[int]
    free: ClassVar[int] = 1
    kernels = ("parallel", "steps")
    fastest = {"cpu": "steps"}  # elsewhere T steps are T launches, and where operations are recorded T of them
    honours = frozenset()

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__()
        self.input_size, self.options = input_size, options
        self.hidden_size = self.output_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.zeros(self.gates * hidden_size))
        for gate in self.weight_ih.data.chunk(self.gates):
            nn.init.xavier_uniform_(gate)

    def log_odds(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """log(take / (1 - take)), and the candidate: `(..., G)` -> `(..., H)` each."""
        raise NotImplementedError

    def initial_state(self, rows: int) -> State:
        """`(h,)`: zeros `(B, H)`."""
        return (self.weight_ih.new_zeros(rows, self.hidden_size),)

    @property
    def kernel(self) -> str:
        """How `scan` will go through a batch."""
        return chosen_kernel(self)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: `(B, I)` and a state -> output `(B, H)` and the next state."""
        dtype = self.weight_ih.dtype
        odds, candidate = self.log_odds(exact(F.linear(x.to(dtype), self.weight_ih, self.bias_ih)))
        h = torch.lerp(state[0].to(odds.dtype), positive(candidate), odds.sigmoid())
        return h.to(dtype), (h,)

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A whole padded batch; see `Cell.scan`."""
        check_batch(x, lengths, self.weight_ih)
        check_states([self], [state], x.shape[0])
        return self._scan(zero_padding(x, padding_mask(lengths, x.shape[1])), lengths, state)

    def _scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        parallel, (h,), states = self.kernel == "parallel", state, []
        for span in x.split(x.shape[1] if parallel else max(1, NUMBERS // h.numel()), dim=1):
            gates = F.linear(span, self.weight_ih, self.bias_ih)  # (B, S, G)
            odds, candidate = self.log_odds(exact(gates))  # (B, S, H) each
            if parallel:
                states.append(parallel_scan(F.logsigmoid(-odds), F.logsigmoid(odds) + log_positive(candidate), h))
            else:
                states.append(LinearScan.apply(odds.sigmoid(), positive(candidate), h.to(odds.dtype)))
            h = states[-1][:, -1]
        after = torch.cat(states, dim=1)  # (B, T, H)
        return after.to(gates.dtype), final_state([after], lengths, state)

    @staticmethod
    def scan_together(
        cells: Sequence[MinimalCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        """`scan` of a layer's cells; see `Cell.scan_together`."""
        states = starts(cells, x.shape[0], states)
        xs = each_way(x, lengths, len(cells))
        return joined([cell._scan(x, lengths, s) for cell, x, s in zip(cells, xs, states, strict=True)], lengths)


def positive(x: Tensor) -> Tensor:
    """x + 1/2 where x is not negative, sigmoid(x) elsewhere (appendix B.3.2): always the larger of the two."""
    return torch.maximum(x + 0.5, x.sigmoid())


def log_positive(x: Tensor) -> Tensor:
    """The logarithm of `positive`."""
    return torch.where(x >= 0, (x.clamp(min=0.0) + 0.5).log(), F.logsigmoid(x.clamp(max=0.0)))


class MinGRU(MinimalCell):
    """h' = (1 - z) h + z g(candidate), with z a sigmoid of the input (minGRU, section 3.1). The state is `(h,)`."""

    gates = 2  # update, candidate

    def log_odds(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        return gates.chunk(2, dim=-1)


class MinLSTM(MinimalCell):
    """h' = f h + i g(candidate), with f and i normalised to sum to one (minLSTM, section 3.2). The state is `(h,)`."""

    gates = 3  # forget, input, candidate
    honours = MinimalCell.honours | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(3)[0].fill_(options.first_forget_bias)

    def log_odds(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        # log(i / f), where i / f would be 0 / 0 once both gates are closed. With beta=-1 softplus is logsigmoid, in
        # half of its time on a CPU.
        f, i = F.softplus(gates[..., : 2 * self.hidden_size], beta=-1).chunk(2, dim=-1)
        return i - f, gates[..., 2 * self.hidden_size :]


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


class LinearScan(torch.autograd.Function):
    """All states of h' = h + take * (candidate - h), step by step, one operation a step each way."""

    @staticmethod
    def forward(ctx, take: Tensor, candidate: Tensor, start: Tensor) -> Tensor:
        states, h = torch.empty_like(take), start  # (B, T, H), (B, H)
        for now, take_now, candidate_now in zip(*(part.unbind(1) for part in (states, take, candidate)), strict=True):
            h = torch.lerp(h, candidate_now, take_now, out=now)
        ctx.save_for_backward(take, candidate, states, start)
        return states

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        take, candidate, states, start = ctx.saved_tensors
        keep, flow = 1 - take, torch.empty_like(states)  # (B, T, H); the latter: how the loss changes with each state
        flow[:, -1] = later = grad[:, -1]
        for now, grad_now, keep_next in zip(
            *(reversed(part.unbind(1)) for part in (flow[:, :-1], grad[:, :-1], keep[:, 1:])), strict=True
        ):
            later = torch.addcmul(grad_now, keep_next, later, out=now)
        before = torch.cat([start[:, None], states[:, :-1]], dim=1)  # (B, T, H)
        return (candidate - before) * flow, take * flow, keep[:, 0] * flow[:, 0]
