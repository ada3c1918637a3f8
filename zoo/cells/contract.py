"""The contract of a recurrent cell, and the scan that any cell can use.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units, O outputs (H, but for a projected cell),
G = gates * H.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.cells.checks import check_batch, check_states
from zoo.cells.options import RecurrentOptions
from zoo.cells.precision import exact, in_half_precision
from zoo.dropout import dropout, dropout_mask
from zoo.errors import ZooError
from zoo.masks import is_traced, last, padding_mask, reverse, zero_padding

State = tuple[Tensor, ...]
# Saturates a sigmoid to exactly 0 or 1 in fp32, bf16 and fp16, and overflows in none of them.
SATURATION = 1e4
# The share of real steps below which inference takes less time packed than by hand over the padding too.
FULL = 0.75


class Parameters:
    """The parameters of D cells of one kind, by name as attributes, D in front."""

    def __init__(self, cells: Sequence[nn.Module]):
        self._cells = cells

    def __getattr__(self, name: str) -> Tensor:
        # Asked of the cells by name: a weight that is normalised, pruned or replicated is no parameter of theirs.
        parts = [getattr(cell, name) for cell in self._cells]
        stacked = torch.stack(parts) if len(parts) > 1 else parts[0][None]
        setattr(self, name, stacked)
        return stacked


class Cell(nn.Module):
    """One recurrent layer in one direction.

    A subclass gives its number of gates and `update`; the rest is here. Gates are linear in the input and in the hidden
    state, `weight_ih @ x + bias_ih` and `weight_hh @ h`; the state is a tuple that begins with the hidden state. At
    first, gate by gate, the former is uniform (Glorot & Bengio 2010) and the latter orthogonal (Saxe et al. 2014).

    The arithmetic is written for D cells at once, as the two directions of a layer are computed together: its tensors
    and the parameters given to it (`own`, by name) have D in front.

    Args:
        input_size: I.
        hidden_size: H.
        options: see `RecurrentOptions`.
        output_size: O, where it is not H.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1  # tensors in the state
    free: ClassVar[int] = 1  # of these, the leading ones that may have any value (zoneout keeps, a bridge sets them)
    kernels: ClassVar[tuple[str, ...]] = ("steps",)
    fastest: ClassVar[Mapping[str, str]] = {}  # by device, where it is not the first kernel
    honours: ClassVar[frozenset[str]] = frozenset({"hidden_dropout", "weight_drop", "zoneout"})

    def __init__(self, input_size: int, hidden_size: int, options: RecurrentOptions, output_size: int | None = None):
        super().__init__()
        self.input_size, self.hidden_size, self.options = input_size, hidden_size, options
        self.output_size = output_size or hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * hidden_size, self.output_size))
        self.bias_ih = nn.Parameter(torch.zeros(self.gates * hidden_size))
        for gate in self.weight_ih.data.chunk(self.gates):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.data.chunk(self.gates):
            nn.init.orthogonal_(gate)

    def initial_state(self, rows: int) -> State:
        """The state before the first step: zeros, `(B, O)` for the hidden state and `(B, H)` for the others."""
        new = self.weight_hh.new_zeros
        return (new(rows, self.output_size), *(new(rows, self.hidden_size) for _ in range(self.states - 1)))

    def recurrent_bias(self, own: Parameters) -> Tensor:
        """What is added to `weight_hh @ h`: `(D, G)`."""
        return torch.zeros_like(own.bias_ih)

    def project(self, x: Tensor, own: Parameters) -> Tensor:
        """What the input says to the gates: `(D, ..., I)` -> `(D, ..., G)`."""
        return linear(x, own.weight_ih, own.bias_ih)

    def update(self, inputs: Tensor, recurrent: Tensor, state: State, own: Parameters) -> State:
        """The next state, `(D, B, *)`, from what the input and the hidden state say to the gates, `(D, B, G)` each.

        The former is in fp32 at least, and so is all that is added to it: in half precision a gate that is nearly
        open, or a state that changes a little at each step, would be lost in roundings.
        """
        raise NotImplementedError

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: `(B, I)` and a state -> output `(B, O)` and the next state. It applies no dropout."""
        own, dtype = Parameters([self]), self.weight_hh.dtype  # a state may be more exact than half precision
        recurrent = linear(state[0][None].to(dtype), own.weight_hh, self.recurrent_bias(own))
        inputs = exact(self.project(x[None].to(dtype), own))  # (1, B, G)
        after = self.update(inputs, recurrent, tuple(part[None] for part in state), own)
        state = tuple(part[0] for part in after)
        return state[0].to(dtype), state

    def scan(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A whole padded batch.

        Args:
            x: `(B, T, I)`; whatever stands at padding is never read.
            lengths: `(B,)`.
            state: where each row starts.

        Returns:
            The outputs `(B, T, O)`, undefined at padding, and the state after each row's own last step.

        Raises:
            ValueError: other shapes, or another type than the weights' (without autocast).
        """
        check_batch(x, lengths, self.weight_ih)
        check_states([self], [state], x.shape[0])
        x = zero_padding(x, padding_mask(lengths, x.shape[1]))
        outputs, (end,) = self.scan_together([self], x, lengths, [state])
        return outputs, end

    @staticmethod
    def scan_together(
        cells: Sequence[Cell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        """`scan` of a layer's D cells: the first reads each row from its start, the second from its end.

        Args:
            cells: of one kind.
            x: as in `scan`, but zeros at padding.
            lengths: as in `scan`.
            states: where each direction starts; None for the initial state.

        Returns:
            The outputs `(B, T, D * O)`, undefined at padding, and the state in which each direction ends.
        """
        states = starts(cells, x.shape[0], states)
        xs, kernel = each_way(x, lengths, len(cells)), cells[0].kernel
        if kernel == "steps":
            return joined(_scan_steps(cells, xs, lengths, states), lengths)
        scans = [getattr(cell, f"_{kernel}")(read, lengths, s) for cell, read, s in zip(cells, xs, states, strict=True)]
        return joined(scans, lengths)

    @property
    def kernel(self) -> str:
        """How `scan` will go through a batch."""
        return chosen_kernel(self)

    def zone_out(self, new: State, old: State) -> State:
        """The next state, but some units keep the old one in training where `zoneout` asks for it."""
        p = self.options.zoneout
        if not (self.training and p):
            return new
        changed = [torch.where(torch.rand_like(o) < p, o, n) for n, o in zip(new[: self.free], old, strict=False)]
        return (*changed, *new[self.free :])


def chosen_kernel(cell: nn.Module, lengths: Tensor | None = None, steps: int = 0) -> str:
    """How a cell goes through a batch: as asked for, or what measured fastest on a CPU (benchmarks/RESULTS.md).

    On a GPU nothing was measured: there it is what launches the fewest operations.

    Args:
        cell: of any kind.
        lengths: `(B,)` of the batch, where the choice may depend on them.
        steps: its T.
    """
    options = cell.options
    if cell.training and options.between_steps:
        return "steps"
    if options.kernel != "auto":
        return options.kernel
    if is_traced():  # what is written by hand is not for a compiler
        return cell.kernels[0]
    kernel = cell.fastest.get(cell.weight_ih.device.type, cell.kernels[0])
    if kernel == "by_hand" and lengths is not None and not torch.is_grad_enabled():
        # In half precision torch's kernel keeps the state in it, so that a row would depend on its company.
        ragged = int(lengths.sum()) < FULL * len(lengths) * steps
        return "packed" if ragged and not in_half_precision(cell.weight_ih) else kernel
    return kernel


def starts(cells: Sequence[nn.Module], rows: int, given: Sequence[State] | None) -> Sequence[State]:
    """The state of each cell before the first step: the one given, or its initial one."""
    return [cell.initial_state(rows) for cell in cells] if given is None else given


def each_way(x: Tensor, lengths: Tensor, directions: int) -> list[Tensor]:
    """What the cell of each direction reads: `x (B, T, I)`, and for the second its rows reversed."""
    return [x] if directions == 1 else [x, reverse(x, lengths)]


def joined(scans: Sequence[tuple[Tensor, State]], lengths: Tensor) -> tuple[Tensor, list[State]]:
    """The outputs of all directions side by side, in the order of time, `(B, T, D * O)`, and their states."""
    (outputs, *backward), ends = zip(*scans, strict=True)
    if backward:
        outputs = torch.cat([outputs, reverse(backward[0], lengths)], dim=-1)
    return outputs, list(ends)


def _scan_steps(cells: Sequence[Cell], xs: Sequence[Tensor], lengths: Tensor, states: Sequence[State]):
    # Step by step, all D cells in one product and one update: half the operations where there are two directions.
    cell, options = cells[0], cells[0].options
    own, traced = Parameters(cells), is_traced()
    x = torch.stack([x.transpose(0, 1) for x in xs])  # (D, T, B, I)
    inputs = cell.project(x, own)  # (D, T, B, G)
    dtype = inputs.dtype  # of the products
    weight = dropout(own.weight_hh, options.weight_drop, cell.training).to(dtype)  # (D, G, O)
    bias = cell.recurrent_bias(own).to(dtype)[:, None, None].expand_as(inputs)
    inputs, transposed = exact(inputs), weight.transpose(1, 2)  # (D, O, G)
    hidden: list[Tensor] = []
    if not traced:  # a tracer could not follow a list that is filled later
        bias = _DeferredGradient.apply(bias, weight, hidden)  # (D, T, B, G); the weight's gradient comes from here
        transposed = transposed.detach()
    start = state = tuple(torch.stack(part) for part in zip(*states, strict=True))  # (D, B, *)
    drops = cell.training and options.hidden_dropout
    keep = dropout_mask(state[0], state[0].shape, options.hidden_dropout) if drops else None  # (D, B, O)
    trace = []
    for inputs_now, bias_now in zip(inputs.unbind(1), bias.unbind(1), strict=True):
        h = (state[0] if keep is None else state[0] * keep).to(dtype)
        recurrent = torch.baddbmm(bias_now, h, transposed)  # (D, B, G)
        state = cell.zone_out(cell.update(inputs_now, recurrent, state, own), state)
        trace.append(state)
    parts = [torch.stack(part, dim=2) for part in zip(*trace, strict=True)]  # each (D, B, T, *)
    if not traced:
        parts = _Unrolled.apply(hidden, start[0], keep, *parts)
    outputs = parts[0].to(dtype)
    return [(outputs[d], final_state([part[d] for part in parts], lengths, begin)) for d, begin in enumerate(states)]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """D linear layers at once: `(D, ..., I)`, `(D, G, I)` and `(D, G)` -> `(D, ..., G)`."""
    return torch.baddbmm(bias[:, None], x.flatten(1, -2), weight.transpose(1, 2)).unflatten(1, x.shape[1:-1])


class _DeferredGradient(torch.autograd.Function):
    """The identity, whose backward gives the recurrent weight its gradient: once, in one product over all steps.

    Left to autograd, every step of the loop would add its own (G, O) matrix to the gradient.
    """

    @staticmethod
    def forward(ctx, recurrent: Tensor, weight: Tensor, hidden: list[Tensor]) -> Tensor:
        ctx.hidden = hidden  # what was multiplied at each step; `_Unrolled`, whose backward comes first, puts it there
        return recurrent.view_as(recurrent)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden = ctx.hidden.pop().to(grad.dtype)  # (D, T, B, O)
        if not ctx.needs_input_grad[1]:
            return grad, None, None
        return grad, grad.flatten(1, 2).transpose(1, 2) @ hidden.flatten(1, 2), None


class _Unrolled(torch.autograd.Function):
    """The identity on all states of a loop, which keeps the hidden ones for `_DeferredGradient` as long as the graph.

    A second derivative is refused: `_DeferredGradient` would leave a part of it out.
    """

    @staticmethod
    def forward(ctx, hidden: list[Tensor], start: Tensor, keep: Tensor | None, *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.hidden = hidden
        ctx.save_for_backward(start, keep, parts[0])
        return tuple(part.view_as(part) for part in parts)

    @staticmethod
    def backward(ctx, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # it is where the caller says create_graph=True, and nowhere else
            raise ZooError("second derivatives do not go through a loop over steps: leave create_graph=True out")
        start, keep, after = ctx.saved_tensors
        before = torch.cat([start[:, None], after.transpose(1, 2)[:, :-1]], dim=1)  # (D, T, B, O)
        ctx.hidden[:] = [before if keep is None else before * keep[:, None]]
        return None, None, None, *grads


def final_state(parts: Sequence[Tensor], lengths: Tensor, start: State) -> State:
    """Each row's state after its own last step, from those at all steps `(B, T, *)`; a row of none keeps `start`."""
    ended = lengths[:, None] > 0
    return tuple(torch.where(ended, last(part, lengths), begin) for part, begin in zip(parts, start, strict=True))
