"""The cells that torch has: their parameters, names and results are those of `nn.LSTM`, `nn.GRU` and `nn.RNN`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.cells.contract import Cell, Parameters, RecurrentOptions, State, final_state, stack_parameters
from zoo.cells.gru_scan import GRUScan
from zoo.masks import padding_mask

# Saturates a sigmoid to exactly 0 or 1 in fp32, bf16 and fp16, and overflows in none of them.
SATURATION = 1e4


class TorchCell(Cell):
    """A cell with kernels of torch's own: over the padded batch ("fused") or over a packed one ("packed")."""

    kernels = ("fused", "packed", "steps")
    honours = Cell.honours | {"kernel"}
    function: ClassVar[Callable]

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_hh = nn.Parameter(torch.zeros(self.gates * hidden_size))

    def recurrent_bias(self, own: Parameters) -> Tensor:
        return own.bias_hh

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        # On the parameters themselves: of their views, autocast would make new copies in half precision at each step.
        recurrent = F.linear(state[0], self.weight_hh, self.bias_hh)
        state = self.update(F.linear(x, self.weight_ih, self.bias_ih), recurrent, state, stack_parameters([self]))
        return state[0], state

    def _run(self, x: Tensor, state: State, weight_ih: Tensor, batch_sizes: Tensor | None = None):
        weight_hh = F.dropout(self.weight_hh, self.options.weight_drop, self.training)
        weights = [weight_ih, weight_hh, self.bias_ih, self.bias_hh]
        parts = tuple(part.to(x.dtype)[None] for part in state)  # (1, B, H)
        hx = parts if len(parts) > 1 else parts[0]
        settings = (weights, True, 1, 0.0, self.training, False)  # one layer, with biases, no dropout, one direction
        if batch_sizes is None:
            outputs, *ends = self.function(x, hx, *settings, True)
        else:
            outputs, *ends = self.function(x, batch_sizes, hx, *settings)
        return outputs, tuple(end.squeeze(0) for end in ends)

    def _fused(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, _ = self._run(x, state, self.weight_ih)
        return outputs, final_state([outputs], lengths, state)

    def _packed(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        start = tuple(part[packed.sorted_indices] for part in state)
        data, ends = self._run(packed.data, start, self.weight_ih, packed.batch_sizes)
        outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])
        ends = (end[packed.unsorted_indices] for end in ends)
        return outputs, tuple(torch.where(lengths[:, None] > 0, *pair) for pair in zip(ends, state, strict=True))


class LSTM(TorchCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al. 2000).

    The state is `(h, c)`.
    """

    gates, states, free = 4, 2, 2  # input, forget, cell, output
    honours = TorchCell.honours | {"forget_bias"}
    function = staticmethod(torch.lstm)

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        bias = 1.0 if options.forget_bias is None else options.forget_bias
        nn.init.constant_(self.bias_ih.data.chunk(4)[1], bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: Parameters) -> State:
        i, f, g, o = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def _fused(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        # The cell state is not among the outputs of the fused kernel, so it is kept through the padding
        # instead: one more input is 1 there, closes the input gate and opens the forget gate.
        padding = ~padding_mask(lengths, x.shape[1])[..., None]  # (B, T, 1)
        signs = self.weight_ih.new_tensor([-SATURATION, SATURATION, 0.0, 0.0])
        freeze = signs.repeat_interleave(self.hidden_size)[:, None]  # (4H, 1)
        weight = torch.cat([self.weight_ih, freeze], dim=1)  # (4H, I + 1)
        outputs, (_, c) = self._run(torch.cat([x, padding.to(x.dtype)], dim=-1), state, weight)
        return outputs, (*final_state([outputs], lengths, state[:1]), c)


class GRU(TorchCell):
    """Gated recurrent unit (Cho et al. 2014) in the form of cuDNN: the reset gate acts after the matrix.

    The state is `(h,)`.
    """

    gates = 3  # reset, update, new
    kernels = ("by_hand", *TorchCell.kernels)
    function = staticmethod(torch.gru)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: Parameters) -> State:
        H = self.hidden_size
        gates = (inputs[..., : 2 * H] + recurrent[..., : 2 * H]).sigmoid()  # (D, B, 2H)
        new = torch.addcmul(inputs[..., 2 * H :], gates[..., :H], recurrent[..., 2 * H :]).tanh()  # (D, B, H)
        h = state[0]
        return (torch.lerp(new.to(h.dtype), h, gates[..., H:].to(h.dtype)),)

    def fastest(self, rows: int) -> str:
        if self.weight_hh.device.type != "cpu":
            return "fused"
        # Where a step is one large product, all that is left to gain is the padding, which packing leaves out.
        large = rows * self.hidden_size >= 128 * 512
        return "packed" if large and not torch.is_grad_enabled() else "by_hand"

    @staticmethod
    def scan_together(
        cells: Sequence[GRU], xs: Sequence[Tensor], lengths: Tensor, states: Sequence[State]
    ) -> list[tuple[Tensor, State]]:
        if cells[0].kernel(len(xs[0])) != "by_hand":
            return Cell.scan_together(cells, xs, lengths, states)
        own = stack_parameters(cells)
        inputs = cells[0].project(torch.stack([x.transpose(0, 1) for x in xs]), own)  # (D, T, B, 3H)
        weight = F.dropout(own.weight_hh, cells[0].options.weight_drop, cells[0].training)
        start = torch.stack([h for (h,) in states])  # (D, B, H)
        outputs = GRUScan.apply(inputs, weight.to(inputs.dtype), own.bias_hh.to(inputs.dtype), start)
        outputs = outputs.transpose(1, 2)  # (D, B, T, H)
        ends = [final_state([h], lengths, state) for h, state in zip(outputs, states, strict=True)]
        return list(zip(outputs.to(inputs.dtype), ends, strict=True))


class RNN(TorchCell):
    """The simple recurrent network (Elman 1990) with tanh. The state is `(h,)`."""

    gates = 1
    function = staticmethod(torch.rnn_tanh)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: Parameters) -> State:
        return ((inputs + recurrent).tanh(),)
