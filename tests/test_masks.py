"""The rules of padding, compared with a loop over rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.masks import last, padding_mask, reverse, zero_padding


@st.composite
def padded(draw):
    lengths = draw(st.lists(st.integers(0, 7), min_size=1, max_size=5))
    steps = max(lengths) + draw(st.integers(1, 3))
    x = torch.randn(len(lengths), steps, 3, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    return x, torch.tensor(lengths)


@given(padded())
@settings(deadline=None)
def test_every_function_equals_a_loop_over_rows(case):
    x, lengths = case
    mask = padding_mask(lengths, x.shape[1])
    reversed_ = reverse(x, lengths)
    final = last(x, lengths)
    for row, n in enumerate(lengths.tolist()):
        assert mask[row].tolist() == [True] * n + [False] * (x.shape[1] - n)
        assert torch.equal(reversed_[row, :n], x[row, :n].flip(0))
        assert torch.equal(reversed_[row, n:], x[row, n:])
        assert torch.equal(final[row], x[row, max(n - 1, 0)])
    assert torch.equal(reverse(reversed_, lengths), x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@given(case=padded(), garbage=st.sampled_from([float("nan"), float("inf"), -float("inf"), -1.0]))
@settings(deadline=None)
def test_zero_padding_keeps_every_real_number_and_nothing_else(dtype, case, garbage):
    x, lengths = case
    mask = padding_mask(lengths, x.shape[1])
    given = torch.where(mask[..., None], x, garbage).to(dtype)
    before, expected = given.clone(), torch.where(mask[..., None], given, 0.0)
    assert torch.equal(zero_padding(given, mask), expected)
    # The caller's tensor is not modified.
    torch.testing.assert_close(given, before, rtol=0, atol=0, equal_nan=True)
    with torch.no_grad():
        assert torch.equal(zero_padding(given.clone().requires_grad_(), mask), expected)
    in_place = zero_padding(given, mask, inplace=True)
    assert torch.equal(in_place, expected) and in_place.data_ptr() == given.data_ptr()


@pytest.mark.parametrize("inplace", [False, True])
def test_zero_padding_has_first_and_second_derivatives(inplace):
    x, mask = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True), padding_mask(torch.tensor([4, 0, 2]), 4)
    assert torch.autograd.gradcheck(lambda x: zero_padding(x, mask, inplace=inplace), x)
    assert torch.autograd.gradgradcheck(lambda x: zero_padding(x, mask, inplace=inplace), x)


def test_values_at_padding_reach_no_output_and_no_gradient():
    x = torch.randn(2, 4, 3)
    x[0, 2:] = float("nan")
    x[1, 1:] = float("inf")
    x.requires_grad_()
    lengths = torch.tensor([2, 1])
    y = zero_padding(x, padding_mask(lengths, 4))
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    assert torch.equal(y[0, :2], x[0, :2])


def test_the_gradient_of_reverse_is_right():
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: reverse(x, torch.tensor([4, 2, 1])), x)
