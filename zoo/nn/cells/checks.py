"""Checks of what a cell is given, before it is read: torch's kernels would read past the end of a short tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from zoo.errors import ZooError
from zoo.masks import is_traced
from zoo.nn.cells.precision import autocast_dtype

if TYPE_CHECKING:
    from zoo.nn.cells.base import RecurrentCell


def check_batch(x: Tensor, lengths: Tensor | None, weight_ih: Tensor) -> Tensor:
    """Checks the batch that a cell with the weights `weight_ih (G, I)` is about to read.

    Returns:
        `lengths`.

    Raises:
        ZooError: `x` is not `(B, T, I)` with B and T at least 1; its type is neither that of the weights nor one that
            autocast converts; or `lengths` are not `(B,)` integers from 0 to T. Values are checked on a CPU only:
            elsewhere the host would wait for the device.
    """
    size = weight_ih.shape[1]
    dtype = weight_ih.dtype
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
    if lengths is None:
        full = "torch.full((len(x),), x.shape[1], device=x.device)"
        raise ZooError(f"expected lengths, the real steps of each row of x: where nothing is padding, give {full}")
    integers = isinstance(lengths, Tensor) and lengths.dtype in (torch.int32, torch.int64)
    if not integers or lengths.shape != x.shape[:1]:
        got = f"{tuple(lengths.shape)} of {lengths.dtype}" if isinstance(lengths, Tensor) else type(lengths).__name__
        raise ZooError(f"expected lengths as integers in a tensor of shape ({x.shape[0]},), one a row, got {got}")
    if lengths.device.type == "cpu" and not is_traced():
        low, high = (int(bound) for bound in lengths.aminmax())
        if low < 0 or high > x.shape[1]:
            raise ZooError(f"expected lengths from 0 to {x.shape[1]}, the steps of x, got {low} to {high}")
    return lengths


def check_states(cells: Sequence[RecurrentCell], states: Sequence[tuple[Tensor, ...]], rows: int) -> None:
    """Checks that there is a state for each cell, with all its tensors, each `(rows, *)`.

    Raises:
        ZooError: the states have another nesting or other shapes.
    """
    expected = [[(rows, part.shape[1]) for part in cell.initial_state(0)] for cell in cells]
    nested = isinstance(states, Sequence) and all(isinstance(state, Sequence) for state in states)
    if nested and all(isinstance(part, Tensor) for state in states for part in state):
        got: object = [[tuple(part.shape) for part in state] for state in states]
    else:
        got = "other nesting"
    if got != expected:
        raise ZooError(f"expected a state of shapes {expected}, one for each layer and direction, got {got}")
