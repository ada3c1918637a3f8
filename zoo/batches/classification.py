"""Batches of texts with labels.

Shapes: B texts, T tokens, N texts of a split, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.batches.indexers import WordIndexer, integers
from zoo.masks import padding_mask
from zoo.text import PAD


class ClassificationBatch(NamedTuple):
    """Right-padded texts."""

    word_ids: Tensor  # (B, T)
    vector_ids: Tensor  # (B, T) rows in the table of imported vectors
    lengths: Tensor  # (B,) in tokens; 0 for an empty text
    rows: Tensor  # (B,) where in their split the texts are
    labels: Tensor | None = None  # (B,) label ids; with several labels a text (B, K), 1 for those it has

    @property
    def num_tokens(self) -> Tensor:
        """Tokens of the batch, without reading a value, which would stall a GPU."""
        return self.lengths.sum()


class ClassificationDataset:
    """A whole split as flat tensors; `batch(rows)` is a few indexing operations.

    Args:
        texts: tokens of each text.
        indexer: makes their ids.
        labels: `(N,)` or, with several labels a text, `(N, K)`; None where they are to be predicted.

    Attributes:
        lengths: how many steps of a batch each text takes: its tokens, but one at least.
    """

    def __init__(self, texts: Sequence[Sequence[str]], indexer: WordIndexer, labels: Tensor | None = None):
        self.lengths = [max(1, len(text)) for text in texts]
        self.word_ids, self.vector_ids = indexer.ids([*chain.from_iterable(texts), PAD])  # one text after the other
        self.labels = labels
        self._lengths = integers([len(text) for text in texts])
        self._starts = self._lengths.cumsum(0) - self._lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> ClassificationBatch:
        """The texts at `rows`, in that order, padded to the longest of them."""
        at = torch.tensor(rows)
        lengths = self._lengths[at]
        steps = max(self.lengths[row] for row in rows)
        real = padding_mask(lengths, steps)  # (B, T)
        places = (self._starts[at][:, None] + torch.arange(steps)) * real  # (B, T)
        return ClassificationBatch(
            word_ids=self.word_ids[places] * real,
            vector_ids=self.vector_ids[places] * real,
            lengths=lengths,
            rows=at,
            labels=None if self.labels is None else self.labels[at],
        )
