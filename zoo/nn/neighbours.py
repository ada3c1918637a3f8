"""A second task for a tagger, learned from the same sentences: what stands beside each token (Rei 2017).

Shapes: B sentences, T tokens, H hidden units of a direction, E features of a word, V words, N predictions, C of the
words that are scored.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.masks import padding_mask
from zoo.nn.losses import token_log_probability

SCORED_IN_FULL = 4000  # words: of more, a prediction is compared with a sample
FREQUENT = 500  # words that are in every sample


class NeighbourPrediction(nn.Module):
    """The forward direction says the next word, the backward one the previous word: each has not seen it.

    Words are scored by their own embedding (Inan et al. 2017), so that this task shapes it too. To score all words of a
    large vocabulary would take most of a training's time. There the scores of a sample stand for those of all
    (importance sampling, Bengio & Senécal 2008): a batch draws each word by its own chance, and what a drawn word adds
    to the softmax's sum is divided by its chance, so that the sum is right on average.

    Args:
        hidden_size: H.
        num_words: V; the most frequent words come first.
        word_size: E.
        bidirectional: whether there is a backward direction.
    """

    def __init__(self, hidden_size: int, num_words: int, word_size: int, *, bidirectional: bool):
        super().__init__()
        self.next = nn.Linear(hidden_size, word_size)
        self.previous = nn.Linear(hidden_size, word_size) if bidirectional else None
        self.bias = nn.Parameter(torch.zeros(num_words))

    def forward(self, sequence: Tensor, words: Tensor, lengths: Tensor, embedding: Tensor) -> Tensor:
        """Mean negative log-likelihood of a neighbour; 0 where no sentence has two tokens.

        Args:
            sequence: `(B, T, D * H)`, of one recurrent layer.
            words: `(B, T)`, ids.
            lengths: `(B,)`.
            embedding: `(V, E)`, of the words.
        """
        real = padding_mask(lengths, words.shape[1])[:, 1:]  # (B, T - 1): a pair of neighbours
        forward, *backward = sequence.split(self.next.in_features, dim=-1)  # (B, T, H) each
        said, wanted = [self.next(forward[:, :-1][real])], [words[:, 1:][real]]
        if self.previous is not None:
            said.append(self.previous(backward[0][:, 1:][real]))
            wanted.append(words[:, :-1][real])
        log_probability = self._log_probability(torch.cat(said).tanh(), torch.cat(wanted), embedding)  # (N,)
        return -log_probability.sum() / max(1, len(log_probability))

    def _log_probability(self, said: Tensor, wanted: Tensor, embedding: Tensor) -> Tensor:
        """Of the words `wanted (N,)`, by what is `said (N, E)` -> `(N,)`."""
        bias = self.bias
        if len(bias) > SCORED_IN_FULL:
            ranks = torch.arange(1, len(bias) + 1, device=bias.device)
            chances = (FREQUENT / ranks).clamp(max=1.0)  # (V,) of being drawn
            chances[wanted] = 1.0  # the words of the batch are always there
            candidates = (torch.rand_like(chances) < chances).nonzero().squeeze(1)  # (C,), ascending
            embedding = embedding[candidates]  # (C, E)
            bias = bias[candidates] - chances[candidates].log()  # (C,)
            wanted = torch.searchsorted(candidates, wanted)
        scores = F.linear(said, embedding, bias)  # (N, V), or (N, C)
        return token_log_probability(scores, wanted)[0]
