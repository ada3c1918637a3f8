"""The recurrent backbone that every model of the zoo stands on.

Shapes: B rows, T time steps, I inputs, H hidden units, D directions (1 or 2), N layers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.cells import CELLS, State
from zoo.dropout import LockedDropout
from zoo.errors import ZooError, unknown_name
from zoo.masks import padding_mask, reverse, zero_padding


class Encoded(NamedTuple):
    """What a backbone returns.

    Attributes:
        sequence: `(B, T, D * H)`, the top layer's outputs, forward then backward; zeros at padding.
        final: `(N, B, D * H)`, each layer's hidden state where that direction ends: at a row's last real step
            for the forward one, at its first step for the backward one.
        state: the cells' own states, layer by layer, forward before backward; give it back as `state` to go on.
    """

    sequence: Tensor
    final: Tensor
    state: tuple[State, ...]


class RecurrentBackbone(nn.Module):
    """A stack of recurrent layers, exact on right-padded batches without packing them.

    >>> backbone = RecurrentBackbone(input_size=8, hidden_size=16, cell="gru", num_layers=2)
    >>> encoded = backbone(torch.randn(3, 5, 8), lengths=torch.tensor([5, 2, 4]))
    >>> encoded.sequence.shape, encoded.final.shape
    (torch.Size([3, 5, 32]), torch.Size([2, 3, 32]))

    Args:
        input_size: I, features per step.
        hidden_size: H, units per layer and direction.
        cell: a key of `zoo.CELLS`: "lstm" or "gru".
        num_layers: N.
        bidirectional: whether a second cell reads each row from its own end to its start (Schuster & Paliwal 1997).
        dropout: probability of zeroing an output between two layers.

    Raises:
        ValueError: an unknown cell (the known ones are listed), or a size below 1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        cell: str = "lstm",
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        if cell not in CELLS:
            raise unknown_name("cell", cell, CELLS)
        if min(input_size, hidden_size, num_layers) < 1:
            sizes = f"{input_size}, {hidden_size} and {num_layers}"
            raise ZooError(f"input_size, hidden_size and num_layers must be at least 1, got {sizes}")
        self.directions = 2 if bidirectional else 1
        self.output_size = hidden_size * self.directions
        self.dropout = LockedDropout(dropout)
        sizes = [input_size] + [self.output_size] * (num_layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(CELLS[cell](size, hidden_size) for _ in range(self.directions)) for size in sizes
        )

    def initial_state(self, rows: int) -> tuple[State, ...]:
        """The state before the first step of a batch of `rows`."""
        return tuple(cell.initial_state(rows) for layer in self.layers for cell in layer)

    def forward(self, x: Tensor, lengths: Tensor, state: tuple[State, ...] | None = None) -> Encoded:
        """Encodes a padded batch.

        Args:
            x: `(B, T, I)`; whatever stands at padding is never read.
            lengths: `(B,)`, real steps in each row, on the same device as `x`.
            state: where to start, as returned in `Encoded.state`; zeros when None.
        """
        state = self.initial_state(len(x)) if state is None else state
        mask = padding_mask(lengths, x.shape[1])  # (B, T)
        finals, states = [], []
        for depth, layer in enumerate(self.layers):
            x = self.dropout(x) if depth else x
            starts = state[depth * self.directions : (depth + 1) * self.directions]
            x, ends = self._layer(layer, x, lengths, starts)  # (B, T, D * H)
            finals.append(torch.cat([end[0] for end in ends], dim=-1))  # (B, D * H)
            states += ends
        return Encoded(zero_padding(x, mask), torch.stack(finals), tuple(states))

    def step(self, x: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """One time step of a backbone with one direction, for decoding and streams: it applies no dropout.

        Args:
            x: `(B, I)`.
            state: as returned by `initial_state`, by the last step, or in `Encoded.state`.

        Returns:
            The output `(B, H)` and the next state.
        """
        if self.directions == 2:
            raise ZooError("a bidirectional backbone reads the whole sequence at once: step needs bidirectional=False")
        states = []
        for layer, start in zip(self.layers, state, strict=True):
            x, end = layer[0].step(x, start)
            states.append(end)
        return x, tuple(states)

    def _layer(self, layer: nn.ModuleList, x: Tensor, lengths: Tensor, starts: tuple[State, ...]):
        outputs, end = layer[0].scan(x, lengths, starts[0])
        if self.directions == 1:
            return outputs, [end]
        backward, backward_end = layer[1].scan(reverse(x, lengths), lengths, starts[1])
        return torch.cat([outputs, reverse(backward, lengths)], dim=-1), [end, backward_end]
