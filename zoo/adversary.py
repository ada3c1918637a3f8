"""Adversarial training on embeddings (Miyato et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor


def steepest(loss: Tensor, x: Tensor, *, rows: bool = False) -> Tensor:
    """The direction in which a loss grows fastest, as long as what it moves (Miyato et al. 2017, eq. 5 and 6).

    Args:
        loss: a scalar that `x` led to; its graph stays for the backward pass.
        x: embeddings, `(*, X)`.
        rows: whether each entry of the first dimension is a text of its own, with a length of its own.

    Returns:
        Like `x`, without gradient. Where the loss does not depend on `x`, zeros.
    """
    (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
    over = tuple(range(1, x.ndim)) if rows else None
    length = x.detach().norm(dim=over, keepdim=True)
    return (gradient * (length / gradient.norm(dim=over, keepdim=True).clamp(min=1e-12))).detach()
