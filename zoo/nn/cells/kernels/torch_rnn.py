"""torch's own kernels, for the cells that it has: over the padded batch, or over a packed one.

Shapes: D directions, B rows, T time steps, I inputs, H hidden units.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.errors import ZooError
from zoo.masks import known_complete, padding_mask
from zoo.nn.cells.kernels.base import (
    SATURATION,
    Kernel,
    State,
    final_state,
    first_states,
    join_directions,
    split_directions,
    stack_states,
)
from zoo.nn.cells.kernels.speeds import packing_pays_off
from zoo.nn.cells.precision import autocast_dtype
from zoo.nn.dropout import dropout

if TYPE_CHECKING:
    from zoo.nn.cells.classic import TorchCell

# Our weights are parameters of their own, as dropout and pruning need them. cuDNN copies them into one block at each
# call, which takes microseconds, and torch warns of it.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single", module=__name__)


class Fused(Kernel["TorchCell"]):
    """The padded batch, one direction after the other."""

    name = "fused"

    def run(
        self, cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        inputs = split_directions(x, lengths, len(cells))
        starts = first_states(cells, x.shape[0], states)
        scans = []
        for cell, cell_input, start in zip(cells, inputs, starts, strict=True):
            outputs, _ = _run([cell], [cell.weight_ih], cell_input, [part[None] for part in start])
            scans.append((outputs, final_state([outputs], lengths, start)))
        return join_directions(scans, lengths)


class FusedLSTM(Fused):
    """The padded batch, both directions at once wherever that is possible."""

    def run(
        self, cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        starts = first_states(cells, x.shape[0], states)
        if known_complete(lengths, x.shape[1]):
            outputs, ends = _run(cells, [cell.weight_ih for cell in cells], x, stack_states(starts))
            return outputs, list(zip(*ends, strict=True))
        if states is None or len(cells) == 1:
            return _run_frozen(cells, x, lengths, starts)
        inputs = split_directions(x, lengths, len(cells))
        scans = []
        for cell, cell_input, start in zip(cells, inputs, starts, strict=True):
            outputs, (end,) = _run_frozen([cell], cell_input, lengths, [start])
            scans.append((outputs, end))
        return join_directions(scans, lengths)


class Packed(Kernel["TorchCell"]):
    """The batch without its padding: `torch.nn.utils.rnn.pack_padded_sequence`.

    Args:
        kind: the name of the cell among the measured speeds (`zoo.nn.cells.kernels.speeds`).
    """

    name = "packed"

    def __init__(self, kind: str):
        self.kind = kind

    def suits(self, cell: TorchCell, lengths: Tensor | None, steps: int) -> bool:
        return lengths is not None and packing_pays_off(self.kind, cell, lengths, steps)

    def run(
        self, cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State] | None
    ) -> tuple[Tensor, list[State]]:
        start = stack_states(first_states(cells, x.shape[0], states))  # (D, B, H) each
        # Rows of length 0 cannot be packed: they are read for one step, and their state is put back below.
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        sorted_start = [part[:, packed.sorted_indices] for part in start]
        try:
            data, ends = _run(
                cells, [cell.weight_ih for cell in cells], packed.data, sorted_start, batch_sizes=packed.batch_sizes
            )
        except RuntimeError as error:
            if "data pointer" in str(error):
                raise ZooError("torch's packed kernels do not go through torch.func: leave kernel out") from error
            raise
        outputs, _ = pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])
        has_steps = lengths[:, None] > 0  # (B, 1)
        rows = packed.unsorted_indices
        ends = [torch.where(has_steps, end[:, rows], part) for end, part in zip(ends, start, strict=True)]
        return outputs, list(zip(*(end.unbind(0) for end in ends), strict=True))


def _run(
    cells: Sequence[TorchCell],
    weights_ih: Sequence[Tensor],
    x: Tensor,
    start: Sequence[Tensor],
    *,
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Calls torch's own kernel for one or two directions, with other input weights where `weights_ih` has them.

    Args:
        cells: D of them.
        weights_ih: `(G, I)` each.
        x: `(B, T, I)`, or the data of a packed batch.
        start: tensors `(D, B, H)`.
        batch_sizes: of a packed batch; None for a padded one.

    Returns:
        The outputs, and the last states, tensors `(D, B, H)`.
    """
    cell = cells[0]
    weights = []
    for one, weight_ih in zip(cells, weights_ih, strict=True):
        weight_hh = dropout(one.weight_hh, cell.options.weight_drop, one.training)
        weights += [weight_ih, weight_hh, one.bias_ih, one.bias_hh]
    training = cell.training
    on_cpu = x.device.type == "cpu"
    if not on_cpu:
        # On a GPU, autocast refuses weights of several types, and computes in fp16 where bf16 is asked for.
        x, weights = in_one_type(x, weights)
        # cuDNN keeps what a backward pass needs in training only, but gradients may be asked for in evaluation too.
        training = training or torch.is_grad_enabled()
    hx = tuple(part.to(x.dtype) for part in start)
    state = hx if len(hx) > 1 else hx[0]
    # Of torch's function: with biases, one layer, no dropout between layers, training or not, bidirectional or not.
    settings = (weights, True, 1, 0.0, training, len(cells) == 2)
    with nullcontext() if on_cpu else torch.autocast(x.device.type, enabled=False):
        if batch_sizes is None:
            batch_first = True
            outputs, *ends = cell.function(x, state, *settings, batch_first)
        else:
            outputs, *ends = cell.function(x, batch_sizes, state, *settings)
    return outputs, [end.to(part.dtype) for end, part in zip(ends, start, strict=True)]


def in_one_type(x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The input and the weights, all in the type in which autocast multiplies the input."""
    dtype = autocast_dtype(x)
    return x.to(dtype), [weight.to(dtype) for weight in weights]


def _run_frozen(
    cells: Sequence[TorchCell], x: Tensor, lengths: Tensor, states: Sequence[State]
) -> tuple[Tensor, list[State]]:
    """Runs LSTM cells that keep their cell state at padding.

    An additional input is 1 at padding, which closes the input gate and opens the forget gate. So the last cell state,
    which is not among the outputs, is right, and the second direction can start in the padding, with no row reversed.
    It must start from zeros, because nothing keeps a hidden state.
    """
    H = cells[0].hidden_size
    padding = ~padding_mask(lengths, x.shape[1])[..., None]  # (B, T, 1)
    # Made on the device: a copy from the host would make the host wait.
    closed = x.new_full((H, 1), -SATURATION)
    freeze = torch.cat([closed, -closed, 0 * closed, 0 * closed])  # (4H, 1)
    weights = [torch.cat([cell.weight_ih.to(x.dtype), freeze], dim=1) for cell in cells]  # (4H, I + 1) each
    inputs = torch.cat([x, padding.to(x.dtype)], dim=-1)  # (B, T, I + 1)
    outputs, (h, c) = _run(cells, weights, inputs, stack_states(states))
    (forward_end,) = final_state([outputs[..., :H]], lengths, states[0][:1])
    return outputs, list(zip((forward_end, *h[1:]), c, strict=True))
