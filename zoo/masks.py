"""All rules about padding. Rows are padded on the right, and only `lengths` says which positions are padding.

No function here makes the host wait for a device.

Shapes: B rows, T time steps, H features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd import ReverseRows, ZeroPadding, zeroed


def padding_mask(lengths: Tensor, steps: int) -> Tensor:
    """True at real positions, False at padding: `lengths (B,)` and T -> `(B, T)` bool."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def is_traced() -> bool:
    """Whether operations are recorded to run on other inputs later: when compiling, exporting or tracing."""
    # torch's stubs leave this function of torch.jit out.
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return torch.compiler.is_compiling() or tracing


def known_complete(lengths: Tensor, steps: int) -> bool:
    """True if no row is padded. Always False on a GPU or when tracing, where checking would make the host wait."""
    return lengths.device.type == "cpu" and not is_traced() and int(lengths.min()) == steps


def zero_padding(x: Tensor, mask: Tensor, *, inplace: bool = False) -> Tensor:
    """`x (B, T, H)` with zeros where `mask (B, T)` is False, also in the place of NaN and inf.

    Args:
        x: a tensor of any floating-point type.
        mask: True at real positions.
        inplace: whether `x` may be overwritten. It is not overwritten if a gradient is needed, or when tracing.
    """
    if is_traced():
        return torch.where(mask[..., None], x, 0.0)
    if torch.is_grad_enabled() and x.requires_grad:
        zeroed_x: Tensor = ZeroPadding.apply(x, mask)
        return zeroed_x
    return zeroed(x, mask, inplace=inplace)


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverses each row of `x (B, T, H)` within its own length; padding keeps its position.

    The function is its own inverse.
    """
    reversed_x: Tensor = ReverseRows.apply(x, lengths)
    return reversed_x


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
    lowest = x.new_zeros(real.shape).masked_fill(~real, torch.finfo(x.dtype).min)  # (B, T)
    highest = (zero_padding(x, real) + lowest[..., None]).amax(1)  # (B, H)
    return highest.masked_fill(lengths[:, None] == 0, 0.0)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Weights that sum to 1 over the real positions of each row.

    Args:
        scores: `(*, T)`, in any precision.
        mask: `(*, T)`, True at real positions; it may be broadcast.

    Returns:
        `(*, T)` in fp32, zeros at padding; all zeros for a row without real positions.
    """
    scores = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return scores.softmax(-1).masked_fill(~mask, 0.0)
