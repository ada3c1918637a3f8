"""Batches of texts with labels.

Shapes: B texts, T tokens, N texts of a split, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from zoo.batches.indexers import WordIndexer
from zoo.batches.ragged import Integers, Ragged, Rows, offsets_of, pad, row_tensor


class ClassificationInputs(NamedTuple):
    """Right-padded texts."""

    word_ids: Tensor  # (B, T)
    vector_ids: Tensor  # (B, T) rows in the table of imported vectors
    lengths: Tensor  # (B,) in tokens; 0 for an empty text

    @property
    def num_rows(self) -> int:
        return len(self.lengths)

    def part(self, rows: slice) -> Self:
        return type(self)(self.word_ids[rows], self.vector_ids[rows], self.lengths[rows])


class ClassificationBatch(NamedTuple):
    """Right-padded texts and their labels."""

    inputs: ClassificationInputs
    gold: Tensor  # (B,) label ids; if a text may have several labels (B, K), 1 for each label that it has
    rows: Tensor  # (B,) positions of the texts in their split

    @property
    def num_tokens(self) -> Tensor:
        """The number of tokens as a tensor: to read its value would make the host wait for a GPU."""
        return self.inputs.lengths.sum()

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def part(self, rows: slice) -> Self:
        return self._replace(inputs=self.inputs.part(rows), gold=self.gold[rows], rows=self.rows[rows])


class Texts:
    """Texts as flat arrays, so that `inputs(rows)` takes only a few indexing operations.

    Args:
        word_ids: the ids of each text's tokens.
        vector_ids: their positions in the table of imported vectors; None without imported vectors.

    Attributes:
        lengths: the number of time steps of each text in a batch `(N,)`: its tokens, but at least 1.
    """

    def __init__(self, word_ids: Ragged, vector_ids: Ragged | None = None):
        self.word_ids = word_ids
        self.vector_ids = vector_ids
        self.lengths = word_ids.lengths.clip(1)

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]], indexer: WordIndexer) -> Self:
        """Encodes the tokens of each text."""
        offsets = offsets_of(np.array(list(map(len, texts)), dtype=np.int64))
        word_ids, vector_ids = (ids.numpy().astype(np.int32) for ids in indexer.ids([*chain.from_iterable(texts)]))
        return cls(Ragged(word_ids, offsets), Ragged(vector_ids, offsets) if indexer.vectors else None)

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self, rows: Rows) -> ClassificationInputs:
        """The texts at `rows`, in that order, padded to the longest of them."""
        taken = self.word_ids.take(rows)
        word_ids = pad(taken.values, taken.lengths, min_steps=1)
        vectors = self.vector_ids
        return ClassificationInputs(
            word_ids=word_ids,
            vector_ids=torch.zeros_like(word_ids) if vectors is None else vectors.padded(rows, min_steps=1),
            lengths=torch.from_numpy(taken.lengths),
        )


class ClassificationDataset:
    """A whole split as flat arrays: texts and their labels.

    Args:
        texts: the texts.
        gold: label ids `(N,)`; if a text may have several labels `(N, K)`, 1 for each label that it has.

    Attributes:
        lengths: the number of time steps of each text in a batch `(N,)`.
    """

    def __init__(self, texts: Texts, gold: Integers):
        self.texts = texts
        self.gold = gold
        self.lengths = texts.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Rows) -> ClassificationBatch:
        """The texts at `rows` with their labels, in that order, padded to the longest of them."""
        gold = torch.from_numpy(self.gold[rows])
        gold = gold.long() if gold.dim() == 1 else gold.float()
        return ClassificationBatch(self.texts.inputs(rows), gold, rows=row_tensor(rows))
