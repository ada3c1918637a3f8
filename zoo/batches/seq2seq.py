"""Batches of pairs of a source text and its target text.

Shapes: B pairs, S source positions, T target positions (the end included).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from zoo.batches.indexers import PairIndexer
from zoo.batches.ragged import Ragged, Rows, StringLists, pad, row_tensor
from zoo.errors import ZooError


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

    @property
    def num_rows(self) -> int:
        return len(self.source_lengths)

    def part(self, rows: slice) -> Self:
        return self._replace(
            source_ids=self.source_ids[rows],
            source_lengths=self.source_lengths[rows],
            vector_ids=self.vector_ids[rows],
            copy_ids=self.copy_ids[rows],
            unknown=self.unknown[rows],
        )


class Seq2SeqBatch(NamedTuple):
    """Right-padded pairs."""

    inputs: Seq2SeqInputs
    target_ids: Tensor  # (B, T) in the extended target vocabulary; the last id of a target is the end
    target_lengths: Tensor  # (B,)
    rows: Tensor  # (B,) positions of the pairs in their split
    pairs: list[Pair] | None  # the texts; None in a training

    @property
    def num_tokens(self) -> Tensor:
        """The number of target tokens as a tensor: to read its value would make the host wait for a GPU."""
        return self.target_lengths.sum()

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def known_pairs(self) -> list[Pair]:
        """The texts.

        Raises:
            ZooError: the batch belongs to a training.
        """
        if self.pairs is None:
            raise ZooError(
                "expected batches with their texts, to score what is written, got those of a split to train on: score "
                "on another one, or give the file of this one as dev"
            )
        return self.pairs

    def part(self, rows: slice) -> Self:
        return self._replace(
            inputs=self.inputs.part(rows),
            target_ids=self.target_ids[rows],
            target_lengths=self.target_lengths[rows],
            rows=self.rows[rows],
            pairs=None if self.pairs is None else self.pairs[rows],
        )


class Sources:
    """Source texts as flat arrays, so that `inputs(rows)` takes only a few indexing operations.

    Args:
        ids: the ids of each text's pieces in the source vocabulary.
        copy_ids: their ids in the extended target vocabulary.
        vector_ids: their positions in the table of imported vectors; None without imported vectors.
        unknown: the pieces of each text that the target vocabulary lacks.
        cut: the number of texts that are longer than the indexer's `max_source`.
        empty: the number of texts that consist of stop words only.

    Attributes:
        lengths: the number of pieces of each text `(N,)`.
    """

    def __init__(
        self,
        ids: Ragged,
        copy_ids: Ragged,
        vector_ids: Ragged | None,
        unknown: StringLists,
        *,
        cut: int = 0,
        empty: int = 0,
    ):
        self.ids = ids
        self.copy_ids = copy_ids
        self.vector_ids = vector_ids
        self.unknown = unknown
        self.cut = cut
        self.empty = empty
        self.lengths = ids.lengths

    @classmethod
    def of(cls, texts: Iterable[str], indexer: PairIndexer) -> Self:
        """Encodes texts that are not empty."""
        return cls.of_pieces(list(map(indexer.source_tokenizer.split, texts)), indexer)

    @classmethod
    def of_pieces(cls, pieces: Sequence[list[str]], indexer: PairIndexer) -> Self:
        """Encodes the pieces of each text."""
        encoded = [indexer.source_ids(of_text[: indexer.max_source]) for of_text in pieces]
        return cls(
            Ragged.of([source.ids for source in encoded]),
            Ragged.of([source.copy_ids for source in encoded]),
            Ragged.of([source.vector_ids for source in encoded]) if indexer.vectors else None,
            StringLists.of([source.unknown for source in encoded]),
            cut=sum(len(of_text) > indexer.max_source for of_text in pieces),
            empty=sum(not of_text for of_text in pieces),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self, rows: Rows) -> Seq2SeqInputs:
        """The texts at `rows`, in that order, padded to the longest of them."""
        taken = self.ids.take(rows)
        source_ids = pad(taken.values, taken.lengths)
        return Seq2SeqInputs(
            source_ids=source_ids,
            source_lengths=torch.from_numpy(taken.lengths),
            vector_ids=torch.zeros_like(source_ids) if self.vector_ids is None else self.vector_ids.padded(rows),
            copy_ids=self.copy_ids.padded(rows),
            unknown=self.unknown.take(rows),
        )


class Seq2SeqDataset:
    """A whole split as flat arrays, so that `batch(rows)` takes only a few indexing operations.

    Args:
        sources: the source texts.
        target_ids: the ids of each target's pieces, the end last.
        pairs: the texts; None for a split that is trained on, which needs none.
        cut: the number of targets that are longer than the indexer's `max_target`.

    Attributes:
        lengths: the numbers of source and target pieces of each pair `(N, 2)`.
    """

    def __init__(self, sources: Sources, target_ids: Ragged, pairs: Sequence[Pair] | None, *, cut: int = 0):
        self.sources = sources
        self.target_ids = target_ids
        self.pairs = pairs
        self.cut = cut
        self.lengths = np.stack([sources.lengths, target_ids.lengths], axis=1)

    @classmethod
    def of(cls, pairs: Sequence[Pair], indexer: PairIndexer, *, with_texts: bool) -> Self:
        """Encodes pairs of texts that are not empty; `with_texts` says whether the texts are kept too."""
        sources = [indexer.source_tokenizer.split(pair.source) for pair in pairs]
        targets = [indexer.target_tokenizer.split(pair.target) for pair in pairs]
        return cls.of_pieces(sources, targets, indexer, pairs if with_texts else None)

    @classmethod
    def of_pieces(
        cls,
        sources: Sequence[list[str]],
        targets: Sequence[list[str]],
        indexer: PairIndexer,
        pairs: Sequence[Pair] | None = None,
    ) -> Self:
        """Encodes the pieces of each source and target; `pairs` are the texts, if they are kept too."""
        encoded = Sources.of_pieces(sources, indexer)
        target_ids = [
            indexer.target_ids(pieces[: indexer.max_target], unknown)
            for pieces, unknown in zip(targets, encoded.unknown.take(range(len(targets))), strict=True)
        ]
        cut = sum(len(pieces) > indexer.max_target for pieces in targets)
        return cls(encoded, Ragged.of(target_ids), pairs, cut=cut)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Rows) -> Seq2SeqBatch:
        """The pairs at `rows`, in that order, padded to the longest of them."""
        targets = self.target_ids.take(rows)
        return Seq2SeqBatch(
            self.sources.inputs(rows),
            target_ids=pad(targets.values, targets.lengths),
            target_lengths=torch.from_numpy(targets.lengths),
            rows=row_tensor(rows),
            pairs=None if self.pairs is None else [self.pairs[row] for row in rows],
        )
