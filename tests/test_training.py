"""What the models share in training."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from zoo.base import clip_grad_norm


@pytest.mark.parametrize("share", [0.01, 0.9, 1.1])
def test_clipping_is_that_of_torch(share):
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 9))
    theirs = deepcopy(ours)
    x = torch.randn(5, 3)
    for model in (ours, theirs):
        model[:2](x).square().sum().backward()  # the last layer has no gradient
    limit = share * nn.utils.get_total_norm(p.grad for p in ours.parameters() if p.grad is not None).item()
    clip_grad_norm(ours.parameters(), limit)
    nn.utils.clip_grad_norm_(theirs.parameters(), limit)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad) if a.grad is not None else b.grad is None
