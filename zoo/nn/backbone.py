"""The recurrent backbone of all models.

Shapes: B rows, T time steps, I inputs, H hidden units, O outputs (H, except for a projected cell), D directions (1 or
2), N layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, unknown_name
from zoo.masks import known_complete, padding_mask, zero_padding
from zoo.memory import count_weights, require_memory
from zoo.nn.cells import (
    RecurrentCell,
    RecurrentOptions,
    State,
    check_batch,
    check_states,
    make_cell,
    scan_layer,
)
from zoo.nn.cells.precision import autocast_dtype
from zoo.nn.dropout import LockedDropout
from zoo.nn.skips import SKIPS


class BackboneOutput(NamedTuple):
    """What a backbone returns.

    Attributes:
        sequence: `(B, T, D * O)`, the top layer's outputs, forward then backward; zeros at padding, unless the row's
            own real steps had NaN or inf.
        final: `(N, B, D * O)`, each layer's hidden state where a direction ends: the forward one at a row's last real
            step, the backward one at its first step.
        state: the last state of each cell, layer by layer, forward before backward: a tuple of `(B, O)` and further
            `(B, H)`, as the cell documents. Given back as `state`, a backbone of one direction continues from it; a
            backward direction ends at the start of a row and cannot continue.
    """

    sequence: Tensor
    final: Tensor
    state: tuple[State, ...]


class RecurrentBackbone(nn.Module):
    """A stack of recurrent layers. Its results on a right-padded batch are exact, without packing it.

    >>> import torch
    >>> from zoo import RecurrentBackbone
    >>> backbone = RecurrentBackbone(input_size=8, hidden_size=16, cell="gru", num_layers=2)
    >>> encoded = backbone(torch.randn(3, 5, 8), lengths=torch.tensor([5, 2, 4]))
    >>> encoded.sequence.shape, encoded.final.shape
    (torch.Size([3, 5, 32]), torch.Size([2, 3, 32]))
    >>> int(encoded.sequence[1, 2:].count_nonzero())  # of padding
    0

    These are the cells, each documented in `zoo.nn.cells`. All of them work in every model, direction and depth:

        lstm             Hochreiter & Schmidhuber 1997, Gers et al. 2000; equal to `nn.LSTM`
        gru              Cho et al. 2014; equal to `nn.GRU`
        rnn              Elman 1990, tanh; equal to `nn.RNN`
        peephole_lstm    Gers & Schmidhuber 2000: the gates see the cell state
        cifg_lstm        Greff et al. 2017: the input gate is 1 - the forget gate
        layer_norm_lstm  Ba et al. 2016
        projected_lstm   Sak et al. 2014: fewer outputs than units
        slstm            Beck et al. 2024 (xLSTM): exponential input gate, normalised and stabilised
        min_gru          Feng et al. 2024: the gates see the input only
        min_lstm         Feng et al. 2024

    Args:
        input_size: I, features per step.
        hidden_size: H, units per layer and direction.
        cell: one of the names above, the keys of `zoo.CELLS`.
        num_layers: N.
        bidirectional: whether a second cell reads each row from its own end to its start (Schuster & Paliwal 1997).
        dropout: probability that a row loses an output between two layers, at all its steps. With one layer it does
            nothing, and gives no warning: a model passes the same value at any depth, and drops before the first layer
            and after the last one itself.
        options: regularisers, skips, and what only some cells take: `RecurrentOptions`, or a mapping of the same names.

    Raises:
        ZooError: an unknown cell, option or skip (the known ones are listed), a size below 1, or an option that the
            cell does not support.
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
        options: RecurrentOptions | Mapping[str, Any] = RecurrentOptions(),
    ):
        super().__init__()
        options = RecurrentOptions.of(options)
        if min(input_size, hidden_size, num_layers) < 1:
            sizes = f"{input_size}, {hidden_size} and {num_layers}"
            raise ZooError(f"input_size, hidden_size and num_layers must be at least 1, got {sizes}")
        if options.skip not in SKIPS:
            raise unknown_name("skip", options.skip, SKIPS)
        if options.skip != "none" and num_layers == 1:
            raise ZooError(f"skip={options.skip!r} needs a layer above the first: use num_layers=2, or leave skip out")
        self.input_size = input_size
        self.directions = 2 if bidirectional else 1
        self.input_dropout = LockedDropout(options.input_dropout)
        self.dropout = LockedDropout(dropout)
        self.layers = nn.ModuleList()
        size = input_size
        for _ in range(num_layers):
            make = partial(_make_layer, cell, size, hidden_size, options, self.directions)
            cause = f"{num_layers} recurrent layers of {hidden_size:,} units and {size:,} inputs"
            require_memory(num_layers * count_weights(make), cause)
            layer = make()
            self.layers.append(layer)
            size = self.directions * _cells_of(layer)[0].output_size
        self.output_size = size
        self.skips = nn.ModuleList(SKIPS[options.skip](size) for _ in range(num_layers - 1))

    @property
    def cells(self) -> list[RecurrentCell]:
        """The cells, layer by layer, forward before backward."""
        return [cell for layer in self.layers for cell in _cells_of(layer)]

    def initial_state(self, rows: int) -> tuple[State, ...]:
        """The state before the first step of a batch of B `rows`."""
        return tuple(cell.initial_state(rows) for cell in self.cells)

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: tuple[State, ...] | None = None
    ) -> BackboneOutput:
        """Encodes a padded batch.

        Args:
            x: `(B, T, I)`; padding is never read.
            lengths: `(B,)` integers, the real steps of each row, on the same device as `x`. They are required.
            state: where to start, as returned in `BackboneOutput.state`; None for zeros.

        Raises:
            ZooError: other shapes, another type than that of the weights (without autocast), or lengths outside 0 to T
                (checked on a CPU only).
        """
        cells = self.cells
        lengths = check_batch(x, lengths, cells[0].weight_ih)
        if state is not None:
            check_states(cells, state, x.shape[0])
        mask = None if known_complete(lengths, x.shape[1]) else padding_mask(lengths, x.shape[1])  # (B, T)
        # Cast to the type of the products first: masking then moves half the bytes under autocast.
        cast = x.to(autocast_dtype(x))
        x = cast if mask is None else zero_padding(cast, mask, inplace=cast is not x)
        finals: list[Tensor] = []
        states: list[State] = []
        for depth in range(len(self.layers)):
            start = None if state is None else state[depth * self.directions : (depth + 1) * self.directions]
            x, ends = self.read_layer(depth, x, lengths, start)
            finals.append(torch.cat([end[0] for end in ends], dim=-1))  # (B, D * O)
            states += ends
        x = x if mask is None else zero_padding(x, mask, inplace=True)
        return BackboneOutput(x, torch.stack(finals), tuple(states))

    def read_layer(
        self, depth: int, x: Tensor, lengths: Tensor, state: Sequence[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """One layer of `forward`.

        Args:
            depth: the layer, from 0.
            x: its input `(B, T, *)`, zeros at padding.
            lengths: `(B,)`.
            state: where each direction starts; None for zeros.

        Returns:
            The input of the next layer `(B, T, D * O)`, undefined at padding, and the state in which each direction
            ends.
        """
        y, ends = scan_layer(_cells_of(self.layers[depth]), self._drop_input(x, depth), lengths, state)
        return self._skip(x, y, depth), ends

    def step(self, x: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """One time step of a backbone with one direction, for decoding and streams. It applies no dropout.

        Args:
            x: `(B, I)`.
            state: as returned by `initial_state`, by the previous step, or in `BackboneOutput.state`.

        Returns:
            The output `(B, O)` and the next state.

        Raises:
            ZooError: two directions, another shape, or a state of another number of layers or rows.
        """
        if self.directions == 2:
            raise ZooError("a bidirectional backbone reads the whole sequence at once: step needs bidirectional=False")
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ZooError(f"expected x of shape (B, {self.input_size}), got {tuple(x.shape)}")
        cells = self.cells
        check_states(cells, state, len(x))
        states = []
        for depth, (cell, start) in enumerate(zip(cells, state, strict=True)):
            y, end = cell.step(x, start)
            x = self._skip(x, y, depth)
            states.append(end)
        return x, tuple(states)

    def extra_repr(self) -> str:
        return f"{self.input_size}, output_size={self.output_size}, bidirectional={self.directions == 2}"

    def _drop_input(self, x: Tensor, depth: int) -> Tensor:
        """The input `(B, T, *)` of the layer at `depth`, after dropout."""
        dropped: Tensor = self.dropout(x) if depth else self.input_dropout(x)
        return dropped

    def _skip(self, x: Tensor, y: Tensor, depth: int) -> Tensor:
        """The input of the next layer, from the input `x` and the output `y` of the layer at `depth`."""
        if depth == 0:
            return y
        skipped: Tensor = self.skips[depth - 1](x, y)
        return skipped


def _make_layer(
    cell: str, input_size: int, hidden_size: int, options: RecurrentOptions, directions: int
) -> nn.ModuleList:
    """The cells of one layer, one for each direction."""
    cells = [make_cell(cell, input_size, hidden_size, options) for _ in range(directions)]
    # Each cell is a module too, which a Protocol cannot say.
    return nn.ModuleList(cells)  # type: ignore[arg-type]


def _cells_of(layer: nn.Module) -> list[RecurrentCell]:
    """The cells of one layer, forward before backward."""
    # A ModuleList has no types for what it contains.
    return list(layer)  # type: ignore[call-overload, no-any-return]
