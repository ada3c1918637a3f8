"""Log-probabilities of tokens: those of log_softmax, and so are their gradients."""

from __future__ import annotations

import pytest
import torch

from zoo.autograd.log_probability import ROWS
from zoo.nn.losses import token_log_probability


@pytest.mark.parametrize("n", [1, ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_log_softmax(n, dtype):
    torch.manual_seed(n)
    ours = (3 * torch.randn(n, 11)).to(dtype).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    target, weights = torch.randint(11, (n,)), torch.randn(2, n)
    expected = theirs.float().log_softmax(-1)
    expected = (expected.gather(1, target[:, None]).squeeze(1), expected.mean(-1))
    found = token_log_probability(ours, target)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for parts in (found, expected):
        sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True)).backward()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(ours.grad, theirs.grad, atol=tolerance, rtol=tolerance)
