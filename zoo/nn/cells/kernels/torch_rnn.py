"""torch's own kernels, for the cells that it has: over the padded batch, or over a packed one.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.errors import ZooError
from zoo.masks import is_traced, known_complete, padding_mask
from zoo.nn.cells.kernels.base import (
    SATURATION,
    Kernel,
    State,
    each_way,
    final_state,
    joined,
    stacked,
    starts,
)
from zoo.nn.cells.precision import in_half_precision
from zoo.nn.dropout import dropout

if TYPE_CHECKING:
    from zoo.nn.cells.classic import TorchCell

# Below this fraction of unpadded steps, inference of a GRU is faster on a packed batch.
FULL = 0.75


class Fused(Kernel):
    """The padded batch, one direction after the other."""

    name = "fused"

    def run(
        self, cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        scans = []
        for cell, read, state in zip(
            cells, each_way(x, lengths, len(cells)), starts(cells, x.shape[0], states), strict=True
        ):
            outputs, _ = _run([cell], [cell.weight_ih], read, [part[None] for part in state])
            scans.append((outputs, final_state([outputs], lengths, state)))
        return joined(scans, lengths)


class FusedLSTM(Fused):
    """The padded batch, both directions at once wherever that is possible."""

    def run(
        self, cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        begin = starts(cells, x.shape[0], states)
        if known_complete(lengths, x.shape[1]):
            outputs, ends = _run(cells, [cell.weight_ih for cell in cells], x, stacked(begin))
            return outputs, list(zip(*ends, strict=True))
        if states is None or len(cells) == 1:
            return _run_frozen(cells, x, lengths, begin)
        scans = []
        for cell, read, state in zip(cells, each_way(x, lengths, len(cells)), begin, strict=True):
            outputs, (end,) = _run_frozen([cell], read, lengths, [state])
            scans.append((outputs, end))
        return joined(scans, lengths)


class Packed(Kernel):
    """The same without the padding: `torch.nn.utils.rnn.pack_padded_sequence`."""

    name = "packed"

    def suits(self, cell: TorchCell, lengths: Tensor | None, steps: int) -> bool:
        return inference_is_faster_packed(cell, lengths, steps)

    def run(
        self, cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        begin = stacked(starts(cells, x.shape[0], states))
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        ordered = [part[:, packed.sorted_indices] for part in begin]
        try:
            data, ends = _run(cells, [cell.weight_ih for cell in cells], packed.data, ordered, packed.batch_sizes)
        except RuntimeError as error:
            if "data pointer" in str(error):
                raise ZooError("torch's packed kernels do not go through torch.func: leave kernel out") from error
            raise
        outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])
        ended, rows = lengths[:, None] > 0, packed.unsorted_indices
        ends = [torch.where(ended, end[:, rows], part) for end, part in zip(ends, begin, strict=True)]
        return outputs, list(zip(*(end.unbind(0) for end in ends), strict=True))


def inference_is_faster_packed(cell: TorchCell, lengths: Tensor | None, steps: int) -> bool:
    """Whether a batch of `lengths (B,)` and T `steps` has so much padding that packing it pays, on a CPU.

    Never in half precision: there torch's kernel keeps the state in it, and a row would depend on its company.
    """
    if lengths is None or torch.is_grad_enabled() or is_traced() or cell.weight_ih.device.type != "cpu":
        return False
    ragged = int(lengths.sum()) < FULL * len(lengths) * steps
    return ragged and not in_half_precision(cell.weight_ih)


def _run(
    cells: Sequence[TorchCell],
    weights_ih: Sequence[Tensor],
    x: Tensor,
    start: Sequence[Tensor],
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    # torch's own kernel for one or two directions, from parts of the state to parts of the state (D, B, H).
    cell, options = cells[0], cells[0].options
    weights = []
    for one, weight_ih in zip(cells, weights_ih, strict=True):
        weights += [weight_ih, dropout(one.weight_hh, options.weight_drop, one.training), one.bias_ih, one.bias_hh]
    hx = tuple(part.to(x.dtype) for part in start)
    hx = hx if len(hx) > 1 else hx[0]
    settings = (weights, True, 1, 0.0, cell.training, len(cells) == 2)  # one layer, with biases, no dropout
    if batch_sizes is None:
        outputs, *ends = cell.function(x, hx, *settings, True)  # rows first
    else:
        outputs, *ends = cell.function(x, batch_sizes, hx, *settings)
    return outputs, [end.to(part.dtype) for end, part in zip(ends, start, strict=True)]


def _run_frozen(
    cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State]
) -> tuple[Tensor, list[State]]:
    # One more input is 1 at padding, closes the input gate and opens the forget gate: the cell state passes unchanged.
    # That gives the last cell states, which are not among the outputs, and lets the second direction begin in the
    # padding, with no row reversed; but only from zeros, as nothing keeps a hidden state.
    padding = ~padding_mask(lengths, x.shape[1])[..., None]  # (B, T, 1)
    closed = x.new_full((cells[0].hidden_size, 1), -SATURATION)  # no copy from the host: it would wait
    freeze = torch.cat([closed, -closed, 0 * closed, 0 * closed])  # (4H, 1)
    weights = [torch.cat([cell.weight_ih.to(x.dtype), freeze], dim=1) for cell in cells]  # (4H, I + 1) each
    outputs, (h, c) = _run(cells, weights, torch.cat([x, padding.to(x.dtype)], dim=-1), stacked(states))
    (forward_end,) = final_state([outputs[..., : cells[0].hidden_size]], lengths, states[0][:1])
    return outputs, list(zip((forward_end, *h[1:]), c, strict=True))
