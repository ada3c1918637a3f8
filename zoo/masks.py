"""Every rule about padding. Rows are padded on the right; `lengths` alone says what is real.

Shapes: B rows, T time steps, H features. Nothing here waits for a device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, steps: int) -> Tensor:
    """True at real positions: `(B,)` lengths -> `(B, T)` bool."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def is_traced() -> bool:
    """Whether operations are recorded, to be run on other inputs: compiled, exported or traced."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def known_complete(lengths: Tensor, steps: int) -> bool:
    """Whether no row has padding, as far as it is known without waiting: on a GPU, or traced, it never is."""
    return lengths.device.type == "cpu" and not is_traced() and int(lengths.min()) == steps


def zero_padding(x: Tensor, mask: Tensor, *, inplace: bool = False) -> Tensor:
    """`x (B, T, H)` with zeros where `mask (B, T)` is False, whatever stood there (NaN and inf too).

    `inplace` writes into `x` itself where no gradient is needed.
    """
    if is_traced():
        return torch.where(mask[..., None], x, 0.0)
    if torch.is_grad_enabled() and x.requires_grad:
        return _Zero.apply(x, mask)
    # The bits of a number, all or none: as fast as a product, which would keep NaN, and faster than torch.where.
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    bits, kept = x.view(whole), -mask[..., None].to(whole)
    return (bits.bitwise_and_(kept) if inplace else bits & kept).view(x.dtype)


class _Zero(torch.autograd.Function):
    # Its gradient is itself: one that comes for padding may be NaN.

    @staticmethod
    def forward(ctx, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return zero_padding(x, mask)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return zero_padding(grad, mask), None


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Each row of `x (B, T, H)` reversed within its own length; padding stays where it is.

    It is its own inverse.
    """
    return _Reverse.apply(x, lengths)


class _Reverse(torch.autograd.Function):
    # A permutation that is its own inverse: its gradient is itself, a gather where autograd would scatter.

    @staticmethod
    def forward(ctx, x: Tensor, lengths: Tensor) -> Tensor:
        ctx.save_for_backward(lengths)
        return _permute(x, lengths)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (lengths,) = ctx.saved_tensors
        return reverse(grad, lengths), None


def _permute(x: Tensor, lengths: Tensor) -> Tensor:
    rows, steps = x.shape[:2]
    time = torch.arange(steps, device=x.device).expand(rows, steps)  # (B, T)
    source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # (B, T)
    offset = torch.arange(rows, device=x.device)[:, None] * steps  # (B, 1)
    return x.reshape(rows * steps, -1).index_select(0, (source + offset).view(-1)).view(x.shape)


def last(x: Tensor, lengths: Tensor) -> Tensor:
    """The last real step of each row: `x (B, T, H)` -> `(B, H)`; for a row of length 0, its first step."""
    index = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, x.shape[-1])  # (B, 1, H)
    return x.gather(1, index).squeeze(1)


def mean_over_time(x: Tensor, lengths: Tensor) -> Tensor:
    """The mean of each row's real steps: `x (B, T, H)` -> `(B, H)`; zeros for a row of length 0."""
    total = zero_padding(x, padding_mask(lengths, x.shape[1])).sum(1)  # (B, H)
    return total / lengths.clamp(min=1)[:, None]


def max_over_time(x: Tensor, lengths: Tensor) -> Tensor:
    """The maximum of each row's real steps: `x (B, T, H)` -> `(B, H)`; zeros for a row of length 0."""
    real = padding_mask(lengths, x.shape[1])  # (B, T)
    lowest = (~real).to(x.dtype)[..., None] * torch.finfo(x.dtype).min  # (B, T, 1)
    highest = (zero_padding(x, real) + lowest).amax(1)  # (B, H)
    return highest.masked_fill(lengths[:, None] == 0, 0.0)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Weights that sum to 1 over real positions: `scores (*, T)` and their mask -> `(*, T)` fp32, zeros elsewhere."""
    scores = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return scores.softmax(-1).masked_fill(~mask, 0.0)
