"""Batches of pairs: texts and what should become of them.

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
    """A text and what should become of it."""

    source: str
    target: str


class Seq2SeqBatch(NamedTuple):
    """Right-padded pairs.

    In `copy_ids` and `target_ids`, ids behind the target vocabulary are those of a row's `unknown` pieces.
    """

    source_ids: Tensor  # (B, S) in the source vocabulary
    source_lengths: Tensor  # (B,)
    vector_ids: Tensor  # (B, S) rows of the same pieces in the table of imported vectors
    copy_ids: Tensor  # (B, S) the same pieces in the extended target vocabulary
    unknown: list[list[str]]  # for each row the pieces that its copies have and the vocabulary has not
    target_ids: Tensor | None = None  # (B, T), the end last
    target_lengths: Tensor | None = None  # (B,)
    rows: Tensor | None = None  # (B,) where in their split the pairs are
    pairs: list[Pair] | None = None

    @property
    def num_tokens(self) -> Tensor:
        """Tokens of the targets, without reading a value, which would stall a GPU."""
        return self.target_lengths.sum()

    @property
    def extra(self) -> int:
        """Ids that the extended vocabulary has more than the vocabulary."""
        return max(len(pieces) for pieces in self.unknown)


class Seq2SeqDataset:
    """Pairs as tensors; `batch(rows)` is a few indexing operations.

    Args:
        sources: texts to read, none empty.
        indexer: makes their ids.
        targets: what should become of them, or None where that is to be predicted.

    Attributes:
        lengths: of each pair, its source's and its target's; of the source alone where there are no targets.
        cut: how many sources, and how many targets, were longer than the indexer's maximum.
        empty: how many sources had nothing but stop words.
    """

    def __init__(self, sources: Sequence[str], indexer: PairIndexer, targets: Sequence[str] | None = None):
        self.indexer = indexer
        split = [indexer.source.split(text) for text in sources]
        self._sources = [indexer.encode_source(pieces[: indexer.max_source]) for pieces in split]
        self.lengths: list[tuple[int, ...]] = [(len(source.ids),) for source in self._sources]
        self.empty = sum(not pieces for pieces in split)
        self.cut = [sum(len(pieces) > indexer.max_source for pieces in split)]
        self._pairs = self._targets = None
        if targets is not None:
            split = [indexer.target.split(text) for text in targets]
            self._pairs = [Pair(*texts) for texts in zip(sources, targets, strict=True)]
            self._targets = [
                indexer.encode_target(pieces[: indexer.max_target], source.unknown)
                for pieces, source in zip(split, self._sources, strict=True)
            ]
            self.lengths = [(n, len(ids)) for (n,), ids in zip(self.lengths, self._targets, strict=True)]
            self.cut.append(sum(len(pieces) > indexer.max_target for pieces in split))

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> Seq2SeqBatch:
        """The pairs at `rows`, in that order, padded to the longest of them."""
        source, vectors, copies, unknown = zip(*(self._sources[row] for row in rows), strict=True)
        batch = Seq2SeqBatch(
            source_ids=pad_sequence(source, batch_first=True),
            source_lengths=torch.tensor([len(ids) for ids in source]),
            vector_ids=pad_sequence(vectors, batch_first=True),
            copy_ids=pad_sequence(copies, batch_first=True),
            unknown=list(unknown),
        )
        if self._targets is None:
            return batch
        target = [self._targets[row] for row in rows]
        return batch._replace(
            target_ids=pad_sequence(target, batch_first=True),
            target_lengths=torch.tensor([len(ids) for ids in target]),
            rows=torch.tensor(rows),
            pairs=[self._pairs[row] for row in rows],
        )
