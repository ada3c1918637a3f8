"""A second task for a tagger, learned from the same sentences: what stands beside each token (Rei 2017).

Shapes: B sentences, T tokens, H hidden units of a direction, E features of a word, V words, N predictions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.likelihood import token_log_probability
from zoo.masks import padding_mask


class NeighbourPrediction(nn.Module):
    """The forward direction says the next word, the backward one the previous word: each has not seen it.

    Words are scored by their own embedding (Inan et al. 2017), so that this task shapes it too.

    Args:
        hidden_size: H.
        num_words: V.
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
        scores = F.linear(torch.cat(said).tanh(), embedding, self.bias)  # (N, V)
        log_probability, _ = token_log_probability(scores, torch.cat(wanted))  # (N,)
        return -log_probability.sum() / max(1, len(log_probability))
