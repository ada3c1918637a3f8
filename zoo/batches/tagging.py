"""Batches of tagged sentences.

A batch contains each distinct form once, so that its characters are encoded once. Every position of a sentence points
to its form.

Shapes: B sentences, T tokens, U distinct forms, K tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.batches.indexers import FormIndexer, Forms, integer_rows


class TaggingInputs(NamedTuple):
    """Right-padded sentences."""

    form_ids: Tensor  # (B, T) positions in `forms`; 0 at padding
    lengths: Tensor  # (B,) in tokens
    forms: Forms


class TaggingBatch(NamedTuple):
    """Right-padded sentences and their tags."""

    inputs: TaggingInputs
    tag_ids: Tensor  # (B, T); a tag that is not in the training data has the id K; 0 at padding
    rows: Tensor  # (B,) positions of the sentences in their split

    @property
    def num_tokens(self) -> Tensor:
        """The number of tokens as a tensor: to read its value would make the host wait for a GPU."""
        return self.inputs.lengths.sum()


def place_forms(sentences: Sequence[Sequence[str]], rows: dict[str, int]) -> list[Tensor]:
    """Turns the tokens of each sentence into positions `(T,)` in a table of distinct forms.

    Args:
        sentences: the tokens of each sentence.
        rows: the position of each known form; this function adds the new forms.
    """
    return integer_rows([[rows.setdefault(token, len(rows)) for token in sentence] for sentence in sentences])


class Sentences:
    """Sentences as tensors, so that `inputs(rows)` takes only a few indexing operations.

    Args:
        sentences: the tokens of each sentence, at least one.
        indexer: turns forms into ids.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], indexer: FormIndexer):
        rows: dict[str, int] = {}
        self.lengths = [len(sentence) for sentence in sentences]
        self.form_ids = place_forms(sentences, rows)
        self.forms = indexer(list(rows))

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self, rows: Sequence[int]) -> TaggingInputs:
        """The sentences at `rows`, in that order, padded to the longest of them."""
        used, form_ids = torch.unique(torch.cat([self.form_ids[row] for row in rows]), return_inverse=True)
        lengths = [self.lengths[row] for row in rows]
        return TaggingInputs(
            form_ids=pad_sequence(form_ids.split(lengths), batch_first=True),
            lengths=torch.tensor(lengths),
            forms=self.forms.select(used),
        )


class TaggingDataset(Sentences):
    """A whole split as tensors: sentences and their tags.

    Args:
        sentences: the tokens of each sentence, at least one.
        indexer: turns forms into ids.
        tag_ids: the ids of each sentence's tags.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], indexer: FormIndexer, tag_ids: Sequence[Sequence[int]]):
        super().__init__(sentences, indexer)
        self.tag_ids = integer_rows(tag_ids)

    def batch(self, rows: Sequence[int]) -> TaggingBatch:
        """The sentences at `rows` with their tags, in that order, padded to the longest of them."""
        tag_ids = pad_sequence([self.tag_ids[row] for row in rows], batch_first=True)
        return TaggingBatch(self.inputs(rows), tag_ids, rows=torch.tensor(rows))
