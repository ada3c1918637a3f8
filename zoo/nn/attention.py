"""Attention: which positions of a source a decoder reads. Everything is passed in, nothing is kept.

A source is turned into `keys` once; each question put to it then costs one product or one sum. Questions are
the decoder's outputs: those of all time steps of a row at once, or those of all hypotheses of a beam.

Shapes: B rows, S source positions, Q questions, M features of a source position, H of a question, A of the
attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.masks import masked_softmax


class AdditiveAttention(nn.Module):
    """v . tanh(W question + U source + w coverage) (Bahdanau et al. 2015; coverage: See et al. 2017, equation 11).

    Args:
        query_size: H.
        memory_size: M.
        size: A.
        coverage: whether it can be told how much each position was attended to before. Its weight starts at
            zero: until training has used it, coverage changes nothing.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, *, coverage: bool = False):
        super().__init__()
        self.keys = nn.Linear(memory_size, size)
        self.query = nn.Linear(query_size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)
        self.coverage = nn.Parameter(torch.zeros(size)) if coverage else None

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, coverage: Tensor | None = None) -> Tensor:
        """Weights `(B, Q, S)` that sum to one over the real positions of a source.

        Args:
            query: `(B, Q, H)`.
            keys: `(B, S, A)`, of `self.keys(memory)`.
            mask: `(B, S)`, True at real positions.
            coverage: `(B, Q, S)` or `(B, 1, S)`, the sum of the weights so far; needed where there is coverage.
        """
        features = keys[:, None]  # (B, 1, S, A)
        if self.coverage is not None:
            features = features + coverage[..., None].to(keys.dtype) * self.coverage.to(keys.dtype)
        features = torch.tanh(self.query(query)[:, :, None] + features)  # (B, Q, S, A)
        return masked_softmax(self.score(features).squeeze(-1), mask[:, None])


class MultiplicativeAttention(nn.Module):
    """question . W source, in the "general" form of Luong et al. (2015).

    Args:
        query_size: H, also the size of the keys.
        memory_size: M.
    """

    def __init__(self, query_size: int, memory_size: int):
        super().__init__()
        self.keys = nn.Linear(memory_size, query_size, bias=False)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """As in `AdditiveAttention`: `(B, Q, H)` and keys `(B, S, H)` -> `(B, Q, S)`."""
        return masked_softmax(query @ keys.transpose(1, 2), mask[:, None])
