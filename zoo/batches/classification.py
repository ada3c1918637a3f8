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


class ClassificationInputs(NamedTuple):
    """Right-padded texts."""

    word_ids: Tensor  # (B, T)
    vector_ids: Tensor  # (B, T) rows in the table of imported vectors
    lengths: Tensor  # (B,) in tokens; 0 for an empty text


class ClassificationBatch(NamedTuple):
    """Right-padded texts and their labels."""

    inputs: ClassificationInputs
    gold: Tensor  # (B,) label ids; with several labels a text (B, K), 1 for those it has
    rows: Tensor  # (B,) where in their split the texts are

    @property
    def num_tokens(self) -> Tensor:
        """Tokens of the batch, without reading a value, which would stall a GPU."""
        return self.inputs.lengths.sum()


class Texts:
    """Texts as flat tensors; `inputs(rows)` is a few indexing operations.

    Args:
        texts: tokens of each text.
        indexer: makes their ids.

    Attributes:
        lengths: how many steps of a batch each text takes: one for each token, and one for a text without any.
    """

    def __init__(self, texts: Sequence[Sequence[str]], indexer: WordIndexer):
        self.lengths = [max(1, len(text)) for text in texts]
        # One text after the other. The last id is padding, which an empty text at the end would begin at.
        self.word_ids, self.vector_ids = indexer.ids([*chain.from_iterable(texts), PAD])
        self._num_tokens = integers([len(text) for text in texts])  # (N,)
        self._starts = self._num_tokens.cumsum(0) - self._num_tokens  # (N,)

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self, rows: Sequence[int]) -> ClassificationInputs:
        """The texts at `rows`, in that order, padded to the longest of them."""
        at = torch.tensor(rows)
        lengths = self._num_tokens[at]
        steps = max(self.lengths[row] for row in rows)
        real = padding_mask(lengths, steps)  # (B, T)
        places = (self._starts[at][:, None] + torch.arange(steps)) * real  # (B, T)
        return ClassificationInputs(
            word_ids=self.word_ids[places] * real,
            vector_ids=self.vector_ids[places] * real,
            lengths=lengths,
        )


class ClassificationDataset(Texts):
    """A whole split as tensors: texts and their labels.

    Args:
        texts: tokens of each text.
        indexer: makes their ids.
        gold: label ids `(N,)`; with several labels a text `(N, K)`, 1 for those it has.
    """

    def __init__(self, texts: Sequence[Sequence[str]], indexer: WordIndexer, gold: Tensor):
        super().__init__(texts, indexer)
        self.gold = gold

    def batch(self, rows: Sequence[int]) -> ClassificationBatch:
        """The texts at `rows` with their labels, in that order, padded to the longest of them."""
        at = torch.tensor(rows)
        return ClassificationBatch(self.inputs(rows), self.gold[at], rows=at)
