"""Recurrent cells: one layer, in one direction, behind one contract.

A cell is a module with `input_size`, `hidden_size` and three methods:

- `initial_state(rows)`: the state before the first step, a tuple of tensors `(B, H)`;
- `step(x, state)`: one time step, `(B, I)` and a state -> `(B, H)` and the next state;
- `scan(x, lengths, state)`: the whole sequence, `(B, T, I)` -> `(B, T, H)` and the state after each row's
  own last step, exact whatever the padding holds.

A new cell is one class and one line in `CELLS`.

Shapes: B rows, T time steps, I inputs, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.masks import last, padding_mask, zero_padding

State = tuple[Tensor, ...]

# Saturates a sigmoid to exactly 0 or 1 in fp32, bf16 and fp16, and overflows in none of them.
SATURATION = 1e4


class _TorchCell(nn.Module):
    """What the cells with a fused torch kernel share: parameters named and ordered as in `nn.LSTM`."""

    def __init__(self, input_size: int, hidden_size: int, gates: int):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.empty(gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(gates * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.zeros(gates * hidden_size))
        self.bias_hh = nn.Parameter(torch.zeros(gates * hidden_size))
        for gate in self.weight_ih.data.chunk(gates):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.data.chunk(gates):
            nn.init.orthogonal_(gate)

    def initial_state(self, rows: int) -> State:
        return (self.weight_hh.new_zeros(rows, self.hidden_size),)


class LSTM(_TorchCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al. 2000).

    The state is `(h, c)`. The forget gate's bias starts at 1 (Jozefowicz et al. 2015).
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size, gates=4)  # input, forget, cell, output
        nn.init.ones_(self.bias_ih.data.chunk(4)[1])

    def initial_state(self, rows: int) -> State:
        return (*super().initial_state(rows), *super().initial_state(rows))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = torch.lstm_cell(x, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h, (h, c)

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        # The cell state is not among the outputs of the fused kernel, so it is kept through the padding
        # instead: one more input is 1 there, closes the input gate and opens the forget gate.
        mask = padding_mask(lengths, x.shape[1])  # (B, T)
        x = torch.cat([zero_padding(x, mask), (~mask)[..., None].to(x.dtype)], dim=-1)  # (B, T, I + 1)
        weights = [torch.cat([self.weight_ih, self._freeze()], dim=1), self.weight_hh]
        weights += [self.bias_ih, self.bias_hh]
        h, c = (part.to(x.dtype)[None] for part in state)  # (1, B, H)
        outputs, _, c = torch.lstm(x, (h, c), weights, True, 1, 0.0, self.training, False, True)
        return outputs, (_final_hidden(outputs, lengths, state[0]), c.squeeze(0))

    def _freeze(self) -> Tensor:
        signs = self.weight_ih.new_tensor([-SATURATION, SATURATION, 0.0, 0.0])
        return signs.repeat_interleave(self.hidden_size)[:, None]  # (4H, 1)


class GRU(_TorchCell):
    """Gated recurrent unit (Cho et al. 2014) in the form of cuDNN: the reset gate acts after the matrix.

    The state is `(h,)`.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size, gates=3)  # reset, update, new

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = torch.gru_cell(x, state[0], self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h, (h,)

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        x = zero_padding(x, padding_mask(lengths, x.shape[1]))
        weights = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        outputs, _ = torch.gru(x, state[0].to(x.dtype)[None], weights, True, 1, 0.0, self.training, False, True)
        return outputs, (_final_hidden(outputs, lengths, state[0]),)


def _final_hidden(outputs: Tensor, lengths: Tensor, initial: Tensor) -> Tensor:
    return torch.where(lengths[:, None] > 0, last(outputs, lengths), initial.to(outputs.dtype))


CELLS: dict[str, type[nn.Module]] = {"lstm": LSTM, "gru": GRU}
