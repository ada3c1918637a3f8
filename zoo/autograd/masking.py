"""The gradients of `zoo.masks.zero_padding` and `zoo.masks.reverse`.

Shapes: B rows, T time steps, H features.
"""

from __future__ import annotations

import torch
from torch import Tensor

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a number


def zeroed(x: Tensor, mask: Tensor, *, inplace: bool = False) -> Tensor:
    """`x (B, T, H)` with zeros where `mask (B, T)` is False, by the bits of its numbers: all are kept, or none."""
    integer = INTEGERS[x.element_size()]
    bits = x.view(integer)
    kept = -mask[..., None].to(integer)
    return (bits.bitwise_and_(kept) if inplace else bits & kept).view(x.dtype)


class ZeroPadding(torch.autograd.Function):
    """`x (B, T, H)` with zeros where `mask (B, T)` is False.

    Its gradient is itself, so that NaN or inf that comes for padding goes no further: `torch.where` would do the same,
    but a product with the mask would not. It works on the bits of a number: as fast as a product, and faster than
    `torch.where`.
    """

    @staticmethod
    def forward(x: Tensor, mask: Tensor) -> Tensor:
        return zeroed(x, mask)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return ZeroPadding.apply(grad, mask), None


class ReverseRows(torch.autograd.Function):
    """Each row of `x (B, T, H)` reversed within its own length; padding stays where it is.

    It is a permutation and its own inverse, so its gradient is itself: one gather. Autograd would scatter.
    """

    @staticmethod
    def forward(x: Tensor, lengths: Tensor) -> Tensor:
        rows, steps = x.shape[:2]
        time = torch.arange(steps, device=x.device).expand(rows, steps)  # (B, T)
        source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # (B, T)
        offset = torch.arange(rows, device=x.device)[:, None] * steps  # (B, 1)
        return x.reshape(rows * steps, -1).index_select(0, (source + offset).view(-1)).view(x.shape)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (lengths,) = ctx.saved_tensors
        return ReverseRows.apply(grad, lengths), None
