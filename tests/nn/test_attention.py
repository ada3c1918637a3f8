"""Attention: weights over real positions only, the published formulas, and coverage that starts without effect."""

from __future__ import annotations

import pytest
import torch

from zoo.errors import ZooError
from zoo.masks import padding_mask
from zoo.nn.attention import AdditiveAttention, MultiplicativeAttention

B, S, Q, M, H, A = 3, 6, 4, 5, 7, 8
LENGTHS = torch.tensor([6, 1, 3])


def make(name: str):
    torch.manual_seed(0)
    kinds = {
        "additive": lambda: AdditiveAttention(H, M, A),
        "covering": lambda: AdditiveAttention(H, M, A, coverage=True),
        "multiplicative": lambda: MultiplicativeAttention(H, M),
    }
    attention = kinds[name]()
    if name == "covering":
        torch.nn.init.normal_(attention.coverage)
    return attention


def inputs(seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    memory, query = torch.randn(B, S, M, generator=generator), torch.randn(B, Q, H, generator=generator)
    return query, memory, padding_mask(LENGTHS, S), torch.rand(B, Q, S, generator=generator)


def weigh(attention, query, memory, mask, coverage):
    seen = (coverage,) if getattr(attention, "coverage", None) is not None else ()
    return attention(query, attention.keys(memory), mask, *seen)


@pytest.mark.parametrize("name", ["additive", "covering", "multiplicative"])
def test_weights_sum_to_one_over_real_positions(name):
    query, memory, mask, coverage = inputs()
    weights = weigh(make(name), query, memory, mask, coverage)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, Q))
    assert (weights[~mask[:, None].expand(B, Q, S)] == 0).all() and (weights >= 0).all()
    garbage = memory.masked_fill(~mask[..., None], 1e4)
    torch.testing.assert_close(weigh(make(name), query, garbage, mask, coverage), weights)


@pytest.mark.parametrize("name", ["additive", "covering", "multiplicative"])
def test_rows_and_queries_are_independent(name):
    query, memory, mask, coverage = inputs()
    attention = make(name)
    together = weigh(attention, query, memory, mask, coverage)
    for b, n in enumerate(LENGTHS.tolist()):
        for q in range(Q):
            part = (query[b : b + 1, q : q + 1], memory[b : b + 1, :n], mask[b : b + 1, :n])
            alone = weigh(attention, *part, coverage[b : b + 1, q : q + 1, :n])
            torch.testing.assert_close(together[b, q, :n], alone[0, 0])


def test_equals_the_published_formulas():
    query, memory, mask, coverage = inputs()
    additive, multiplicative = make("covering"), make("multiplicative")
    expected = torch.zeros(2, B, Q, S)
    for b in range(B):
        for q in range(Q):
            for i in range(S):
                hidden = additive.query.weight @ query[b, q] + additive.keys.weight @ memory[b, i]
                hidden = hidden + additive.keys.bias + additive.coverage * coverage[b, q, i]
                expected[0, b, q, i] = additive.score.weight[0] @ torch.tanh(hidden)
                expected[1, b, q, i] = query[b, q] @ multiplicative.keys.weight @ memory[b, i]
    expected = expected.masked_fill(~mask[:, None], float("-inf")).softmax(-1)
    torch.testing.assert_close(weigh(additive, query, memory, mask, coverage), expected[0])
    torch.testing.assert_close(weigh(multiplicative, query, memory, mask, coverage), expected[1])


def test_untrained_coverage_changes_nothing():
    query, memory, mask, coverage = inputs()
    attention = AdditiveAttention(H, M, A, coverage=True)
    one, other = (attention(query, attention.keys(memory), mask, c) for c in (coverage, torch.zeros(B, 1, S)))
    assert torch.equal(one, other)
    one.square().sum().backward()
    assert attention.coverage.grad.abs().sum() > 0
    assert not torch.equal(
        weigh(make("covering"), *inputs()[:3], coverage), weigh(make("covering"), *inputs()[:3], 0 * coverage)
    )


def test_a_missing_coverage_is_refused():
    query, memory, mask, _ = inputs()
    attention = make("covering")
    with pytest.raises(ZooError, match="coverage=True: give it the coverage"):
        attention(query, attention.keys(memory), mask)


def test_an_empty_source_has_no_weights():
    query, memory, _, _ = inputs()
    attention = make("additive")
    weights = attention(query, attention.keys(memory), torch.zeros(B, S, dtype=torch.bool))
    assert (weights == 0).all()
