"""Every rule about padding. Rows are padded on the right; `lengths` alone says what is real.

Shapes: B rows, T time steps, H features. Nothing here waits for a device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.autograd import ReverseRows, ZeroPadding, zeroed


def padding_mask(lengths: Tensor, steps: int) -> Tensor:
    """True at real positions: `(B,)` lengths -> `(B, T)` bool."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def is_traced() -> bool:
    """Whether operations are recorded, to be run on other inputs: compiled, exported or traced."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def known_complete(lengths: Tensor, steps: int) -> bool:
    """Whether no row has padding. Always False on a GPU or when traced: there a check would wait for the device."""
    return lengths.device.type == "cpu" and not is_traced() and int(lengths.min()) == steps


def zero_padding(x: Tensor, mask: Tensor, *, inplace: bool = False) -> Tensor:
    """`x (B, T, H)` with zeros where `mask (B, T)` is False, whatever stood there (NaN and inf too).

    `inplace` writes into `x` itself where no gradient is needed.
    """
    if is_traced():
        return torch.where(mask[..., None], x, 0.0)
    if torch.is_grad_enabled() and x.requires_grad:
        return ZeroPadding.apply(x, mask)
    return zeroed(x, mask, inplace=inplace)


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Each row of `x (B, T, H)` reversed within its own length; padding stays where it is.

    It is its own inverse.
    """
    return ReverseRows.apply(x, lengths)


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
