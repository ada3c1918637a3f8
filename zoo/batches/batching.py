"""From tokens to padded tensors: what a batch of each task is, and how rows are grouped into batches.

A tagging batch spells nothing twice: each distinct form in it appears once, its characters are composed once,
and every position points to its form.

Shapes: B rows (sentences, texts), T time steps, U distinct forms, L characters of the longest form, K labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from math import inf
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.errors import ZooError
from zoo.masks import padding_mask
from zoo.text import PAD, UNKNOWN, Vocabulary

SPARE_ROWS = 8  # with padding for more rows than these, two batches take less time on a CPU (benchmarks/RESULTS.md)
BUCKET = 2  # sources whose lengths differ by less may share a batch at no cost


class Forms(NamedTuple):
    """Distinct spellings, by the ids of what they consist of."""

    words: Tensor  # (U,)
    vectors: Tensor  # (U,) rows in the table of imported vectors
    characters: Tensor  # (U, L)
    lengths: Tensor  # (U,) in characters

    def select(self, rows: Tensor) -> Forms:
        """The forms at `rows`, their characters cut to the longest of them."""
        lengths = self.lengths[rows]
        characters = self.characters[rows, : int(lengths.max())]
        return Forms(self.words[rows], self.vectors[rows], characters, lengths)


class TaggingBatch(NamedTuple):
    """Right-padded sentences."""

    tokens: Tensor  # (B, T) rows in `forms`; 0 at padding
    lengths: Tensor  # (B,) in tokens
    forms: Forms
    tags: Tensor | None = None  # (B, T) tag ids; the number of tags for a tag that training never had


class TextBatch(NamedTuple):
    """Right-padded texts."""

    words: Tensor  # (B, T)
    vectors: Tensor  # (B, T) rows in the table of imported vectors
    lengths: Tensor  # (B,) in tokens; 0 for an empty text
    rows: Tensor  # (B,) where in their split the texts are
    labels: Tensor | None = None  # (B,) label ids; with several labels a text (B, K), 1 for those it has


def integers(values: Sequence[int]) -> Tensor:
    """`torch.tensor` of many integers, in a fifth of its time."""
    return torch.from_numpy(np.array(values, dtype=np.int64))


def integer_rows(rows: Sequence[Sequence[int]]) -> Sequence[Tensor]:
    """A tensor `(T,)` of each row, all made at once."""
    return integers([*chain.from_iterable(rows)]).split([len(row) for row in rows])


def place_forms(sentences: Sequence[Sequence[str]], rows: dict[str, int]) -> Sequence[Tensor]:
    """Each sentence's tokens as rows `(T,)` of a table of distinct forms; `rows` grows by those that it lacks."""
    return integer_rows([[rows.setdefault(token, len(rows)) for token in sentence] for sentence in sentences])


def vector_rows(vectors: Vocabulary, tokens: Sequence[str], keys: Sequence[str]) -> Tensor:
    """Rows `(T,)` in a table of imported vectors. They may be cased or not: the spelling itself first, then its key."""
    if not vectors:
        return torch.zeros(len(tokens), dtype=torch.long)
    get, unknown = vectors.get, vectors.unknown_id or 0
    return integers([get(token, get(key, unknown)) for token, key in zip(tokens, keys, strict=True)])


def check_vector_words(vectors: Vocabulary) -> None:
    """Raises a ZooError unless the words of imported vectors, if any, begin with `<pad>` and `<unk>`."""
    if vectors and tuple(vectors[:2]) != (PAD, UNKNOWN):
        raise ZooError(f"vector_words begin with {PAD}, {UNKNOWN}, got {', '.join(vectors[:2])}")


class WordIndexer:
    """Words to ids, by one rule for training and prediction.

    Args:
        words: fitted on the training split.
        vectors: the words that imported vectors exist for; empty without them.
        lowercase: whether words and vectors are looked up in lower case.

    Raises:
        ZooError: words, or those of vectors, that do not begin with `<pad>` and `<unk>`.
    """

    def __init__(self, words: Vocabulary, vectors: Vocabulary, *, lowercase: bool = True):
        if tuple(words[:2]) != (PAD, UNKNOWN):
            raise ZooError(f"a vocabulary begins with {PAD}, {UNKNOWN}, got {', '.join(words[:2]) or 'an empty one'}")
        check_vector_words(vectors)
        self.words, self.vectors, self.lowercase = words, vectors, lowercase

    def knows(self, token: str) -> bool:
        """Whether it is in the word vocabulary."""
        return (token.lower() if self.lowercase else token) in self.words

    def ids(self, tokens: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The ids of `tokens` among the words and among the imported vectors, `(T,)` each."""
        keys = list(map(str.lower, tokens)) if self.lowercase else tokens
        return integers(self.words.ids(keys)), vector_rows(self.vectors, tokens, keys)


class FormIndexer(WordIndexer):
    """Spellings to ids, by one rule for training and prediction.

    Args:
        words: fitted on the training split.
        characters: fitted on the training split.
        vectors: the words that imported vectors exist for; empty without them.
        lowercase: whether words and vectors are looked up in lower case (characters always keep theirs).
        max_characters: longer forms keep their first and last halves.
    """

    def __init__(
        self,
        words: Vocabulary,
        characters: Vocabulary,
        vectors: Vocabulary,
        *,
        lowercase: bool = True,
        max_characters: int = 24,
    ):
        super().__init__(words, vectors, lowercase=lowercase)
        self.characters, self.max_characters = characters, max_characters

    def __call__(self, forms: Sequence[str]) -> Forms:
        """The ids of distinct, non-empty `forms`."""
        words, vectors = self.ids(forms)
        return Forms(words, vectors, *self.spell(forms))

    def spell(self, forms: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The ids of their characters, `(U, L)`, and how many these are, `(U,)`."""
        spelled = integer_rows([self.characters.ids(self._cut(form)) for form in forms])
        return pad_sequence(spelled, batch_first=True), integers([len(ids) for ids in spelled])

    def _cut(self, form: str) -> str:
        half = self.max_characters // 2
        return form if len(form) <= self.max_characters else form[:half] + form[-half:]


class EncodedSentences:
    """A whole split as tensors; `batch(rows)` is a few indexing operations.

    Args:
        sentences: tokens of each sentence, none empty.
        indexer: makes the ids of the forms.
        tags: tag ids of each sentence, or None where they are to be predicted.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[str]],
        indexer: FormIndexer,
        tags: Sequence[Sequence[int]] | None = None,
    ):
        rows: dict[str, int] = {}
        self.lengths = [len(sentence) for sentence in sentences]
        self.tokens = place_forms(sentences, rows)
        self.tags = None if tags is None else integer_rows(tags)
        self.forms = indexer(list(rows))

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> TaggingBatch:
        """The sentences at `rows`, in that order, padded to the longest of them."""
        used, tokens = torch.unique(torch.cat([self.tokens[row] for row in rows]), return_inverse=True)
        lengths = [self.lengths[row] for row in rows]
        return TaggingBatch(
            tokens=pad_sequence(tokens.split(lengths), batch_first=True),
            lengths=torch.tensor(lengths),
            forms=self.forms.select(used),
            tags=None if self.tags is None else pad_sequence([self.tags[row] for row in rows], batch_first=True),
        )


class EncodedTexts:
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
        self.words, self.vectors = indexer.ids([*chain.from_iterable(texts), PAD])  # one text after the other
        self.labels = labels
        self._lengths = integers([len(text) for text in texts])
        self._starts = self._lengths.cumsum(0) - self._lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> TextBatch:
        """The texts at `rows`, in that order, padded to the longest of them."""
        at = torch.tensor(rows)
        lengths = self._lengths[at]
        steps = max(self.lengths[row] for row in rows)
        real = padding_mask(lengths, steps)  # (B, T)
        places = (self._starts[at][:, None] + torch.arange(steps)) * real  # (B, T)
        return TextBatch(
            words=self.words[places] * real,
            vectors=self.vectors[places] * real,
            lengths=lengths,
            rows=at,
            labels=None if self.labels is None else self.labels[at],
        )


def check_budget(max_tokens: object) -> None:
    """Raises a ZooError unless `max_tokens` is a whole number of at least 1."""
    if not isinstance(max_tokens, Integral) or isinstance(max_tokens, bool) or max_tokens < 1:
        raise ZooError(f"expected max_tokens, the tokens of a batch, as a whole number from 1, got {max_tokens!r}")


def group_by_length(
    lengths: Sequence[int] | Sequence[tuple[int, ...]],
    max_tokens: int,
    order: Iterable[int] | None = None,
    *,
    max_padding: float = inf,
) -> list[list[int]]:
    """Groups like lengths, so that little is padding: rows of each batch, shortest batches first.

    Args:
        lengths: tokens in each row; for a row with several sides, such as a source and its target, of each side.
        max_tokens: the budget of a batch, padding included: rows times the longest row, all sides together. A row
            that alone is longer makes a batch of its own.
        order: rows of equal length stay in this order; that of the rows themselves by default.
        max_padding: the padding of a batch, in rows: no more than so many times the longest row.
    """
    check_budget(max_tokens)
    if not len(lengths):
        return []
    sides = np.array(lengths, dtype=np.int64).reshape(len(lengths), -1)  # (N, S)
    rows = np.arange(len(lengths)) if order is None else np.array(list(order), dtype=np.int64)
    # Of several sides the last is in strict order within buckets of those before it, which leave it a choice. Their
    # exact lengths come last: so the order of the lengths, and with it the number of batches, never depends on `order`.
    keys = [*(side // BUCKET for side in sides[rows, :-1].T), *sides[rows, -1:].T, *sides[rows, :-1].T]
    rows = rows[np.lexsort(keys[::-1])]
    batches = []
    while len(rows):
        nearest = sides[rows[: max_tokens // max(1, sides[rows[0]].sum()) + 1]]  # as many as the budget may hold
        count = np.arange(1, len(nearest) + 1)
        steps = np.maximum.accumulate(nearest).sum(1).clip(1)  # of a batch that ends at this row, all sides together
        padding = count * steps - nearest.sum(1).cumsum()
        full = (count * steps > max_tokens) | (padding > max_padding * steps)
        size = int(full.argmax()) or len(nearest)  # a row that alone is too long is a batch
        batches.append(rows[:size].tolist())
        rows = rows[size:]
    return batches


def group_for_prediction(
    lengths: Sequence[int], max_tokens: int, device: torch.device, order: Iterable[int] | None = None
) -> list[list[int]]:
    """`group_by_length`, on a CPU with little padding; elsewhere, not measured, in as few batches as there may be."""
    max_padding = SPARE_ROWS if device.type == "cpu" else inf
    return group_by_length(lengths, max_tokens, order, max_padding=max_padding)
