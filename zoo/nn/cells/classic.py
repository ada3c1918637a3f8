"""The cells that torch has. Their parameters, names and results are those of `nn.LSTM`, `nn.GRU` and `nn.RNN`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.cells.base import CANDIDATE, Cell
from zoo.nn.cells.kernels import Kernels, State
from zoo.nn.cells.kernels.gru import GRUByHand
from zoo.nn.cells.kernels.steps import Steps
from zoo.nn.cells.kernels.torch_rnn import Fused, FusedLSTM, Packed
from zoo.nn.cells.options import RecurrentOptions
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.cells.stacked import StackedParameters


class TorchCell(Cell):
    """A cell that torch has.

    Attributes:
        function: torch's own, over a padded or a packed batch.
    """

    kernels: ClassVar[Kernels] = (Packed("rnn"), Fused(), Steps())
    function: ClassVar[Callable[..., tuple[Tensor, ...]]]

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_hh = nn.Parameter(torch.zeros(self.num_gates * hidden_size))

    def recurrent_bias(self, parameters: StackedParameters) -> Tensor:
        return parameters["bias_hh"]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        # It multiplies by the parameters themselves. Autocast keeps their copies in half precision, but would copy
        # views of them again at each step.
        dtype = self.weight_hh.dtype
        recurrent = F.linear(state[0].to(dtype), self.weight_hh, self.bias_hh)
        inputs = at_least_fp32(F.linear(x.to(dtype), self.weight_ih, self.bias_ih))
        state = self.update(inputs, recurrent, state, StackedParameters([self]))
        return state[0].to(dtype), state


class LSTM(TorchCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al. 2000).

    The state is `(h, c)`.
    """

    num_gates = 4
    gate_names = ("input", "forget", CANDIDATE, "output")
    num_states = 2
    free_states = 2
    kernels: ClassVar[Kernels] = (Packed("lstm"), FusedLSTM(), Steps())
    supported_options = TorchCell.supported_options | {"forget_bias"}
    function = staticmethod(torch.lstm)

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        i, f, g, o = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class GRU(TorchCell):
    """Gated recurrent unit (Cho et al. 2014) in the form of cuDNN: the reset gate acts after the matrix.

    The state is `(h,)`.
    """

    num_gates = 3
    gate_names = ("reset", "update", CANDIDATE)
    kernels: ClassVar[Kernels] = (Packed("gru"), GRUByHand(), Fused(), Steps())
    function = staticmethod(torch.gru)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        H = self.hidden_size
        gates = (inputs[..., : 2 * H] + recurrent[..., : 2 * H]).sigmoid()  # (D, B, 2H)
        new = torch.addcmul(inputs[..., 2 * H :], gates[..., :H], recurrent[..., 2 * H :]).tanh()  # (D, B, H)
        return (torch.lerp(new, state[0].to(new.dtype), gates[..., H:]),)


class RNN(TorchCell):
    """The simple recurrent network (Elman 1990) with tanh. The state is `(h,)`."""

    num_gates = 1
    function = staticmethod(torch.rnn_tanh)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        return ((inputs + recurrent).tanh(),)
