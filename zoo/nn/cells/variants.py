"""Variants of the LSTM. Each changes one thing about its gates, so each is one `update`.

Shapes: D directions, B rows, H hidden units, O outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError, unknown_name
from zoo.nn.cells.base import CANDIDATE, Cell
from zoo.nn.cells.kernels import State
from zoo.nn.cells.options import RecurrentOptions
from zoo.nn.cells.stacked import StackedParameters

OUTPUT_GATES = ("current", "previous")
# An slstm's stabiliser m before the first step is minus this: the logarithm of nothing. It is finite, so that no
# gradient meets inf - inf.
EMPTY = 1e30


class PeepholeLSTM(Cell):
    """LSTM whose gates see the cell state through diagonal weights (Gers & Schmidhuber 2000).

    The input and forget gates see the previous cell state. The output gate sees the current one, or, with
    `output_gate="previous"`, the previous one too. The state is `(h, c)`.
    """

    num_gates = 4
    gate_names = ("input", "forget", "output", CANDIDATE)
    num_states = 2
    free_states = 2
    supported_options = Cell.supported_options | {"forget_bias", "output_gate"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.output_gate = "current" if options.output_gate is None else options.output_gate
        if self.output_gate not in OUTPUT_GATES:
            raise unknown_name("output_gate", self.output_gate, OUTPUT_GATES)
        # Of the input, forget and output gate.
        self.peephole = nn.Parameter(torch.empty(3, hidden_size).uniform_(-0.1, 0.1))
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        i, f, o, g = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        peep_i, peep_f, peep_o = parameters["peephole"][:, :, None].unbind(1)  # (D, 1, H) each
        c = state[1]
        new = (f + peep_f * c).sigmoid() * c + (i + peep_i * c).sigmoid() * g.tanh()
        seen = new if self.output_gate == "current" else c
        return (o + peep_o * seen).sigmoid() * new.tanh(), new

    def _gates(
        self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters
    ) -> dict[str, Tensor]:
        i, f, o, _ = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        peep_i, peep_f, peep_o = parameters["peephole"][:, :, None].unbind(1)  # (D, 1, H) each
        c = state[1]
        seen = self.update(inputs, recurrent, state, parameters)[1] if self.output_gate == "current" else c
        return {
            "input": (i + peep_i * c).sigmoid(),
            "forget": (f + peep_f * c).sigmoid(),
            "output": (o + peep_o * seen).sigmoid(),
        }


class CoupledLSTM(Cell):
    """LSTM whose input gate is 1 - the forget gate (CIFG, Greff et al. 2017).

    The state is `(h, c)`.
    """

    num_gates = 3
    gate_names = ("forget", "output", CANDIDATE)
    num_states = 2
    free_states = 2
    supported_options = Cell.supported_options | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(3)[0].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        f, o, g = (inputs + recurrent).chunk(3, dim=-1)  # (D, B, H) each
        c = torch.lerp(g.tanh(), state[1].to(g.dtype), f.sigmoid())
        return o.sigmoid() * c.tanh(), c


class LayerNormLSTM(Cell):
    """LSTM with layer normalisation of both pre-activations and of the cell state's output (Ba et al. 2016, eq. 20-22).

    The state is `(h, c)`.
    """

    num_gates = 4
    gate_names = ("input", "forget", "output", CANDIDATE)
    num_states = 2
    free_states = 2
    supported_options = Cell.supported_options | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.scale_ih = nn.Parameter(torch.ones(4 * hidden_size))
        self.scale_hh = nn.Parameter(torch.ones(4 * hidden_size))
        self.scale_c = nn.Parameter(torch.ones(hidden_size))
        self.bias_c = nn.Parameter(torch.zeros(hidden_size))
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def project(self, x: Tensor, parameters: StackedParameters) -> Tensor:
        gates = torch.einsum("d...i,dgi->d...g", x, parameters["weight_ih"])
        return _layer_norm(gates, parameters["scale_ih"], parameters["bias_ih"])

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        recurrent = _layer_norm(recurrent, parameters["scale_hh"])
        i, f, o, g = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * _layer_norm(c, parameters["scale_c"], parameters["bias_c"]).tanh(), c

    def _gates(
        self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters
    ) -> dict[str, Tensor]:
        return super()._gates(inputs, _layer_norm(recurrent, parameters["scale_hh"]), state, parameters)


class ProjectedLSTM(Cell):
    """LSTM whose hidden state is a smaller projection of its units (LSTMP, Sak et al. 2014): H units, O outputs.

    The state is `(h, c)`, `(B, O)` and `(B, H)`.
    """

    num_gates = 4
    gate_names = ("input", "forget", "output", CANDIDATE)
    num_states = 2
    free_states = 2
    supported_options = Cell.supported_options | {"forget_bias", "projection_size"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        size = max(1, hidden_size // 2) if options.projection_size is None else options.projection_size
        if not 1 <= size <= hidden_size:
            raise ZooError(f"expected a projection_size from 1 to the {hidden_size} units, got {size}")
        super().__init__(input_size, hidden_size, options, output_size=size)
        self.weight_ho = nn.Parameter(nn.init.xavier_uniform_(torch.empty(size, hidden_size)))
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        i, f, o, g = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        weight_ho = parameters["weight_ho"]  # (D, O, H)
        return (o.sigmoid() * c.tanh()).to(weight_ho.dtype) @ weight_ho.transpose(1, 2), c


class SLSTM(Cell):
    """LSTM with an exponential input gate, a normaliser and a stabiliser (sLSTM of xLSTM, Beck et al. 2024, eq. 8-17).

    It has one head and a sigmoid forget gate. The state is `(h, c, n, m)`: hidden state, cell state, normaliser, and
    stabiliser, the logarithm of the factor by which `c` and `n` are scaled down.
    """

    num_gates = 4
    gate_names = ("input", "forget", "output", CANDIDATE)
    num_states = 4
    supported_options = Cell.supported_options | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def initial_state(self, rows: int) -> State:
        h, c, n, m = super().initial_state(rows)
        return h, c, n, m - EMPTY

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        i, f, o, z = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        _, c, n, m = state
        log_forget = F.logsigmoid(f) + m
        new_m = torch.maximum(log_forget, i)
        forget = (log_forget - new_m).exp()
        take = (i - new_m).exp()
        c = forget * c + take * z.tanh()
        n = forget * n + take
        return o.sigmoid() * c / n, c, n, new_m

    def _gates(
        self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters
    ) -> dict[str, Tensor]:
        """The shares of the new candidate and of the old state in c / n, and the output gate."""
        i, _, o, _ = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        _, _, n, m = self.update(inputs, recurrent, state, parameters)
        share = (i - m).exp() / n
        return {"input": share, "forget": 1 - share, "output": o.sigmoid()}


def _layer_norm(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """Normalises the last dimension; each direction has its own `scale (D, N)` and `bias (D, N)`: `(D, ..., N)`."""
    shape = (len(scale), *(1,) * (x.ndim - 2), -1)
    # torch's kernel sums in fp32 anyway: autocast would make an fp32 copy of `x` first.
    with torch.autocast(x.device.type, enabled=False):
        normal = F.layer_norm(x, x.shape[-1:]) * scale.view(shape).to(x.dtype)
        return normal if bias is None else normal + bias.view(shape).to(x.dtype)
