"""The recurrent backbone that every model of the zoo stands on.

Shapes: B rows, T time steps, I inputs, H hidden units, O outputs (H, but for a projected cell), D directions (1 or
2), N layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, unknown_name
from zoo.masks import known_complete, padding_mask, zero_padding
from zoo.memory import count_weights, require_memory
from zoo.nn.cells import RecurrentOptions, State, check_batch, check_states, make_cell, scan_layer
from zoo.nn.cells.precision import autocast_dtype
from zoo.nn.dropout import LockedDropout


class BackboneOutput(NamedTuple):
    """What a backbone returns.

    Attributes:
        sequence: `(B, T, D * O)`, the top layer's outputs, forward then backward; zeros at padding, unless a row's own
            real steps had NaN or inf.
        final: `(N, B, D * O)`, each layer's hidden state where that direction ends: at a row's last real step
            for the forward one, at its first step for the backward one.
        state: the cells' own states, layer by layer, forward before backward, each a tuple of `(B, O)` and further
            `(B, H)` as its cell documents. Given back as `state`, a backbone of one direction goes on from there; a
            backward direction, which ends at the start of a row, cannot.
    """

    sequence: Tensor
    final: Tensor
    state: tuple[State, ...]


class NoSkip(nn.Module):
    """A layer's output is all that reaches the next: y."""

    def __init__(self, size: int):
        super().__init__()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y


class Residual(NoSkip):
    """A layer adds to its input (He et al. 2016): x + y."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Highway(nn.Module):
    """A gate mixes a layer's output into its input (Srivastava et al. 2015, eq. 3); at first it lets little through."""

    def __init__(self, size: int):
        super().__init__()
        self.gate = nn.Linear(size, size)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + self.gate(x).sigmoid() * (y - x)


SKIPS = {"none": NoSkip, "residual": Residual, "highway": Highway}


class RecurrentBackbone(nn.Module):
    """A stack of recurrent layers, exact on right-padded batches without packing them.

    >>> backbone = RecurrentBackbone(input_size=8, hidden_size=16, cell="gru", num_layers=2)
    >>> encoded = backbone(torch.randn(3, 5, 8), lengths=torch.tensor([5, 2, 4]))
    >>> encoded.sequence.shape, encoded.final.shape
    (torch.Size([3, 5, 32]), torch.Size([2, 3, 32]))

    The cells, each documented in `zoo.nn.cells`; any of them works in every model, direction and depth:

        lstm             Hochreiter & Schmidhuber 1997, Gers et al. 2000; equal to `nn.LSTM`
        gru              Cho et al. 2014; equal to `nn.GRU`
        rnn              Elman 1990, tanh; equal to `nn.RNN`
        peephole_lstm    Gers & Schmidhuber 2000: gates see the cell state
        cifg_lstm        Greff et al. 2017: the input gate is 1 - the forget gate
        layer_norm_lstm  Ba et al. 2016
        projected_lstm   Sak et al. 2014: fewer outputs than units
        slstm            Beck et al. 2024 (xLSTM): exponential input gate, normalised and stabilised
        min_gru          Feng et al. 2024: gates see the input alone
        min_lstm         Feng et al. 2024

    Args:
        input_size: I, features per step.
        hidden_size: H, units per layer and direction.
        cell: one of the names above, the keys of `zoo.CELLS`.
        num_layers: N.
        bidirectional: whether a second cell reads each row from its own end to its start (Schuster & Paliwal 1997).
        dropout: probability that a row loses an output between two layers, at all its steps. An only layer drops
            nothing, without a warning: the models here pass one value at any depth, and drop before and after the
            layers themselves (as `options.input_dropout` does before the first).
        options: regularisers, skips, and what single cells take: `RecurrentOptions`, or a mapping of the same names.

    Raises:
        ValueError: an unknown cell, option or skip (the known ones are listed), a size below 1, or an option that the
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
        options: RecurrentOptions | Mapping[str, object] = RecurrentOptions(),
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
        self.input_size, self.directions = input_size, 2 if bidirectional else 1
        self.input_dropout, self.dropout = LockedDropout(options.input_dropout), LockedDropout(dropout)
        self.layers = nn.ModuleList()
        self.output_size = input_size
        for _ in range(num_layers):
            weights = count_weights(partial(make_cell, cell, self.output_size, hidden_size, options))
            cause = f"{num_layers} recurrent layers of {hidden_size:,} units and {self.output_size:,} inputs"
            require_memory(num_layers * self.directions * weights, cause)
            layer = [make_cell(cell, self.output_size, hidden_size, options) for _ in range(self.directions)]
            self.layers.append(nn.ModuleList(layer))
            self.output_size = layer[0].output_size * self.directions
        self.skips = nn.ModuleList(SKIPS[options.skip](self.output_size) for _ in range(num_layers - 1))

    @property
    def cells(self) -> list[nn.Module]:
        """The cells, layer by layer, forward before backward."""
        return [cell for layer in self.layers for cell in layer]

    def initial_state(self, rows: int) -> tuple[State, ...]:
        """The state before the first step of a batch of `rows`."""
        return tuple(cell.initial_state(rows) for cell in self.cells)

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, state: tuple[State, ...] | None = None
    ) -> BackboneOutput:
        """Encodes a padded batch.

        Args:
            x: `(B, T, I)`; whatever stands at padding is never read.
            lengths: `(B,)`, real steps in each row, on the same device as `x`. They have to be given.
            state: where to start, as returned in `BackboneOutput.state`; zeros when None.

        Raises:
            ValueError: other shapes, another type than the weights' (without autocast), or lengths that T does not
                hold (seen on a CPU alone).
        """
        check_batch(x, lengths, self.cells[0].weight_ih)
        if state is not None:
            check_states(self.cells, state, x.shape[0])
        mask = None if known_complete(lengths, x.shape[1]) else padding_mask(lengths, x.shape[1])  # (B, T)
        cast = x.to(autocast_dtype(x))  # first, so that masking moves half the bytes
        x = cast if mask is None else zero_padding(cast, mask, inplace=cast is not x)
        finals, states = [], []
        for depth, layer in enumerate(self.layers):
            starts = None if state is None else state[depth * self.directions : (depth + 1) * self.directions]
            y, ends = scan_layer(layer, self._dropped(x, depth), lengths, starts)  # (B, T, D * O)
            x = self._skipped(x, y, depth)
            finals.append(torch.cat([end[0] for end in ends], dim=-1))  # (B, D * O)
            states += ends
        x = x if mask is None else zero_padding(x, mask, inplace=True)
        return BackboneOutput(x, torch.stack(finals), tuple(states))

    def step(self, x: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """One time step of a backbone with one direction, for decoding and streams: it applies no dropout.

        Args:
            x: `(B, I)`.
            state: as returned by `initial_state`, by the last step, or in `BackboneOutput.state`.

        Returns:
            The output `(B, O)` and the next state.

        Raises:
            ValueError: two directions, another shape, or a state of another number of layers or rows.
        """
        if self.directions == 2:
            raise ZooError("a bidirectional backbone reads the whole sequence at once: step needs bidirectional=False")
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ZooError(f"expected x of shape (B, {self.input_size}), got {tuple(x.shape)}")
        check_states(self.cells, state, len(x))
        states = []
        for depth, (layer, start) in enumerate(zip(self.layers, state, strict=True)):
            y, end = layer[0].step(x, start)
            x = self._skipped(x, y, depth)
            states.append(end)
        return x, tuple(states)

    def _dropped(self, x: Tensor, depth: int) -> Tensor:
        return self.dropout(x) if depth else self.input_dropout(x)

    def _skipped(self, x: Tensor, y: Tensor, depth: int) -> Tensor:
        return self.skips[depth - 1](x, y) if depth else y
