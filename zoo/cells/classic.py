"""The cells that torch has: their parameters, names and results are those of `nn.LSTM`, `nn.GRU` and `nn.RNN`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.cells.contract import (
    SATURATION,
    Cell,
    Parameters,
    State,
    chosen_kernel,
    final_state,
    starts,
)
from zoo.cells.gru_scan import GRUScan, scan
from zoo.cells.options import RecurrentOptions
from zoo.cells.precision import autocast_dtype, exact
from zoo.dropout import dropout
from zoo.masks import known_complete, padding_mask


class TorchCell(Cell):
    """A cell with kernels of torch's own: over the padded batch ("fused") or over a packed one ("packed")."""

    kernels = ("fused", "packed", "steps")
    function: ClassVar[Callable]

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_hh = nn.Parameter(torch.zeros(self.gates * hidden_size))

    def recurrent_bias(self, own: Parameters) -> Tensor:
        return own.bias_hh

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        # On the parameters themselves: of their views, autocast would make new copies in half precision at each step.
        dtype = self.weight_hh.dtype  # a state may be more exact than half precision
        recurrent = F.linear(state[0].to(dtype), self.weight_hh, self.bias_hh)
        inputs = exact(F.linear(x.to(dtype), self.weight_ih, self.bias_ih))
        state = self.update(inputs, recurrent, state, Parameters([self]))
        return state[0].to(dtype), state

    @staticmethod
    def scan_together(
        cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        if cells[0].kernel == "packed":
            return _scan_packed(cells, x, lengths, starts(cells, x.shape[0], states))
        return Cell.scan_together(cells, x, lengths, states)

    def _fused(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, _ = _run([self], [self.weight_ih], x, [part[None] for part in state])
        return outputs, final_state([outputs], lengths, state)


def _scan_packed(cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State]):
    packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    parts = _each_part(states)
    start = [part[:, packed.sorted_indices] for part in parts]
    data, ends = _run(cells, [cell.weight_ih for cell in cells], packed.data, start, packed.batch_sizes)
    outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])
    ended, rows = lengths[:, None] > 0, packed.unsorted_indices
    ends = [torch.where(ended, end[:, rows], part) for end, part in zip(ends, parts, strict=True)]
    return outputs, list(zip(*(end.unbind(0) for end in ends), strict=True))


def _each_part(states: Sequence[State]) -> list[Tensor]:
    # The parts of the states of D cells: (D, B, H) each.
    return [torch.stack(part) for part in zip(*states, strict=True)]


def _run(
    cells: Sequence[TorchCell],
    weights_ih: Sequence[Tensor],
    x: Tensor,
    start: Sequence[Tensor],
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    # torch's own kernel for one or two directions, from parts of the state to parts of the state (D, B, H).
    cell, options = cells[0], cells[0].options
    weights = []
    for one, weight_ih in zip(cells, weights_ih, strict=True):
        weights += [weight_ih, dropout(one.weight_hh, options.weight_drop, one.training), one.bias_ih, one.bias_hh]
    hx = tuple(part.to(x.dtype) for part in start)
    hx = hx if len(hx) > 1 else hx[0]
    settings = (weights, True, 1, 0.0, cell.training, len(cells) == 2)  # one layer, with biases, no dropout
    if batch_sizes is None:
        outputs, *ends = cell.function(x, hx, *settings, True)  # rows first
    else:
        outputs, *ends = cell.function(x, batch_sizes, hx, *settings)
    return outputs, [end.to(part.dtype) for end, part in zip(ends, start, strict=True)]


class LSTM(TorchCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al. 2000).

    The state is `(h, c)`.
    """

    gates, states, free = 4, 2, 2  # input, forget, cell, output
    honours = TorchCell.honours | {"forget_bias"}
    function = staticmethod(torch.lstm)

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions):
        super().__init__(input_size, hidden_size, options)
        self.bias_ih.data.chunk(4)[1].fill_(options.first_forget_bias)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: Parameters) -> State:
        i, f, g, o = (inputs + recurrent).chunk(4, dim=-1)  # (D, B, H) each
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    @staticmethod
    def scan_together(
        cells: Sequence[LSTM], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        if cells[0].kernel == "fused" and known_complete(lengths, x.shape[1]):
            return _scan_whole(cells, x, starts(cells, x.shape[0], states))
        if cells[0].kernel == "fused" and states is None:
            return _scan_frozen(cells, x, lengths, starts(cells, x.shape[0], states))
        return TorchCell.scan_together(cells, x, lengths, states)

    def _fused(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, (end,) = _scan_frozen([self], x, lengths, [state])
        return outputs, end


def _scan_whole(cells: Sequence[LSTM], x: Tensor, states: Sequence[State]):
    outputs, ends = _run(cells, [cell.weight_ih for cell in cells], x, _each_part(states))
    return outputs, list(zip(*ends, strict=True))


def _scan_frozen(cells: Sequence[LSTM], x: Tensor, lengths: Tensor, states: Sequence[State]):
    # One more input is 1 at padding, closes the input gate and opens the forget gate: the cell state passes unchanged.
    # That gives the last cell states, which are not among the outputs, and lets the second direction begin in the
    # padding, with no row reversed; but only from zeros, as nothing keeps a hidden state.
    padding = ~padding_mask(lengths, x.shape[1])[..., None]  # (B, T, 1)
    closed = x.new_full((cells[0].hidden_size, 1), -SATURATION)  # no copy from the host: it would wait
    freeze = torch.cat([closed, -closed, 0 * closed, 0 * closed])  # (4H, 1)
    weights = [torch.cat([cell.weight_ih.to(x.dtype), freeze], dim=1) for cell in cells]  # (4H, I + 1) each
    outputs, (h, c) = _run(cells, weights, torch.cat([x, padding.to(x.dtype)], dim=-1), _each_part(states))
    (forward_end,) = final_state([outputs[..., : cells[0].hidden_size]], lengths, states[0][:1])
    return outputs, list(zip((forward_end, *h[1:]), c, strict=True))


class GRU(TorchCell):
    """Gated recurrent unit (Cho et al. 2014) in the form of cuDNN: the reset gate acts after the matrix.

    The state is `(h,)`.
    """

    gates = 3  # reset, update, new
    kernels = (*TorchCell.kernels, "by_hand")
    fastest = {"cpu": "by_hand"}
    function = staticmethod(torch.gru)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: Parameters) -> State:
        H = self.hidden_size
        gates = (inputs[..., : 2 * H] + recurrent[..., : 2 * H]).sigmoid()  # (D, B, 2H)
        new = torch.addcmul(inputs[..., 2 * H :], gates[..., :H], recurrent[..., 2 * H :]).tanh()  # (D, B, H)
        return (torch.lerp(new, state[0].to(new.dtype), gates[..., H:]),)

    @staticmethod
    def scan_together(
        cells: Sequence[GRU], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        kernel = chosen_kernel(cells[0], lengths, x.shape[1])
        if kernel == "packed":
            return _scan_packed(cells, x, lengths, starts(cells, x.shape[0], states))
        if kernel != "by_hand":
            return TorchCell.scan_together(cells, x, lengths, states)
        H, options = cells[0].hidden_size, cells[0].options
        # What is added to r and z is added once to all steps' inputs; what is added to n is multiplied by r first.
        biases = [cell.bias_ih + F.pad(cell.bias_hh[: 2 * H], (0, H)) for cell in cells]
        bias = torch.stack([cell.bias_hh[2 * H :] for cell in cells])  # (D, H)
        weight = torch.stack([cell.weight_hh for cell in cells])  # (D, 3H, H)
        weight = dropout(weight, options.weight_drop, cells[0].training)
        states = starts(cells, x.shape[0], states)
        start = torch.stack([h for (h,) in states])  # (D, B, H)
        x, weights_ih = x.to(autocast_dtype(x)), [cell.weight_ih for cell in cells]  # (3H, I) each
        if torch.is_grad_enabled():
            outputs, ends = GRUScan.apply(x, lengths, torch.stack(weights_ih), torch.stack(biases), weight, bias, start)
        else:
            outputs, ends, _ = scan(x, lengths, weights_ih, biases, weight, bias, start)
        return outputs, [(end,) for end in ends]


class RNN(TorchCell):
    """The simple recurrent network (Elman 1990) with tanh. The state is `(h,)`."""

    gates = 1
    function = staticmethod(torch.rnn_tanh)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: Parameters) -> State:
        return ((inputs + recurrent).tanh(),)
