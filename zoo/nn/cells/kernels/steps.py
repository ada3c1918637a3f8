"""A loop over time steps, for all cells whose gates are linear in the input and in the hidden state.

Shapes: D directions, B rows, T time steps, I inputs, O outputs, G gates times hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.autograd import HiddenStates, LoopInput, LoopOutput
from zoo.masks import is_traced
from zoo.nn.cells.kernels.base import (
    Kernel,
    State,
    final_state,
    first_states,
    join_directions,
    split_directions,
    stack_states,
)
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.cells.stacked import StackedParameters
from zoo.nn.dropout import dropout, dropout_mask

if TYPE_CHECKING:
    from zoo.nn.cells.base import Cell


class Steps(Kernel["Cell"]):
    """Step by step. All D cells share one product and one update, which halves the operations of two directions."""

    name = "steps"
    supports_step_regularisers = True

    def run(
        self, cells: Sequence[Cell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        cell = cells[0]
        options = cell.options
        parameters = StackedParameters(cells)
        states = first_states(cells, x.shape[0], states)
        directions = split_directions(x, lengths, len(cells))  # (B, T, I) each
        x = torch.stack([direction.transpose(0, 1) for direction in directions])  # (D, T, B, I)
        inputs = cell.project(x, parameters)  # (D, T, B, G)
        # The type of the products.
        dtype = inputs.dtype
        weight = dropout(parameters["weight_hh"], options.weight_drop, cell.training).to(dtype)  # (D, G, O)
        transposed = weight.transpose(1, 2)  # (D, O, G)
        bias = cell.recurrent_bias(parameters).to(dtype)[:, None, None].expand_as(inputs)  # (D, T, B, G)
        inputs = at_least_fp32(inputs)
        # A tracer cannot follow what one backward pass hands to another.
        by_hand = not is_traced()
        hidden = HiddenStates()
        if by_hand:
            bias = LoopInput.apply(bias, weight, hidden)
            transposed = transposed.detach()
        start: State = tuple(stack_states(states))  # (D, B, *) each
        keep = None
        if cell.training and options.hidden_dropout:
            keep = dropout_mask(start[0], start[0].shape, options.hidden_dropout)  # (D, B, O)
        state = start
        trace = []
        for inputs_now, bias_now in zip(inputs.unbind(1), bias.unbind(1), strict=True):
            h = (state[0] if keep is None else state[0] * keep).to(dtype)
            recurrent = torch.baddbmm(bias_now, h, transposed)  # (D, B, G)
            state = cell.zone_out(cell.update(inputs_now, recurrent, state, parameters), state)
            trace.append(state)
        parts = [torch.stack(part, dim=2) for part in zip(*trace, strict=True)]  # (D, B, T, *) each
        if by_hand:
            parts = LoopOutput.apply(hidden, start[0], keep, *parts)
        outputs = parts[0].to(dtype)  # (D, B, T, O)
        ends = [final_state([part[d] for part in parts], lengths, begin) for d, begin in enumerate(states)]
        return join_directions(list(zip(outputs, ends, strict=True)), lengths)
