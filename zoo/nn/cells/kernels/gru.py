"""The kernel of the GRU with a hand-written forward and backward pass, for CPUs.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.autograd import GRUScan, gru_scan
from zoo.masks import is_traced, known_complete, padding_mask
from zoo.nn.cells.kernels.base import SATURATION, Kernel, State, first_states
from zoo.nn.cells.precision import autocast_dtype
from zoo.nn.dropout import dropout

if TYPE_CHECKING:
    from zoo.nn.cells.classic import GRU


class GRUByHand(Kernel["GRU"]):
    """`zoo.autograd.gru`: torch has no fused GRU for CPUs. It cannot be traced."""

    name = "by_hand"

    def suits(self, cell: GRU, lengths: Tensor | None, steps: int) -> bool:
        return not is_traced() and cell.weight_ih.device.type == "cpu"

    def run(
        self, cells: Sequence[GRU], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        H = cells[0].hidden_size
        # The recurrent bias of r and z is added to the inputs, once for all steps. That of n is multiplied by r first.
        biases = [cell.bias_ih + F.pad(cell.bias_hh[: 2 * H], (0, H)) for cell in cells]  # (3H,) each
        bias_n = torch.stack([cell.bias_hh[2 * H :] for cell in cells])  # (D, H)
        weight_hh = torch.stack([cell.weight_hh for cell in cells])  # (D, 3H, H)
        weight_hh = dropout(weight_hh, cells[0].options.weight_drop, cells[0].training)
        weights_ih: list[Tensor] = [cell.weight_ih for cell in cells]  # (3H, I) each
        start = torch.stack([h for (h,) in first_states(cells, x.shape[0], states)])  # (D, B, H)
        x = x.to(autocast_dtype(x))
        closing = None
        if not known_complete(lengths, x.shape[1]):
            closing = (~padding_mask(lengths, x.shape[1]))[..., None] * SATURATION  # (B, T, 1)
        if torch.is_grad_enabled():
            weight_ih = torch.stack(weights_ih)  # (D, 3H, I)
            bias = torch.stack(biases)  # (D, 3H)
            outputs, ends, *_ = GRUScan.apply(x, closing, weight_ih, bias, weight_hh, bias_n, start)
        else:
            outputs, ends, _ = gru_scan(x, closing, weights_ih, biases, weight_hh, bias_n, start)
        return outputs, [(end,) for end in ends]
