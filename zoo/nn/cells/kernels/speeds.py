"""Where a packed batch is faster than a padded one: the one table of measured constants that kernels are chosen by.

Constants, and no measurement when a model is first used: with one, two runs on one machine could differ in the last
bit, and a resumed training would not be exact. `tools/gpu_check.py --sections kernels` measures all kernels on any
device and prints the numbers to enter here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zoo.masks import is_traced
from zoo.nn.cells.precision import in_half_precision

if TYPE_CHECKING:
    from zoo.nn.cells.base import RecurrentCell

# With AVX-512 the products are so fast that the steps of the loop take most of the time. Without, the products do, and
# padding costs as much as the rest of the batch.
FAST_CPU = "cpu, AVX-512"
SLOW_CPU = "cpu"
# With fewer hidden units in all rows of a batch, a step has so little to multiply that padding costs nothing.
LEAST_WORK = 2**14
# With at least so many hidden units, products take so long that padding costs as much as the rest of the batch.
WIDE = 640
# Over so many steps, torch's packed training is slow: it adds a gradient of all weights at each step.
MANY_STEPS = 64


class Packing(NamedTuple):
    """Below these fractions of unpadded steps a packed batch is faster; 0 for never, 1 for any padding.

    The one of wide inference holds for at least `WIDE` hidden units, and the first one for fewer. The one of training
    holds for batches of at least `LEAST_WORK` hidden units, all rows together, and fewer than `MANY_STEPS` steps.
    """

    inference: float = 0.0
    wide_inference: float = 0.0
    training: float = 0.0


# By device and cell. What is not here is never packed. On a GPU nothing is: packing makes the host wait for the lengths
# at every layer, and cuDNN reads padding at almost no cost.
PACKING = {
    (FAST_CPU, "gru"): Packing(inference=0.75, wide_inference=0.75),
    (SLOW_CPU, "lstm"): Packing(inference=0.85, wide_inference=1.0, training=0.6),
    (SLOW_CPU, "gru"): Packing(inference=1.0, wide_inference=1.0, training=0.6),
}


def packing_pays_off(kind: str, cell: RecurrentCell, lengths: Tensor, steps: int) -> bool:
    """Whether a layer takes less time on a packed batch than on the padded one.

    It is never true in half precision, whatever the time: there, torch's packed kernel keeps the state in half
    precision, and a row's result would depend on the other rows.

    Args:
        kind: the name of the cell in `PACKING`.
        cell: one of its cells.
        lengths: `(B,)` of the batch, on a CPU.
        steps: T of the batch.
    """
    if is_traced():
        return False
    packing = PACKING.get((_class_of(cell.weight_ih.device), kind))
    if packing is None or in_half_precision(cell.weight_ih):
        return False
    full = packing.wide_inference if cell.hidden_size >= WIDE else packing.inference
    if torch.is_grad_enabled():
        # Torch's packed kernels do not go through torch.func.
        transformed = torch._C._functorch.peek_interpreter_stack() is not None
        enough_work = len(lengths) * cell.hidden_size >= LEAST_WORK and steps < MANY_STEPS
        full = packing.training if enough_work and not transformed else 0.0
    return full > 0 and int(lengths.sum()) < full * len(lengths) * steps


def _class_of(device: torch.device) -> str:
    """The class of devices in `PACKING`."""
    if device.type != "cpu":
        return device.type
    return FAST_CPU if torch.backends.cpu.get_cpu_capability() == "AVX512" else SLOW_CPU
