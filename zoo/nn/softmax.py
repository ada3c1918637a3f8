"""Output layers of language models: a softmax over all words, and an adaptive one for large vocabularies.

Shapes: N positions, H features of a position, E features of an embedding, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.losses import token_log_probability


class OutputLayer(Protocol):
    """The distribution over the next word. It is an `nn.Module` too."""

    def target_log_probability(self, features: Tensor, target_ids: Tensor, embedding: Tensor) -> Tensor:
        """The log-probability of each target in nats, in fp32 or better.

        Args:
            features: `(N, H)`.
            target_ids: `(N,)`.
            embedding: `(V, E)`, the word embedding, which tied layers use as their weights.

        Returns:
            `(N,)`.
        """

    def log_probabilities(self, features: Tensor, embedding: Tensor) -> Tensor:
        """The log-probabilities of all words in nats, in fp32 or better: `(N, H)` -> `(N, V)`."""


class Softmax(nn.Module):
    """A softmax over all words, whose weights may be the word embedding (Inan et al. 2017, Press & Wolf 2017).

    Args:
        features: H.
        num_words: V.
        word_size: E. If it differs from H, a linear layer comes before tied weights.
        tied: whether the weights are the word embedding.
    """

    def __init__(self, features: int, num_words: int, word_size: int, *, tied: bool):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(num_words))
        self.project = nn.Linear(features, word_size) if tied and features != word_size else None
        self.weight = None if tied else nn.Parameter(torch.empty(num_words, features).normal_(std=features**-0.5))

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """The scores of all words before the softmax: `(N, H)` -> `(N, V)`."""
        if self.project is not None:
            features = self.project(features)
        return F.linear(features, embedding if self.weight is None else self.weight, self.bias)

    def target_log_probability(self, features: Tensor, target_ids: Tensor, embedding: Tensor) -> Tensor:
        """See `OutputLayer`."""
        log_probability, _ = token_log_probability(self(features, embedding), target_ids)
        return log_probability

    def log_probabilities(self, features: Tensor, embedding: Tensor) -> Tensor:
        """See `OutputLayer`."""
        return at_least_fp32(self(features, embedding)).log_softmax(-1)

    def extra_repr(self) -> str:
        return f"num_words={len(self.bias)}, tied={self.weight is None}"


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    """torch's adaptive softmax (Grave et al. 2017): frequent words in full, clusters of rarer ones with less features.

    Args:
        features: H.
        num_words: V; the most frequent words have the lowest ids.
        cutoffs: where each cluster begins, ascending.

    Raises:
        ZooError: the cutoffs are not ascending numbers between 0 and V.
    """

    def __init__(self, features: int, num_words: int, cutoffs: Sequence[int]):
        ascending = list(cutoffs) == sorted(set(cutoffs))
        if not ascending or not all(0 < cutoff < num_words for cutoff in cutoffs):
            raise ZooError(
                f"expected ascending cutoffs between 0 and the {num_words} words of the vocabulary, got "
                f"{', '.join(map(str, cutoffs))}"
            )
        super().__init__(features, num_words, list(cutoffs), head_bias=True)

    def target_log_probability(self, features: Tensor, target_ids: Tensor, embedding: Tensor) -> Tensor:
        """See `OutputLayer`."""
        with torch.autocast(features.device.type, enabled=False):
            log_probability: Tensor = self(at_least_fp32(features), target_ids).output
        return log_probability

    def log_probabilities(self, features: Tensor, embedding: Tensor) -> Tensor:
        """See `OutputLayer`."""
        with torch.autocast(features.device.type, enabled=False):
            return self.log_prob(at_least_fp32(features))
