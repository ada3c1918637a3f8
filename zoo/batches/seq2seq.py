"""Batches of pairs of a source text and its target text.

Shapes: B pairs, S source positions, T target positions (the end included).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.batches.indexers import PairIndexer


class Pair(NamedTuple):
    """A source text and its target text."""

    source: str
    target: str


class Seq2SeqInputs(NamedTuple):
    """Right-padded sources.

    In `copy_ids`, the ids after those of the target vocabulary stand for the `unknown` pieces of the row.
    """

    source_ids: Tensor  # (B, S) in the source vocabulary
    source_lengths: Tensor  # (B,)
    vector_ids: Tensor  # (B, S) positions in the table of imported vectors
    copy_ids: Tensor  # (B, S) in the extended target vocabulary
    unknown: list[list[str]]  # for each row, the pieces of its source that are not in the target vocabulary

    @property
    def extra(self) -> int:
        """The number of ids that the extended vocabulary adds to the target vocabulary."""
        return max(len(pieces) for pieces in self.unknown)


class Seq2SeqBatch(NamedTuple):
    """Right-padded pairs."""

    inputs: Seq2SeqInputs
    target_ids: Tensor  # (B, T) in the extended target vocabulary; the last id of a target is the end
    target_lengths: Tensor  # (B,)
    rows: Tensor  # (B,) positions of the pairs in their split
    pairs: list[Pair]

    @property
    def num_tokens(self) -> Tensor:
        """The number of target tokens as a tensor: to read its value would make the host wait for a GPU."""
        return self.target_lengths.sum()


class Sources:
    """Source texts as tensors, so that `inputs(rows)` takes only a few indexing operations.

    Args:
        texts: source texts that are not empty.
        indexer: turns texts into ids.

    Attributes:
        lengths: the number of pieces of each text.
        cut: the number of texts that are longer than the indexer's `max_source`.
        empty: the number of texts that consist of stop words only.
    """

    def __init__(self, texts: Sequence[str], indexer: PairIndexer):
        pieces = [indexer.source_tokenizer.split(text) for text in texts]
        self.ids = [indexer.source_ids(split[: indexer.max_source]) for split in pieces]
        self.lengths = [len(source.ids) for source in self.ids]
        self.cut = sum(len(split) > indexer.max_source for split in pieces)
        self.empty = sum(not split for split in pieces)

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self, rows: Sequence[int]) -> Seq2SeqInputs:
        """The texts at `rows`, in that order, padded to the longest of them."""
        chosen = [self.ids[row] for row in rows]
        return Seq2SeqInputs(
            source_ids=pad_sequence([source.ids for source in chosen], batch_first=True),
            source_lengths=torch.tensor([self.lengths[row] for row in rows]),
            vector_ids=pad_sequence([source.vector_ids for source in chosen], batch_first=True),
            copy_ids=pad_sequence([source.copy_ids for source in chosen], batch_first=True),
            unknown=[source.unknown for source in chosen],
        )


class Seq2SeqDataset:
    """A whole split as tensors, so that `batch(rows)` takes only a few indexing operations.

    Args:
        pairs: pairs of texts that are not empty.
        indexer: turns texts into ids.

    Attributes:
        sources: the source texts.
        lengths: the numbers of source and target pieces of each pair.
        cut: the number of targets that are longer than the indexer's `max_target`.
    """

    def __init__(self, pairs: Sequence[Pair], indexer: PairIndexer):
        self.pairs = list(pairs)
        self.sources = Sources([pair.source for pair in pairs], indexer)
        pieces = [indexer.target_tokenizer.split(pair.target) for pair in pairs]
        self.target_ids = [
            indexer.target_ids(split[: indexer.max_target], source.unknown)
            for split, source in zip(pieces, self.sources.ids, strict=True)
        ]
        self.lengths = [
            (length, len(target)) for length, target in zip(self.sources.lengths, self.target_ids, strict=True)
        ]
        self.cut = sum(len(split) > indexer.max_target for split in pieces)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> Seq2SeqBatch:
        """The pairs at `rows`, in that order, padded to the longest of them."""
        targets = [self.target_ids[row] for row in rows]
        return Seq2SeqBatch(
            self.sources.inputs(rows),
            target_ids=pad_sequence(targets, batch_first=True),
            target_lengths=torch.tensor([len(target) for target in targets]),
            rows=torch.tensor(rows),
            pairs=[self.pairs[row] for row in rows],
        )
