"""The gradients of `zoo.masks.zero_padding` and `zoo.masks.reverse`.

Shapes: B rows, T time steps, H features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd.first_derivative import Context

# The integer type with as many bytes as a floating-point number.
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def zeroed(x: Tensor, mask: Tensor, *, inplace: bool = False) -> Tensor:
    """`x (B, T, H)` with zeros where `mask (B, T)` is False, without a gradient.

    It works on the bits of the numbers, ANDed with all ones or all zeros: as fast as a product with the mask, which
    would keep NaN and inf, and faster than `torch.where`.
    """
    integer = INTEGERS[x.element_size()]
    bits = x.view(integer)
    # In two's complement, -1 is all ones.
    all_or_no_bits = -mask[..., None].to(integer)  # (B, T, 1)
    masked = bits.bitwise_and_(all_or_no_bits) if inplace else bits & all_or_no_bits
    return masked.view(x.dtype)


class ZeroPadding(torch.autograd.Function):
    """`x (B, T, H)` with zeros where `mask (B, T)` is False.

    Its gradient is the same function, so that NaN or inf in the gradient of padding goes no further.
    """

    @staticmethod
    def forward(x: Tensor, mask: Tensor) -> Tensor:
        return zeroed(x, mask)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return ZeroPadding.apply(grad, mask), None


class ReverseRows(torch.autograd.Function):
    """Each row of `x (B, T, H)` reversed within its own length; padding stays where it is.

    This permutation is its own inverse, so its gradient is the same function, one gather. Autograd would scatter.
    """

    @staticmethod
    def forward(x: Tensor, lengths: Tensor) -> Tensor:
        rows, steps = x.shape[:2]
        time = torch.arange(steps, device=x.device).expand(rows, steps)  # (B, T)
        source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # (B, T)
        offset = torch.arange(rows, device=x.device)[:, None] * steps  # (B, 1)
        return x.reshape(rows * steps, -1).index_select(0, (source + offset).view(-1)).view(x.shape)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> tuple[Tensor, None]:
        (lengths,) = ctx.saved_tensors
        return ReverseRows.apply(grad, lengths), None
