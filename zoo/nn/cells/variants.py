"""Variants of the LSTM: each changes one thing about its gates, so each is one `update`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError, unknown_name
from zoo.nn.cells.base import Cell
from zoo.nn.cells.kernels import State
from zoo.nn.cells.options import RecurrentOptions
from zoo.nn.cells.stacked import StackedParameters

OUTPUT_GATES = ("current", "previous")


class PeepholeLSTM(Cell):
    """LSTM whose gates see the cell state through diagonal weights (Gers & Schmidhuber 2000).

    The input and forget gates see the previous cell state; the output gate the current one, or, with
    `output_gate="previous"`, the previous one too, so that all gates can be computed at once. The state is `(h, c)`.
    """

    num_gates, num_states, free_states = 4, 2, 2  # input, forget, output, cell
    supported_options = Cell.supported_options | {"forget_bias", "output_gate"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.output_gate = "current" if options.output_gate is None else options.output_gate
        if self.output_gate not in OUTPUT_GATES:
            raise unknown_name("output_gate", self.output_gate, OUTPUT_GATES)
        self.peephole = nn.Parameter(torch.empty(3, hidden_size).uniform_(-0.1, 0.1))  # input, forget, output
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: StackedParameters) -> State:
        i, f, o, g = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        c, (peep_i, peep_f, peep_o) = state[1], own.peephole[:, :, None].unbind(1)
        new = (f + peep_f * c).sigmoid() * c + (i + peep_i * c).sigmoid() * g.tanh()
        seen = new if self.output_gate == "current" else c
        return (o + peep_o * seen).sigmoid() * new.tanh(), new


class CoupledLSTM(Cell):
    """LSTM that forgets just as much as it takes in: the input gate is 1 - the forget gate (CIFG, Greff et al. 2017).

    The state is `(h, c)`.
    """

    num_gates, num_states, free_states = 3, 2, 2  # forget, output, cell
    supported_options = Cell.supported_options | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(3)[0].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: StackedParameters) -> State:
        f, o, g = (inputs + recurrent).chunk(3, dim=-1)  # (D, B, H) each
        c = torch.lerp(g.tanh(), state[1].to(g.dtype), f.sigmoid())
        return o.sigmoid() * c.tanh(), c


class LayerNormLSTM(Cell):
    """LSTM that normalises what reaches its gates, and the cell state on its way out (Ba et al. 2016, eq. 20-22).

    The state is `(h, c)`.
    """

    num_gates, num_states, free_states = 4, 2, 2  # input, forget, output, cell
    supported_options = Cell.supported_options | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.scale_ih = nn.Parameter(torch.ones(4 * hidden_size))
        self.scale_hh = nn.Parameter(torch.ones(4 * hidden_size))
        self.scale_c = nn.Parameter(torch.ones(hidden_size))
        self.bias_c = nn.Parameter(torch.zeros(hidden_size))
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def project(self, x: Tensor, own: StackedParameters) -> Tensor:
        gates = torch.einsum("d...i,dgi->d...g", x, own.weight_ih)
        return _layer_norm(gates, own.scale_ih, own.bias_ih)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: StackedParameters) -> State:
        i, f, o, g = (inputs + _layer_norm(recurrent, own.scale_hh)).chunk(4, dim=-1)  # (D, B, H) each
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * _layer_norm(c, own.scale_c, own.bias_c).tanh(), c


class ProjectedLSTM(Cell):
    """LSTM whose hidden state is a smaller projection of its units (LSTMP, Sak et al. 2014): H units, O outputs.

    The state is `(h, c)`, `(B, O)` and `(B, H)`.
    """

    num_gates, num_states, free_states = 4, 2, 2  # input, forget, output, cell
    supported_options = Cell.supported_options | {"forget_bias", "projection_size"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        size = max(1, hidden_size // 2) if options.projection_size is None else options.projection_size
        if not 1 <= size <= hidden_size:
            raise ZooError(f"expected a projection_size from 1 to the {hidden_size} units, got {size}")
        super().__init__(input_size, hidden_size, options, output_size=size)
        self.weight_ho = nn.Parameter(nn.init.xavier_uniform_(torch.empty(size, hidden_size)))
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: StackedParameters) -> State:
        i, f, o, g = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return (o.sigmoid() * c.tanh()).to(own.weight_ho.dtype) @ own.weight_ho.transpose(1, 2), c


class SLSTM(Cell):
    """LSTM with an exponential input gate, a normaliser and a stabiliser (sLSTM of xLSTM, Beck et al. 2024, eq. 8-17).

    One head, forget gate sigmoid. The state is `(h, c, n, m)`: hidden and cell state, normaliser, and the logarithm by
    which `c` and `n` are scaled down.
    """

    num_gates, num_states = 4, 4  # input, forget, output, cell
    supported_options = Cell.supported_options | {"forget_bias"}

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: StackedParameters) -> State:
        i, f, o, z = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        _, c, n, m = state
        kept = F.logsigmoid(f) + m
        scale = torch.maximum(kept, i)
        keep, take = (kept - scale).exp(), (i - scale).exp()
        c = keep * c + take * z.tanh()
        n = keep * n + take
        return o.sigmoid() * c / n, c, n, scale

    def initial_state(self, rows: int) -> State:
        h, c, n, m = super().initial_state(rows)
        return h, c, n, m - EMPTY


# The logarithm of nothing, finite, so that no gradient meets inf - inf.
EMPTY = 1e30


def _layer_norm(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    # Over the last dimension; the affine part is each direction's own: (D, ..., N), (D, N), (D, N) -> (D, ..., N)
    # Without autocast, which would make fp32 copies of what the kernel sums in fp32 anyway.
    shape = (len(scale), *(1,) * (x.ndim - 2), -1)
    with torch.autocast(x.device.type, enabled=False):
        normal = F.layer_norm(x, x.shape[-1:]) * scale.view(shape).to(x.dtype)
        return normal if bias is None else normal + bias.view(shape).to(x.dtype)
