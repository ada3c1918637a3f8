"""The CRF against the enumeration of all sequences, and its independence of padding, batches and precision."""

from __future__ import annotations

from itertools import pairwise, product
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoo.nn.crf import LinearChainCRF
from zoo.text.tag_schemes import Transitions, transitions

BMES = ["O", "B-x", "M-x", "E-x", "S-x"]


class Case(NamedTuple):
    crf: LinearChainCRF
    emissions: Tensor
    lengths: Tensor


def make(sizes: list[int], K: int, seed: int, scale: float = 1.0, forbid: float = 0.0, padding: int = 0) -> Case:
    """A CRF with random scores and a random part of its transitions forbidden, and a batch for it."""
    generator = torch.Generator().manual_seed(seed)
    start, end, pairs = (torch.rand(shape, generator=generator) >= forbid for shape in ((K,), (K,), (K, K)))
    crf = LinearChainCRF(K, Transitions(start.tolist(), end.tolist(), pairs.tolist()))
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(2 * torch.randn(parameter.shape, generator=generator))
    emissions = scale * torch.randn(len(sizes), max(sizes) + padding, K, generator=generator)
    return Case(crf, emissions, torch.tensor(sizes))


def enumerate_row(case: Case, row: int) -> dict[tuple[int, ...], Tensor]:
    """Every legal sequence of a row and its score, in float64, by the definition."""
    crf, length = case.crf, int(case.lengths[row])
    scores = {}
    for tags in product(range(crf.num_tags), repeat=length):
        steps = list(pairwise(tags))
        if not (crf.legal_start[tags[0]] and crf.legal_end[tags[-1]] and all(crf.legal_pairs[s] for s in steps)):
            continue
        score = crf.start[tags[0]].double() + crf.end[tags[-1]].double()
        score = score + sum(crf.transition[s].double() for s in steps)
        scores[tags] = score + sum(case.emissions[row, t, tag].double() for t, tag in enumerate(tags))
    return {tags: score.detach() for tags, score in scores.items()}


cases = st.builds(
    make,
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    K=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([0.1, 1.0, 5.0, 300.0]),
    forbid=st.sampled_from([0.0, 0.3]),
    padding=st.integers(0, 1),
)


@settings(deadline=None, max_examples=100)
@given(cases)
def test_all_results_equal_those_by_enumeration(case):
    crf, emissions, lengths = case
    n = 4
    log_z, marginals = crf.log_partition(emissions, lengths), crf.marginals(emissions, lengths)
    best, (n_tags, n_scores) = crf.decode(emissions, lengths), crf.nbest(emissions, lengths, n)
    for row, length in enumerate(lengths.tolist()):
        scores = enumerate_row(case, row)
        if not scores:
            assert n_scores[row].eq(-torch.inf).all()
            continue
        values = torch.stack(list(scores.values()))
        close = {"rtol": 1e-5, "atol": 1e-4}
        torch.testing.assert_close(log_z[row].double(), values.logsumexp(0), **close)

        tags = torch.zeros_like(best)
        chosen = max(scores, key=scores.__getitem__)
        tags[row, :length] = torch.tensor(chosen)
        likelihood = crf(emissions, tags, lengths)[row]
        scale = values.abs().max().clamp(min=1)
        torch.testing.assert_close(likelihood.double() / scale, (values.max() - values.logsumexp(0)) / scale, **close)
        torch.testing.assert_close(scores[tuple(best[row, :length].tolist())], values.max(), **close)

        probability = values.softmax(0)
        expected = torch.zeros(emissions.shape[1:], dtype=torch.float64)
        for sequence, p in zip(scores, probability, strict=True):
            for t, tag in enumerate(sequence):
                expected[t, tag] += p
        torch.testing.assert_close(marginals[row].double(), expected, rtol=0, atol=3e-4)

        top = torch.sort(values, descending=True)[0][:n]
        exist = len(top)
        torch.testing.assert_close(n_scores[row, :exist].double() / scale, (top - values.logsumexp(0)) / scale, **close)
        found = [tuple(sequence[:length]) for sequence in n_tags[row].tolist()]
        torch.testing.assert_close(torch.stack([scores[f] for f in found[:exist]]), top, **close)
        assert len(set(found[:exist])) == exist
        assert n_scores[row, exist:].eq(-torch.inf).all()
        assert not n_tags[row, exist:].any()


def everything(crf: LinearChainCRF, emissions: Tensor, lengths: Tensor) -> list[Tensor]:
    """All results of a CRF, and its gradients; TIMED and ROWED say which axes they have."""
    emissions = emissions.clone().requires_grad_()
    real = torch.arange(emissions.shape[1]) < lengths[:, None]
    tags = torch.where(real, torch.arange(emissions.shape[1]) % crf.num_tags, -100)
    likelihood = crf(emissions, tags, lengths)
    crf.zero_grad()
    likelihood.sum().backward()
    n_tags, n_scores = crf.nbest(emissions, lengths, 3)
    answers = [likelihood, crf.decode(emissions, lengths), n_tags.transpose(1, 2), n_scores]
    answers += [crf.marginals(emissions, lengths), emissions.grad, *(p.grad for p in crf.parameters())]
    return [answer.detach() for answer in answers]


# Which results have a time axis.
TIMED = (1, 2, 4, 5)
# Which results have a row for each row of the batch.
ROWED = range(6)


@pytest.mark.parametrize("garbage", [0.0, 1e30, torch.nan, torch.inf, -torch.inf])
def test_padding_is_ignored_and_zero_in_every_result(garbage):
    case = make([3, 6, 1, 5], K=4, seed=1)
    real = torch.arange(9) < case.lengths[:, None]
    padded = torch.zeros(4, 9, 4)
    padded[:, :6] = case.emissions
    padded[~real] = garbage
    for i, (bare, more) in enumerate(zip(everything(*case), everything(case.crf, padded, case.lengths), strict=True)):
        if i in TIMED:
            assert not more[~real].any()
            more = more[:, :6]
        torch.testing.assert_close(bare, more, rtol=1e-5, atol=1e-5)


def test_rows_are_independent():
    crf, emissions, lengths = make([3, 6, 1, 5], K=4, seed=2)
    order = torch.tensor([2, 0, 3, 1])
    together, shuffled = (
        everything(crf, emissions, lengths),
        everything(crf, emissions[order], lengths[order]),
    )
    alone = [everything(crf, emissions[i : i + 1], lengths[i : i + 1]) for i in range(4)]
    for i in ROWED:
        torch.testing.assert_close(together[i][order], shuffled[i], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together[i], torch.cat([row[i] for row in alone]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [[4, 2, 1], [1]])
def test_gradients_are_right(sizes):
    case = make(sizes, K=3, seed=3)
    crf = case.crf.double()
    tags = torch.ones(len(sizes), max(sizes), dtype=torch.long)

    def run(emissions: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(("start", "end", "transition"), parameters, strict=True))
        return torch.func.functional_call(crf, named, (emissions, tags, case.lengths))

    assert run(case.emissions.double(), *crf.parameters()).dtype == torch.float64
    crf.legal_pairs.fill_(True)
    assert torch.autograd.gradcheck(run, (case.emissions.double().requires_grad_(), *crf.parameters()))


def test_forbidden_transitions_are_never_decoded():
    crf = LinearChainCRF(5, transitions(BMES, "BMES"))
    with torch.no_grad():
        crf.transition.fill_(-50.0)
        # Training may raise the score of a forbidden transition.
        crf.transition[~crf.legal_pairs] = 1e3
    legal = crf.legal_pairs
    generator = torch.Generator().manual_seed(4)
    lengths = torch.randint(1, 13, (64,), generator=generator)
    emissions = 1e6 * torch.randn(64, 12, 5, generator=generator)
    n_tags, n_scores = crf.nbest(emissions, lengths, 3)
    for tags in (crf.decode(emissions, lengths), n_tags[:, 0], n_tags[:, 1]):
        for row, length, score in zip(tags.tolist(), lengths.tolist(), n_scores[:, 1].tolist(), strict=True):
            if length > 1:
                assert score > -torch.inf
            assert crf.legal_start[row[0]] and crf.legal_end[row[length - 1]]
            assert all(legal[i, j] for i, j in pairwise(row))
    assert torch.isfinite(crf.log_partition(emissions, lengths)).all()


def test_only_legal_transitions_get_a_gradient():
    crf = LinearChainCRF(5, transitions(BMES, "BMES"))
    crf.log_partition(torch.zeros(2, 5, 5), torch.tensor([5, 3])).sum().backward()
    for name in ("start", "end"):
        assert torch.equal(getattr(crf, name).grad > 0, getattr(crf, f"legal_{name}"))
    assert torch.equal(crf.transition.grad > 0, crf.legal_pairs)


def test_an_illegal_gold_sequence_is_very_unlikely_but_finite():
    crf = LinearChainCRF(5, transitions(BMES, "BMES"))
    likelihood = crf(torch.zeros(1, 3, 5), torch.tensor([[3, 3, 2]]), torch.tensor([3]))
    likelihood.sum().backward()
    assert -torch.inf < likelihood.item() < -1e29
    assert all(torch.isfinite(parameter.grad).all() for parameter in crf.parameters())


def test_n_best_returns_all_sequences_if_fewer_are_legal():
    crf = LinearChainCRF(5, transitions(BMES, "BMES"))
    tags, scores = crf.nbest(torch.randn(2, 3, 5), torch.tensor([1, 2]), 20)
    assert tags.shape == (2, 20, 3)
    # These are O and S; OO, OS, SO, SS and BE.
    assert (scores > -torch.inf).sum(1).tolist() == [2, 5]
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2))


def test_half_precision_comes_out_as_float32():
    crf, emissions, lengths = make([5, 3], K=4, seed=6)
    expected = crf(emissions, torch.ones(2, 5, dtype=torch.long), lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = crf(emissions, torch.ones(2, 5, dtype=torch.long), lengths)
        rounded = crf.log_partition(emissions.bfloat16(), lengths)
    assert got.dtype == rounded.dtype == crf.marginals(emissions.bfloat16(), lengths).dtype == torch.float32
    assert torch.equal(got, expected)
    assert torch.equal(rounded, crf.log_partition(emissions.bfloat16().float(), lengths))
    assert crf.bfloat16().log_partition(emissions.bfloat16(), lengths).dtype == torch.float32


def test_a_new_crf_is_a_softmax_at_each_token():
    emissions, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
    marginals = LinearChainCRF(3).marginals(emissions, lengths)
    torch.testing.assert_close(marginals[0], emissions[0].softmax(1))
    torch.testing.assert_close(marginals[1, :2], emissions[1, :2].softmax(1))


def test_marginals_work_without_gradients():
    case = make([5, 3], K=4, seed=7)
    expected = case.crf.marginals(*case[1:])
    with torch.no_grad():
        assert torch.equal(case.crf.marginals(*case[1:]), expected)
    with torch.inference_mode():
        assert torch.equal(case.crf.marginals(case.emissions * 1, case.lengths * 1), expected)


def test_a_mismatch_of_tags_is_an_error():
    with pytest.raises(ValueError, match="6 tags"):
        LinearChainCRF(6, transitions(BMES, "BMES"))
    with pytest.raises(ValueError, match="5 tags.*2, 3, 4"):
        LinearChainCRF(5)(torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.long), torch.tensor([3, 2]))


def test_legal_transitions_are_not_in_the_checkpoint():
    assert set(LinearChainCRF(5, transitions(BMES, "BMES")).state_dict()) == {"start", "end", "transition"}
