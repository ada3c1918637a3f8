"""Output layers of language models."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from zoo.errors import ZooError
from zoo.nn.softmax import AdaptiveSoftmax, Softmax

WORDS, FEATURES = 11, 6


def layers() -> list[torch.nn.Module]:
    torch.manual_seed(0)
    return [
        Softmax(FEATURES, WORDS, FEATURES, tied=True),
        Softmax(FEATURES, WORDS, 4, tied=True),
        Softmax(FEATURES, WORDS, 4, tied=False),
        AdaptiveSoftmax(FEATURES, WORDS, [3, 7]),
    ]


@pytest.mark.parametrize("layer", layers(), ids=["tied", "projected", "untied", "adaptive"])
def test_an_output_layer_is_a_distribution_whose_targets_agree(layer):
    size = FEATURES if getattr(layer, "project", None) is None else 4
    embedding = torch.randn(WORDS, size)
    features, targets = torch.randn(5, FEATURES), torch.tensor([0, 3, 5, 8, 10])
    log_probabilities = layer.log_probabilities(features, embedding)
    assert_close(log_probabilities.exp().sum(-1), torch.ones(5))
    expected = log_probabilities.gather(1, targets[:, None]).squeeze(1)
    assert_close(layer.target_log_probability(features, targets, embedding), expected)


def test_a_tied_softmax_scores_by_the_embedding_and_trains_it():
    layer = Softmax(FEATURES, WORDS, FEATURES, tied=True)
    embedding = torch.randn(WORDS, FEATURES, requires_grad=True)
    features, targets = torch.randn(5, FEATURES), torch.tensor([0, 3, 5, 8, 10])
    loss = -layer.target_log_probability(features, targets, embedding).mean()
    assert_close(loss, F.cross_entropy(features @ embedding.T, targets))
    loss.backward()
    assert embedding.grad.abs().sum() > 0
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


@pytest.mark.parametrize("cutoffs", [[5, 3], [0, 3], [3, 11], [3, 3]])
def test_wrong_cutoffs_are_refused(cutoffs):
    with pytest.raises(ZooError, match="ascending cutoffs between 0 and the 11 words"):
        AdaptiveSoftmax(FEATURES, WORDS, cutoffs)
