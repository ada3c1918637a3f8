"""Batches of tagged sentences.

A batch contains each distinct form once, so that its characters are encoded once. Every position of a sentence points
to its form.

Shapes: B sentences, T tokens, U distinct forms, K tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from zoo.batches.context import Context, ContextStates, SentenceReader, context_inputs, part_of_context
from zoo.batches.indexers import FormIndexer, Forms
from zoo.batches.ragged import Integers, Ragged, Rows, pad, row_tensor


class TaggingInputs(NamedTuple):
    """Right-padded sentences."""

    form_ids: Tensor  # (B, T) positions in `forms`; 0 at padding
    lengths: Tensor  # (B,) in tokens
    forms: Forms
    context: Context = ()  # for the language models of a tagger that has some

    @property
    def num_rows(self) -> int:
        return len(self.lengths)

    def part(self, rows: slice) -> Self:
        used, form_ids = self.form_ids[rows].unique(return_inverse=True)
        forms = Forms(*(of_forms[used] for of_forms in self.forms))
        context = part_of_context(self.context, rows)
        return self._replace(form_ids=form_ids, lengths=self.lengths[rows], forms=forms, context=context)


class TaggingBatch(NamedTuple):
    """Right-padded sentences and their tags."""

    inputs: TaggingInputs
    tag_ids: Tensor  # (B, T); a tag that is not in the training data has the id K; 0 at padding
    rows: Tensor  # (B,) positions of the sentences in their split

    @property
    def num_tokens(self) -> Tensor:
        """The number of tokens as a tensor: to read its value would make the host wait for a GPU."""
        return self.inputs.lengths.sum()

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def part(self, rows: slice) -> Self:
        return self._replace(inputs=self.inputs.part(rows), tag_ids=self.tag_ids[rows], rows=self.rows[rows])


def place_forms(sentences: Iterable[Sequence[str]], rows: dict[str, int]) -> Ragged:
    """Turns the tokens of each sentence into positions in a table of distinct forms.

    Args:
        sentences: the tokens of each sentence.
        rows: the position of each known form; this function adds the new forms.
    """
    return Ragged.of([[rows.setdefault(token, len(rows)) for token in sentence] for sentence in sentences])


class FormTable(NamedTuple):
    """The ids of all U distinct forms of a split, as flat arrays."""

    word_ids: Integers  # (U,)
    vector_ids: Integers | None  # (U,) positions in the table of imported vectors; None without imported vectors
    character_ids: Ragged
    pieces: tuple[Ragged, ...] = ()  # the pieces of each form, for each language model

    @classmethod
    def of(cls, forms: Sequence[str], indexer: FormIndexer) -> Self:
        """The ids of distinct, non-empty forms."""
        word_ids, vector_ids = indexer.ids(forms)
        return cls(
            word_ids.numpy().astype(np.int32),
            vector_ids.numpy().astype(np.int32) if indexer.vectors else None,
            indexer.character_ids(forms),
            indexer.pieces(forms),
        )

    def select(self, rows: Integers) -> Forms:
        """The forms at `rows`, padded to the longest of them."""
        word_ids = torch.from_numpy(self.word_ids[rows].astype(np.int64))
        if self.vector_ids is None:
            vector_ids = torch.zeros_like(word_ids)
        else:
            vector_ids = torch.from_numpy(self.vector_ids[rows].astype(np.int64))
        spelled = self.character_ids.take(rows)
        return Forms(word_ids, vector_ids, pad(spelled.values, spelled.lengths), torch.from_numpy(spelled.lengths))


class Sentences:
    """Sentences as flat arrays, so that `inputs(rows)` takes only a few indexing operations.

    Args:
        form_ids: of each sentence, the positions of its tokens in `forms`.
        forms: the distinct forms.
        readers: how language models read the forms.

    Attributes:
        lengths: the number of tokens of each sentence `(N,)`.
        states: the states of the language models, if they were computed.
    """

    states: ContextStates | None = None

    def __init__(self, form_ids: Ragged, forms: FormTable, readers: Sequence[SentenceReader] = ()):
        self.form_ids = form_ids
        self.forms = forms
        self.readers = readers
        self.lengths = form_ids.lengths

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], indexer: FormIndexer) -> Self:
        """Encodes sentences of at least one token each."""
        rows: dict[str, int] = {}
        form_ids = place_forms(sentences, rows)
        return cls(form_ids, FormTable.of(list(rows), indexer), indexer.readers)

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self, rows: Rows) -> TaggingInputs:
        """The sentences at `rows`, in that order, padded to the longest of them."""
        taken = self.form_ids.take(rows)
        used, form_ids = np.unique(taken.values, return_inverse=True)
        lengths = taken.lengths
        return TaggingInputs(
            form_ids=pad(form_ids, lengths),
            lengths=torch.from_numpy(lengths),
            forms=self.forms.select(used),
            context=self.context(rows) if self.states is None else self.states.padded(rows),
        )

    def context(self, rows: Rows) -> Context:
        """What the language models read of the sentences at `rows`."""
        if not self.readers:
            return ()
        return context_inputs(self.readers, self.forms.pieces, self.form_ids.take(rows))


class TaggingDataset:
    """A whole split as flat arrays.

    Args:
        sentences: its sentences.
        tag_ids: the ids of each sentence's tags.

    Attributes:
        lengths: the number of tokens of each sentence `(N,)`.
    """

    def __init__(self, sentences: Sentences, tag_ids: Ragged):
        self.sentences = sentences
        self.tag_ids = tag_ids
        self.lengths = sentences.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Rows) -> TaggingBatch:
        """The sentences at `rows` with their tags, in that order, padded to the longest of them."""
        return TaggingBatch(self.sentences.inputs(rows), self.tag_ids.padded(rows), rows=row_tensor(rows))
