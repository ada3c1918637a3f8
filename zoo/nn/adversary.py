"""Adversarial training on embeddings (Miyato et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor


def movable(x: Tensor) -> Tensor:
    """Embeddings `x` that an adversary can move: where nothing of them is trained, `x` still has a gradient."""
    return x if x.requires_grad else x.detach().requires_grad_()


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
    # In fp16 a small gradient has no norm above 0.
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    direction = gradient / gradient.norm(dim=over, keepdim=True).clamp(min=1e-12)
    return (direction * length).to(x.dtype).detach()
