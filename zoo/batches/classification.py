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
    gold: Tensor  # (B,) label ids; if a text may have several labels (B, K), 1 for each label that it has
    rows: Tensor  # (B,) positions of the texts in their split

    @property
    def num_tokens(self) -> Tensor:
        """The number of tokens as a tensor: to read its value would make the host wait for a GPU."""
        return self.inputs.lengths.sum()


class Texts:
    """Texts as flat tensors, so that `inputs(rows)` takes only a few indexing operations.

    Args:
        texts: the tokens of each text.
        indexer: turns tokens into ids.

    Attributes:
        lengths: the number of time steps of each text in a batch: its tokens, but at least 1.
    """

    def __init__(self, texts: Sequence[Sequence[str]], indexer: WordIndexer):
        self.lengths = [max(1, len(text)) for text in texts]
        # The texts are concatenated. If the last text is empty, it starts at the padding id at the end.
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
        texts: the tokens of each text.
        indexer: turns tokens into ids.
        gold: label ids `(N,)`; if a text may have several labels `(N, K)`, 1 for each label that it has.
    """

    def __init__(self, texts: Sequence[Sequence[str]], indexer: WordIndexer, gold: Tensor):
        super().__init__(texts, indexer)
        self.gold = gold

    def batch(self, rows: Sequence[int]) -> ClassificationBatch:
        """The texts at `rows` with their labels, in that order, padded to the longest of them."""
        at = torch.tensor(rows)
        return ClassificationBatch(self.inputs(rows), self.gold[at], rows=at)
