"""How the weights of a model are stored: in fp32, in fp16, or in int8 with scales.

In int8, a row w of a matrix (an output channel of a layer, the embedding of a token) is cut into groups of `GROUP`
columns. A group is stored as symmetric integers with one scale s in bf16,

    q = clamp(round(w / s), -127, 127),        and is read as        w' = q s.

s is that of `CLIPPED` max |w| / 127 with the least squared error. It is rounded to bf16 before w is divided by it, so
this rounding adds no error. Vectors and small matrices stay in fp32: they take a hundredth of the space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import ZooError, unknown_name

DTYPES = ("float32", "float16", "int8")
# What is added to the name of a matrix in int8 for the name of its scales.
SCALES = ".int8_scales"
# The number of columns that share a scale.
GROUP = 64
# A tensor with fewer weights is not stored in int8, nor is one with shorter rows.
SMALLEST = 1024
SHORTEST = 16
# The fractions of the largest weight that are tried as the largest representable one. The first is that of a scale that
# bf16 may round down without clipping.
CLIPPED = (1.002, 1.0, 0.98, 0.96, 0.94, 0.92, 0.9, 0.88)
LARGEST = 127


def stored_weights(weights: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """The tensors to write to a file.

    Args:
        weights: the tensors of a model, by name.
        dtype: a name in `DTYPES`.

    Raises:
        ZooError: the dtype is unknown, or it cannot represent a weight.
    """
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    stored: dict[str, Tensor] = {}
    for name, value in weights.items():
        value = value.detach().cpu().contiguous()
        if not value.is_floating_point():
            stored[name] = value
        elif dtype == "float16":
            stored[name] = _halved(name, value)
        elif dtype == "int8" and is_worth_int8(tuple(value.shape)):
            stored[name], stored[name + SCALES] = quantize(name, value)
        else:
            stored[name] = value
    return stored


def read_weights(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `stored_weights`. Tensors in fp16 stay so: a model converts them when it copies them.

    Raises:
        ZooError: a matrix in int8 and its scales do not fit each other.
    """
    shapes = {name: tuple(value.shape) for name, value in stored.items()}
    return {
        name: dequantize(stored[name], stored[name + SCALES]) if name + SCALES in stored else stored[name]
        for name in shapes_of_weights(shapes)
    }


def shapes_of_weights(stored: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes that the tensors of a file have when they are read: those of all but the scales.

    Raises:
        ZooError: a matrix in int8 and its scales do not fit each other.
    """
    shapes = {name: shape for name, shape in stored.items() if not name.endswith(SCALES)}
    for name, shape in stored.items():
        if name.endswith(SCALES):
            matrix = shapes.get(name.removesuffix(SCALES), ())
            if not matrix or shape != _shape_of_scales(matrix):
                raise ZooError(f"{name} of shape {shape} are no scales of a matrix of shape {matrix}")
    return shapes


def is_worth_int8(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape is a matrix that is large enough to be stored in int8."""
    if len(shape) < 2 or 0 in shape:
        return False
    columns = math.prod(shape[1:])
    return columns >= SHORTEST and shape[0] * columns >= SMALLEST


def quantize(name: str, weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix in int8.

    Args:
        name: for the message.
        weight: `(N, ...)`; the last dimensions are those of a row.

    Returns:
        integers of the shape of `weight`, and the scales `(N, groups)`.

    Raises:
        ZooError: a weight is NaN or infinite.
    """
    if not weight.isfinite().all():
        raise ZooError(f"a weight of {name} is NaN or infinite, which int8 cannot represent")
    rows = weight.float().flatten(1)  # (N, C)
    num_groups = _shape_of_scales(tuple(weight.shape))[1]
    # The last group may be shorter. Zeros at its end change no scale.
    padded = F.pad(rows, (0, num_groups * GROUP - rows.shape[1]))
    groups = padded.unflatten(1, (num_groups, GROUP))  # (N, groups, GROUP)
    most = groups.abs().amax(2, keepdim=True)  # (N, groups, 1)
    best = torch.full_like(most, float("inf"))
    scales = torch.zeros_like(most, dtype=torch.bfloat16)
    integers = torch.zeros_like(groups, dtype=torch.int8)
    for fraction in CLIPPED:
        tried = (most * (fraction / LARGEST)).bfloat16()
        # A group of zeros has any scale.
        divisor = tried.float().masked_fill(tried == 0, 1.0)
        rounded = (groups / divisor).round_().clamp_(-LARGEST, LARGEST)
        error = (groups - rounded * tried.float()).square().sum(2, keepdim=True)
        better = error < best
        best = torch.where(better, error, best)
        scales = torch.where(better, tried, scales)
        integers = torch.where(better, rounded.to(torch.int8), integers)
    cut = integers.flatten(1)[:, : rows.shape[1]]
    return cut.reshape(weight.shape).contiguous(), scales.squeeze(2).contiguous()


def dequantize(integers: Tensor, scales: Tensor) -> Tensor:
    """The weights in fp32: integers `(N, ...)` and scales `(N, groups)` -> the shape of the integers."""
    rows = integers.flatten(1).float()  # (N, C)
    by_column = scales.float().repeat_interleave(GROUP, dim=1)[:, : rows.shape[1]]  # (N, C)
    return rows.mul_(by_column).reshape(integers.shape)


def _shape_of_scales(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0], -(-math.prod(shape[1:]) // GROUP)


def _halved(name: str, value: Tensor) -> Tensor:
    half = value.half()
    if half.isinf().any():
        raise ZooError(f"a weight of {name} exceeds 65504, the largest number in fp16: save with dtype='float32'")
    return half
