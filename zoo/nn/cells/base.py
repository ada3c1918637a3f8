"""The protocol that all cells fulfil, and the base of those whose gates are linear in input and hidden state.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units, O outputs (H, except for a projected cell),
G = number of gates * H.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from zoo.masks import padding_mask, zero_padding
from zoo.nn.cells.checks import check_batch, check_states
from zoo.nn.cells.kernels import Kernels, State, scan_layer
from zoo.nn.cells.kernels.steps import Steps
from zoo.nn.cells.options import RecurrentOptions
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.cells.stacked import StackedParameters, stacked_linear

# The name of pre-activations that are a candidate for the state.
CANDIDATE = "candidate"


class RecurrentCell(Protocol):
    """One recurrent layer in one direction: what backbone, decoders and kernels need of it. It is an `nn.Module` too.

    Attributes:
        kernels: the ways through a batch, in the order in which `kernel="auto"` tries them; the last suits every batch.
        supported_options: the names of the `RecurrentOptions` that it supports.
        free_states: how many leading tensors of the state may have any value; zoneout and a decoder's first state
            overwrite these only.
        input_size: I.
        hidden_size: H.
        output_size: O.
        options: see `RecurrentOptions`.
        training: whether it is in training mode.
        weight_ih: `(G, I)`, from the input to the gates.
    """

    kernels: ClassVar[Kernels]
    supported_options: ClassVar[frozenset[str]]
    free_states: ClassVar[int]
    input_size: int
    hidden_size: int
    output_size: int
    options: RecurrentOptions
    training: bool
    weight_ih: nn.Parameter

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions): ...

    def initial_state(self, rows: int) -> State:
        """The state before the first step: tensors `(B, *)`, the hidden state `(B, O)` first."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: `(B, I)` and a state -> output `(B, O)` and the next state. It applies no dropout."""

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A whole padded batch; see `scan_cell`."""


def scan_cell(cell: RecurrentCell, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
    """Runs one cell over a whole padded batch.

    Args:
        cell: of any kind.
        x: `(B, T, I)`; padding is never read.
        lengths: `(B,)`, time steps.
        state: where each row starts.

    Returns:
        The outputs `(B, T, O)`, undefined at padding, and the state after each row's own last step.

    Raises:
        ZooError: other shapes, or another type than that of the weights (without autocast).
    """
    lengths = check_batch(x, lengths, cell.weight_ih)
    check_states([cell], [state], x.shape[0])
    x = zero_padding(x, padding_mask(lengths, x.shape[1]))
    outputs, (end,) = scan_layer([cell], x, lengths, [state])
    return outputs, end


class Cell(nn.Module):
    """A cell whose gates are linear: `weight_ih @ x + bias_ih` plus `weight_hh @ h`.

    A subclass says how many gates it has, and how they `update` the state. The state is a tuple that begins with the
    hidden state. Each gate of `weight_ih` is initialised uniformly (Glorot & Bengio 2010), each gate of `weight_hh`
    orthogonally (Saxe et al. 2014).

    The arithmetic is written for D cells at once, because both directions of a layer are computed together: tensors
    and parameters have D in front.

    >>> import torch
    >>> from zoo import CELLS, RecurrentOptions
    >>> cell = CELLS["lstm"](4, 8, RecurrentOptions())
    >>> cell
    LSTM(4, 8)
    >>> outputs, (h, c) = cell.scan(torch.randn(2, 5, 4), torch.tensor([5, 3]), cell.initial_state(2))
    >>> outputs.shape, h.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8]))
    >>> output, (h, c) = cell.step(torch.randn(2, 4), (h, c))
    >>> output.shape
    torch.Size([2, 8])

    Args:
        input_size: I.
        hidden_size: H.
        options: see `RecurrentOptions`.
        output_size: O; None for H.
    """

    num_gates: ClassVar[int]
    # The names of the gates, in the order of their pre-activations. A candidate for the state is no gate.
    gate_names: ClassVar[tuple[str, ...]] = ()
    num_states: ClassVar[int] = 1
    free_states: ClassVar[int] = 1
    kernels: ClassVar[Kernels] = (Steps(),)
    supported_options: ClassVar[frozenset[str]] = frozenset({"hidden_dropout", "weight_drop", "zoneout"})

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions, output_size: int | None = None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = output_size or hidden_size
        self.options = options
        self.weight_ih = nn.Parameter(torch.empty(self.num_gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.num_gates * hidden_size, self.output_size))
        self.bias_ih = nn.Parameter(torch.zeros(self.num_gates * hidden_size))
        for gate in self.weight_ih.data.chunk(self.num_gates):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.data.chunk(self.num_gates):
            nn.init.orthogonal_(gate)

    def initial_state(self, rows: int) -> State:
        """The state before the first step: zeros, `(B, O)` for the hidden state and `(B, H)` for the others."""
        hidden = self.weight_hh.new_zeros(rows, self.output_size)
        others = [self.weight_hh.new_zeros(rows, self.hidden_size) for _ in range(self.num_states - 1)]
        return (hidden, *others)

    def recurrent_bias(self, parameters: StackedParameters) -> Tensor:
        """What is added to `weight_hh @ h`: `(D, G)`."""
        return torch.zeros_like(parameters["bias_ih"])

    def project(self, x: Tensor, parameters: StackedParameters) -> Tensor:
        """The gates' pre-activations of the input: `(D, ..., I)` -> `(D, ..., G)`."""
        return stacked_linear(x, parameters["weight_ih"], parameters["bias_ih"])

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters) -> State:
        """The next state.

        Args:
            inputs: `(D, B, G)`, the gates' pre-activations of the input. They are in fp32 at least, so that sums with
                them are too: half precision would round away a small change of the state, or of a nearly open gate.
            recurrent: `(D, B, G)`, the gates' pre-activations of the hidden state.
            state: tensors `(D, B, *)`.
            parameters: of all D cells.

        Returns:
            Tensors `(D, B, *)`.
        """
        raise NotImplementedError

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: `(B, I)` and a state -> output `(B, O)` and the next state. It applies no dropout."""
        after = self.update(*self._stacked(x, state))
        state = tuple(part[0] for part in after)
        return state[0].to(self.weight_hh.dtype), state

    def gates(self, x: Tensor, state: State) -> dict[str, Tensor]:
        """How far each gate is open at one time step, from 0 to 1: the arguments of `step` -> `(B, H)` each, by name.

        It is empty if the cell names no gates.
        """
        return {name: gate[0] for name, gate in self._gates(*self._stacked(x, state)).items()}

    def _gates(
        self, inputs: Tensor, recurrent: Tensor, state: State, parameters: StackedParameters
    ) -> dict[str, Tensor]:
        """The gates that `update` computes from the same arguments: `(D, B, H)` each."""
        if not self.gate_names:
            return {}
        parts = (inputs + recurrent).chunk(self.num_gates, dim=-1)
        named = zip(self.gate_names, parts, strict=True)
        return {name: part.sigmoid() for name, part in named if name != CANDIDATE}

    def _stacked(self, x: Tensor, state: State) -> tuple[Tensor, Tensor, State, StackedParameters]:
        """The arguments of `update` for one time step of this cell alone."""
        parameters = StackedParameters([self])
        # The state may be more precise than the weights.
        dtype = self.weight_hh.dtype
        hidden = state[0][None].to(dtype)  # (1, B, O)
        recurrent = stacked_linear(hidden, parameters["weight_hh"], self.recurrent_bias(parameters))
        inputs = at_least_fp32(self.project(x[None].to(dtype), parameters))  # (1, B, G)
        return inputs, recurrent, tuple(part[None] for part in state), parameters

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A whole padded batch; see `scan_cell`."""
        return scan_cell(self, x, lengths, state)

    def zone_out(self, new: State, old: State) -> State:
        """Zoneout (Krueger et al. 2017): in training, some units of `new` keep their value of `old`."""
        p = self.options.zoneout
        if not (self.training and p):
            return new
        free = zip(new[: self.free_states], old, strict=False)
        mixed = [torch.where(torch.rand_like(before) < p, before, after) for after, before in free]
        return (*mixed, *new[self.free_states :])

    def extra_repr(self) -> str:
        return describe_cell(self)


def describe_cell(cell: RecurrentCell) -> str:
    """The sizes and the changed options of a cell, for `print(model)`."""
    parts = [f"{cell.input_size}, {cell.hidden_size}"]
    if cell.output_size != cell.hidden_size:
        parts.append(f"output_size={cell.output_size}")
    parts += [f"{name}={getattr(cell.options, name)!r}" for name in sorted(cell.options.changed())]
    return ", ".join(parts)
