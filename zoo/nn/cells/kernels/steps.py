"""A loop over time steps, for any cell whose gates are linear in the input and in the hidden state.

Shapes: D directions, B rows, T time steps, I inputs, O outputs, G gates times hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.autograd import HiddenStates, LoopInput, LoopOutput
from zoo.masks import is_traced
from zoo.nn.cells.kernels.base import Kernel, State, each_way, final_state, joined, stacked, starts
from zoo.nn.cells.precision import exact
from zoo.nn.cells.stacked import StackedParameters
from zoo.nn.dropout import dropout, dropout_mask

if TYPE_CHECKING:
    from zoo.nn.cells.base import Cell


class Steps(Kernel):
    """Step by step, all D cells in one product and one update: half the operations where there are two directions."""

    name = "steps"
    between_steps = True

    def run(
        self, cells: Sequence[Cell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        cell, options = cells[0], cells[0].options
        own = StackedParameters(cells)
        states = starts(cells, x.shape[0], states)
        x = torch.stack([read.transpose(0, 1) for read in each_way(x, lengths, len(cells))])  # (D, T, B, I)
        inputs = cell.project(x, own)  # (D, T, B, G)
        dtype = inputs.dtype  # of the products
        weight = dropout(own.weight_hh, options.weight_drop, cell.training).to(dtype)  # (D, G, O)
        bias = cell.recurrent_bias(own).to(dtype)[:, None, None].expand_as(inputs)  # (D, T, B, G)
        inputs, transposed = exact(inputs), weight.transpose(1, 2)  # (D, O, G)
        by_hand = not is_traced()  # a tracer cannot follow what one backward pass leaves for another
        hidden = HiddenStates()
        if by_hand:
            bias = LoopInput.apply(bias, weight, hidden)
            transposed = transposed.detach()
        start = state = tuple(stacked(states))  # (D, B, *)
        keep = None
        if cell.training and options.hidden_dropout:
            keep = dropout_mask(state[0], state[0].shape, options.hidden_dropout)  # (D, B, O)
        trace = []
        for inputs_now, bias_now in zip(inputs.unbind(1), bias.unbind(1), strict=True):
            h = (state[0] if keep is None else state[0] * keep).to(dtype)
            recurrent = torch.baddbmm(bias_now, h, transposed)  # (D, B, G)
            state = cell.zone_out(cell.update(inputs_now, recurrent, state, own), state)
            trace.append(state)
        parts = [torch.stack(part, dim=2) for part in zip(*trace, strict=True)]  # (D, B, T, *) each
        if by_hand:
            parts = LoopOutput.apply(hidden, start[0], keep, *parts)
        outputs = parts[0].to(dtype)  # (D, B, T, O)
        ends = [final_state([part[d] for part in parts], lengths, begin) for d, begin in enumerate(states)]
        return joined(list(zip(outputs, ends, strict=True)), lengths)
