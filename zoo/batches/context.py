"""What language models read of sentences whose tokens are tagged, and the states that they are in at each token.

Shapes: B sentences, T tokens, M tokens of all sentences, P pieces that a language model reads, F features of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.batches.ragged import Integers, Ragged, Rows, offsets_of, pad


class ContextInputs(NamedTuple):
    """What a language model reads of each sentence."""

    token_ids: Tensor  # (B, P) the end of the text before, and the pieces of the sentence
    lengths: Tensor  # (B,) in pieces
    places: Tensor  # (B, T) the position at which all pieces of a token are read; 0 at padding

    def part(self, rows: slice) -> Self:
        return type(self)(self.token_ids[rows], self.lengths[rows], self.places[rows])


# What each language model reads, or the states (B, T, F) that they were in at each token.
Context = Sequence[ContextInputs] | Tensor


def part_of_context(context: Context, rows: slice) -> Context:
    """The context of some sentences of a batch."""
    return context[rows] if isinstance(context, Tensor) else tuple(inputs.part(rows) for inputs in context)


@dataclass(frozen=True)
class SentenceReader:
    """How a language model reads the tokens of a sentence."""

    spell: Callable[[str], Sequence[int]]
    """The ids of the pieces of a token."""
    space_ids: Sequence[int]
    """The ids of the pieces between two tokens."""
    begin_id: int
    """What is read before a sentence."""
    backward: bool
    """Whether sentences are read from their last piece to their first."""

    def pieces(self, forms: Sequence[str]) -> Ragged:
        """The ids of the pieces of each form, and those between it and the form before."""
        return Ragged.of([[*self.space_ids, *self.spell(form)] for form in forms])

    def inputs(self, pieces: Ragged, lengths: Integers) -> ContextInputs:
        """What is read of B sentences.

        Args:
            pieces: the pieces of each token of these sentences, M of them.
            lengths: the number of tokens of each sentence, `(B,)`.
        """
        values = pieces.values
        counts = pieces.lengths.copy()  # (M,)
        first = offsets_of(lengths)[:-1]  # (B,) the first token of each sentence
        between = len(self.space_ids)
        if between:
            # Before the first token there is nothing to separate it from.
            read = np.ones(len(values), dtype=bool)
            for piece in range(between):
                read[pieces.offsets[first] + piece] = False
            values = values[read]
            counts[first] -= between
        ends = counts.cumsum()  # (M,) the pieces up to the end of each token
        before = np.repeat(ends[first] - counts[first], lengths)  # (M,) the pieces of the sentences before
        total = np.add.reduceat(counts, first)  # (B,)
        places = ends - before
        if self.backward:
            values = _reversed(values, total)
            # A token is read up to its own first piece, and not up to the space before it.
            spaces = np.full(len(counts), between)
            spaces[first] = 0
            places = np.repeat(total, lengths) - (places - counts) - spaces
        token_ids = pad(values, total)
        begin = torch.full((len(total), 1), self.begin_id)
        return ContextInputs(torch.cat([begin, token_ids], dim=1), torch.from_numpy(total + 1), pad(places, lengths))


def _reversed(values: Integers, lengths: Integers) -> Integers:
    """Joined sequences of these lengths, each of them reversed."""
    offsets = offsets_of(lengths)
    return values[np.repeat(offsets[:-1] + offsets[1:] - 1, lengths) - np.arange(len(values))]


def context_inputs(readers: Sequence[SentenceReader], forms: Sequence[Ragged], form_ids: Ragged) -> Context:
    """What each language model reads of sentences.

    Args:
        readers: how each of them reads.
        forms: the pieces of all forms, for each of them.
        form_ids: the rows of the tokens of each sentence among the forms.
    """
    return tuple(
        reader.inputs(pieces.take(form_ids.values), form_ids.lengths)
        for reader, pieces in zip(readers, forms, strict=True)
    )


class ContextStates:
    """The states of language models at each token of a split, in memory or memory-mapped.

    Args:
        values: in fp16, `(M, F)`.
        lengths: the number of tokens of each sentence.
    """

    def __init__(self, values: NDArray[np.float16], lengths: Integers):
        self.values = values
        self.lengths = lengths
        self._offsets = offsets_of(lengths)

    def padded(self, rows: Rows) -> Tensor:
        """The states of the sentences at `rows`, in that order, right-padded with 0 `(B, T, F)`."""
        chosen = np.asarray(rows)
        lengths = self.lengths[chosen]
        padded = np.zeros((len(chosen), int(lengths.max()), self.values.shape[1]), dtype=np.float16)
        for place, (start, length) in enumerate(zip(self._offsets[chosen], lengths, strict=True)):
            padded[place, :length] = self.values[start : start + length]
        return torch.from_numpy(padded)
