"""Attention: which positions of a source a decoder reads.

The keys of a source are computed once; each query then costs one product or one sum. Queries are the decoder's
outputs: those of all time steps of a row at once, or those of all hypotheses of a beam. The modules keep no state.

Shapes: B rows, S source positions, Q queries, M features of a source position, H features of a query, A features of the
attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.masks import masked_softmax


class AdditiveAttention(nn.Module):
    """softmax(v . tanh(W query + U source + w coverage)) (Bahdanau et al. 2015; coverage: See et al. 2017, eq. 11).

    Args:
        query_size: H.
        memory_size: M.
        size: A.
        coverage: whether it sees how much each position was attended to before. The weight of coverage starts at zero,
            so that it changes nothing until training uses it.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, *, coverage: bool = False):
        super().__init__()
        self.keys = nn.Linear(memory_size, size)
        self.query = nn.Linear(query_size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)
        self.coverage = nn.Parameter(torch.zeros(size)) if coverage else None

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, coverage: Tensor | None = None) -> Tensor:
        """The attention weights.

        Args:
            query: `(B, Q, H)`.
            keys: `(B, S, A)`, from `self.keys(memory)`.
            mask: `(B, S)`, True at real positions.
            coverage: `(B, Q, S)` or `(B, 1, S)`, the sum of the weights so far; only for an attention made with
                `coverage=True`, which requires it.

        Returns:
            `(B, Q, S)` in fp32; they sum to 1 over the real positions of a source.

        Raises:
            ZooError: the coverage is missing.
        """
        features = keys[:, None]  # (B, 1, S, A)
        if self.coverage is not None:
            if coverage is None:
                raise ZooError("this attention was made with coverage=True: give it the coverage (B, Q, S)")
            features = features + coverage[..., None].to(keys.dtype) * self.coverage.to(keys.dtype)
        features = torch.tanh(self.query(query)[:, :, None] + features)  # (B, Q, S, A)
        return masked_softmax(self.score(features).squeeze(-1), mask[:, None])

    def extra_repr(self) -> str:
        return f"coverage={self.coverage is not None}"


class MultiplicativeAttention(nn.Module):
    """softmax(query . W source), the "general" form of Luong et al. (2015).

    Args:
        query_size: H, also the size of the keys.
        memory_size: M.
    """

    def __init__(self, query_size: int, memory_size: int):
        super().__init__()
        self.keys = nn.Linear(memory_size, query_size, bias=False)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """As in `AdditiveAttention`: `(B, Q, H)`, keys `(B, S, H)` and mask `(B, S)` -> `(B, Q, S)`."""
        return masked_softmax(query @ keys.transpose(1, 2), mask[:, None])
