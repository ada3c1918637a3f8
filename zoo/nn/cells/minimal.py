"""Minimal cells (Feng et al. 2024, "Were RNNs all we needed?"): their gates see the input only.

Each step is therefore linear in the state, h' = h + take * (candidate - h), and a whole sequence is one scan
(`zoo.nn.cells.kernels.minimal`).

Shapes: B rows, T time steps, I inputs, H hidden units, G = number of gates * H.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.cells.base import describe_cell, scan_cell
from zoo.nn.cells.kernels import Kernels, State
from zoo.nn.cells.kernels.minimal import LinearSteps, ParallelScan, positive
from zoo.nn.cells.options import RecurrentOptions
from zoo.nn.cells.precision import at_least_fp32


class MinimalCell(nn.Module):
    """The base of the minimal cells; a subclass says how much of the candidate replaces the state.

    Args:
        input_size: I.
        hidden_size: H, also the number of outputs.
        options: see `RecurrentOptions`.
    """

    num_gates: ClassVar[int]
    gate_name: ClassVar[str]
    free_states: ClassVar[int] = 1
    kernels: ClassVar[Kernels] = (ParallelScan(), LinearSteps())
    supported_options: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.options = options
        self.weight_ih = nn.Parameter(torch.empty(self.num_gates * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.zeros(self.num_gates * hidden_size))
        for gate in self.weight_ih.data.chunk(self.num_gates):
            nn.init.xavier_uniform_(gate)

    def log_odds(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """log(take / (1 - take)), and the candidate: pre-activations `(..., G)` -> `(..., H)` each."""
        raise NotImplementedError

    def initial_state(self, rows: int) -> State:
        """`(h,)`: zeros `(B, H)`."""
        return (self.weight_ih.new_zeros(rows, self.hidden_size),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: `(B, I)` and a state -> output `(B, H)` and the next state. It applies no dropout."""
        odds, candidate = self._log_odds_of(x)
        h = torch.lerp(state[0].to(odds.dtype), positive(candidate), odds.sigmoid())
        return h.to(self.weight_ih.dtype), (h,)

    def gates(self, x: Tensor, state: State) -> dict[str, Tensor]:
        """How far the gate is open through which the candidate enters, from 0 to 1: `(B, H)`, by its name."""
        odds, _ = self._log_odds_of(x)
        return {self.gate_name: odds.sigmoid()}

    def _log_odds_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`log_odds` for an input `(B, I)`."""
        return self.log_odds(at_least_fp32(F.linear(x.to(self.weight_ih.dtype), self.weight_ih, self.bias_ih)))

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A whole padded batch; see `zoo.nn.cells.base.scan_cell`."""
        return scan_cell(self, x, lengths, state)

    def extra_repr(self) -> str:
        return describe_cell(self)


class MinGRU(MinimalCell):
    """h' = (1 - z) h + z g(candidate), z a sigmoid of the input (minGRU, section 3.1). The state is `(h,)`."""

    # Update, candidate.
    num_gates = 2
    gate_name = "update"

    def log_odds(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        update, candidate = gates.chunk(2, dim=-1)
        return update, candidate


class MinLSTM(MinimalCell):
    """h' = f h + i g(candidate), with f and i normalised to sum to one (minLSTM, section 3.2). The state is `(h,)`."""

    # Forget, input, candidate.
    num_gates = 3
    gate_name = "input"
    supported_options = MinimalCell.supported_options | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(3)[0].fill_(options.first_forget_bias)

    def log_odds(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        # log(i / f), not the logarithm of i / f, which is 0 / 0 where both gates are closed. With beta=-1, softplus is
        # logsigmoid, in half of its time on a CPU.
        f, i = F.softplus(gates[..., : 2 * self.hidden_size], beta=-1).chunk(2, dim=-1)
        return i - f, gates[..., 2 * self.hidden_size :]
