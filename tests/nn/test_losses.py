"""Losses: the log-softmax of tokens, language modeling as a second task, and adversarial training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import zoo.nn.losses
from zoo.autograd.log_probability import ROWS
from zoo.nn.losses import (
    ALWAYS_SAMPLED_WORDS,
    FULL_SOFTMAX_WORDS,
    LanguageModelingLoss,
    adversarial_perturbation,
    token_log_probability,
)


@pytest.mark.parametrize("n", [1, ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_token_log_probability_equals_log_softmax(n, dtype):
    torch.manual_seed(n)
    ours = (3 * torch.randn(n, 11)).to(dtype).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    target, weights = torch.randint(11, (n,)), torch.randn(2, n)
    log_softmax = theirs.float().log_softmax(-1)
    expected = (log_softmax.gather(1, target[:, None]).squeeze(1), log_softmax.mean(-1))
    found = token_log_probability(ours, target)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for parts in (found, expected):
        sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True)).backward()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(ours.grad, theirs.grad, atol=tolerance, rtol=tolerance)


def language_modeling_of_many_words() -> tuple[LanguageModelingLoss, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The second task over a vocabulary too large to be scored in full, and its inputs."""
    torch.manual_seed(0)
    V, E, H = FULL_SOFTMAX_WORDS + 500, 3, 4
    loss = LanguageModelingLoss(H, V, E, bidirectional=True)
    torch.nn.init.normal_(loss.bias)
    word_ids = torch.randint(V, (2, 5))
    return loss, (torch.randn(2, 5, 2 * H), word_ids, torch.tensor([5, 3]), torch.randn(V, E))


def test_the_sampled_softmax_estimates_the_full_one(monkeypatch):
    loss, inputs = language_modeling_of_many_words()
    sampled = torch.stack([loss(*inputs) for _ in range(100)])
    monkeypatch.setattr(zoo.nn.losses, "FULL_SOFTMAX_WORDS", len(loss.bias))
    in_full = loss(*inputs)
    assert sampled.std() > 0
    assert abs(sampled.mean() - in_full) < 4 * sampled.std() / len(sampled) ** 0.5


def test_a_sample_is_small_and_contains_the_words_of_the_batch():
    loss, inputs = language_modeling_of_many_words()
    loss(*inputs).backward()
    scored = loss.bias.grad != 0  # (V,)
    assert scored[inputs[1][0]].all()
    assert ALWAYS_SAMPLED_WORDS < scored.sum() < len(scored) / 2


def test_the_perturbation_of_a_row_is_a_fraction_of_its_own_length():
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, requires_grad=True)
    step = adversarial_perturbation((x * torch.randn(3, 4, 5)).pow(2).sum(), x, 0.3, per_row=True)
    torch.testing.assert_close(step.flatten(1).norm(dim=1), 0.3 * x.detach().flatten(1).norm(dim=1))
    assert adversarial_perturbation((x * 0).sum(), x, 0.3, per_row=True).eq(0).all()
