"""What a cell is given, before it is read: torch's kernels would go on past the end of what is too short."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from zoo.errors import ZooError
from zoo.masks import is_traced
from zoo.nn.cells.precision import autocast_dtype


def check_batch(x: Tensor, lengths: Tensor | None, weight_ih: Tensor) -> None:
    """Raises a ZooError unless `x` is `(B, T, I)`, neither B nor T is 0, and `lengths` are those of B rows.

    `x` must be of the type of `weight_ih (G, I)`, or of one that autocast takes for the same.
    """
    size, dtype = weight_ih.shape[1], weight_ih.dtype
    if isinstance(x, PackedSequence):
        raise ZooError(
            "expected a padded x of shape (B, T, I), got a PackedSequence: nothing needs packing here. Unpack it with "
            "x, lengths = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)"
        )
    if not isinstance(x, Tensor):
        raise ZooError(f"expected x as a tensor, got {type(x).__name__}: convert it with torch.as_tensor(x)")
    if x.ndim != 3 or x.shape[-1] != size or 0 in x.shape:
        raise ZooError(f"expected x of shape (B, T, {size}), B and T at least 1, got {tuple(x.shape)}")
    if not (x.is_floating_point() and autocast_dtype(x) == autocast_dtype(weight_ih)):
        raise ZooError(f"expected x of {dtype}, as the weights are, got {x.dtype}: convert it with x.to({dtype})")
    integers = isinstance(lengths, Tensor) and lengths.dtype in (torch.int32, torch.int64)
    if lengths is None:
        full = "torch.full((len(x),), x.shape[1], device=x.device)"
        raise ZooError(f"expected lengths, the real steps of each row of x: where nothing is padding, give {full}")
    if not integers or lengths.shape != x.shape[:1]:
        got = f"{tuple(lengths.shape)} of {lengths.dtype}" if isinstance(lengths, Tensor) else type(lengths).__name__
        raise ZooError(f"expected lengths as integers in a tensor of shape ({x.shape[0]},), one a row, got {got}")
    if lengths.device.type == "cpu" and not is_traced():  # elsewhere it would wait for the device
        low, high = (int(bound) for bound in lengths.aminmax())
        if low < 0 or high > x.shape[1]:
            raise ZooError(f"expected lengths from 0 to {x.shape[1]}, the steps of x, got {low} to {high}")


def check_states(cells: Sequence[nn.Module], states: Sequence[tuple[Tensor, ...]], rows: int) -> None:
    """Raises a ZooError unless there is a state for each cell, with all its parts, each with `rows` rows."""
    expected = [[(rows, part.shape[1]) for part in cell.initial_state(0)] for cell in cells]
    nested = isinstance(states, Sequence) and all(isinstance(state, Sequence) for state in states)
    shaped = nested and all(isinstance(part, Tensor) for state in states for part in state)
    got = [[tuple(part.shape) for part in state] for state in states] if shaped else "other nesting"
    if got != expected:
        raise ZooError(f"expected a state of shapes {expected}, one for each layer and direction, got {got}")
