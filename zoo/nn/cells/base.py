"""The protocol that all cells fulfil, and the base of those whose gates are linear in input and hidden state.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units, O outputs (H, but for a projected cell),
G = number of gates * H.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from zoo.masks import padding_mask, zero_padding
from zoo.nn.cells.checks import check_batch, check_states
from zoo.nn.cells.kernels import Kernel, State, scan_layer
from zoo.nn.cells.kernels.steps import Steps
from zoo.nn.cells.options import RecurrentOptions
from zoo.nn.cells.precision import exact
from zoo.nn.cells.stacked import StackedParameters, stacked_linear


class RecurrentCell(Protocol):
    """One recurrent layer in one direction, an `nn.Module`: what backbone, decoders and kernels ask of it.

    Attributes:
        kernels: how it can go through a batch, in the order in which `kernel="auto"` tries them; the last suits all.
        supported_options: the names of the `RecurrentOptions` that it supports.
        free_states: how many leading tensors of the state zoneout and a decoder's first state may overwrite.
        input_size: I.
        hidden_size: H.
        output_size: O.
        options: see `RecurrentOptions`.
        training: whether it is in training mode.
        weight_ih: `(G, I)`, from the input to the gates.
    """

    kernels: ClassVar[tuple[Kernel, ...]]
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
    """A whole padded batch through one cell.

    Args:
        cell: of any kind.
        x: `(B, T, I)`; whatever stands at padding is never read.
        lengths: `(B,)`.
        state: where each row starts.

    Returns:
        The outputs `(B, T, O)`, undefined at padding, and the state after each row's own last step.

    Raises:
        ZooError: other shapes, or another type than the weights' (without autocast).
    """
    check_batch(x, lengths, cell.weight_ih)
    check_states([cell], [state], x.shape[0])
    x = zero_padding(x, padding_mask(lengths, x.shape[1]))
    outputs, (end,) = scan_layer([cell], x, lengths, [state])
    return outputs, end


class Cell(nn.Module):
    """A cell whose gates are linear: `weight_ih @ x + bias_ih` and `weight_hh @ h`.

    A subclass gives its number of gates and `update`; the rest is here. The state is a tuple that begins with the
    hidden state. At first, gate by gate, `weight_ih` is uniform (Glorot & Bengio 2010) and `weight_hh` orthogonal (Saxe
    et al. 2014).

    The arithmetic is written for D cells at once, as the two directions of a layer are computed together: its tensors
    and the parameters given to it (`own`, by name) have D in front.

    Args:
        input_size: I.
        hidden_size: H.
        options: see `RecurrentOptions`.
        output_size: O, where it is not H.
    """

    num_gates: ClassVar[int]
    num_states: ClassVar[int] = 1
    free_states: ClassVar[int] = 1
    kernels: ClassVar[tuple[Kernel, ...]] = (Steps(),)
    supported_options: ClassVar[frozenset[str]] = frozenset({"hidden_dropout", "weight_drop", "zoneout"})

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions, output_size: int | None = None):
        super().__init__()
        self.input_size, self.hidden_size, self.options = input_size, hidden_size, options
        self.output_size = output_size or hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.num_gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.num_gates * hidden_size, self.output_size))
        self.bias_ih = nn.Parameter(torch.zeros(self.num_gates * hidden_size))
        for gate in self.weight_ih.data.chunk(self.num_gates):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.data.chunk(self.num_gates):
            nn.init.orthogonal_(gate)

    def initial_state(self, rows: int) -> State:
        """The state before the first step: zeros, `(B, O)` for the hidden state and `(B, H)` for the others."""
        new = self.weight_hh.new_zeros
        return (new(rows, self.output_size), *(new(rows, self.hidden_size) for _ in range(self.num_states - 1)))

    def recurrent_bias(self, own: StackedParameters) -> Tensor:
        """What is added to `weight_hh @ h`: `(D, G)`."""
        return torch.zeros_like(own.bias_ih)

    def project(self, x: Tensor, own: StackedParameters) -> Tensor:
        """What the input says to the gates: `(D, ..., I)` -> `(D, ..., G)`."""
        return stacked_linear(x, own.weight_ih, own.bias_ih)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: StackedParameters) -> State:
        """The next state, `(D, B, *)`, from what the input and the hidden state say to the gates, `(D, B, G)` each.

        The former is in fp32 at least, and so is all that is added to it: in half precision a gate that is nearly
        open, or a state that changes a little at each step, would be lost in roundings.
        """
        raise NotImplementedError

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: `(B, I)` and a state -> output `(B, O)` and the next state. It applies no dropout."""
        own, dtype = StackedParameters([self]), self.weight_hh.dtype  # a state may be more exact than half precision
        recurrent = stacked_linear(state[0][None].to(dtype), own.weight_hh, self.recurrent_bias(own))
        inputs = exact(self.project(x[None].to(dtype), own))  # (1, B, G)
        after = self.update(inputs, recurrent, tuple(part[None] for part in state), own)
        state = tuple(part[0] for part in after)
        return state[0].to(dtype), state

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A whole padded batch; see `scan_cell`."""
        return scan_cell(self, x, lengths, state)

    def zone_out(self, new: State, old: State) -> State:
        """The next state, but some units keep the old one in training where `zoneout` asks for it."""
        p = self.options.zoneout
        if not (self.training and p):
            return new
        free = zip(new[: self.free_states], old, strict=False)
        changed = [torch.where(torch.rand_like(before) < p, before, after) for after, before in free]
        return (*changed, *new[self.free_states :])

    def extra_repr(self) -> str:
        return describe_cell(self)


def describe_cell(cell: RecurrentCell) -> str:
    """The sizes and options of a cell, for `print(model)`."""
    changed = [f"{name}={getattr(cell.options, name)!r}" for name in sorted(cell.options.changed())]
    output = [f"output_size={cell.output_size}"] if cell.output_size != cell.hidden_size else []
    return ", ".join([f"{cell.input_size}, {cell.hidden_size}", *output, *changed])
