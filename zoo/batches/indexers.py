"""Words, spellings and pairs of texts to ids, by one rule for training and prediction.

Shapes: T time steps, U distinct forms, L characters of the longest form, S pieces of a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.errors import ZooError
from zoo.text import PAD, UNKNOWN, Vocabulary, require_words
from zoo.text.reversible import END, SPECIALS, ReversibleTokenizer, bare


class Forms(NamedTuple):
    """Distinct spellings, by the ids of what they consist of."""

    word_ids: Tensor  # (U,)
    vector_ids: Tensor  # (U,) rows in the table of imported vectors
    character_ids: Tensor  # (U, L)
    lengths: Tensor  # (U,) in characters

    def select(self, rows: Tensor) -> Forms:
        """The forms at `rows`, their characters cut to the longest of them."""
        lengths = self.lengths[rows]
        character_ids = self.character_ids[rows, : int(lengths.max())]
        return Forms(self.word_ids[rows], self.vector_ids[rows], character_ids, lengths)


class EncodedSource(NamedTuple):
    """A source of S pieces."""

    ids: Tensor  # (S,) in the source vocabulary
    vector_ids: Tensor  # (S,) rows in the table of imported vectors
    copy_ids: Tensor  # (S,) ids in the extended target vocabulary
    unknown: list[str]  # the pieces that this has more than the vocabulary


def integers(values: Sequence[int]) -> Tensor:
    """`torch.tensor` of many integers, in a fifth of its time."""
    return torch.from_numpy(np.array(values, dtype=np.int64))


def integer_rows(rows: Sequence[Sequence[int]]) -> Sequence[Tensor]:
    """A tensor `(T,)` of each row, all made at once."""
    return integers([*chain.from_iterable(rows)]).split([len(row) for row in rows])


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


class PairIndexer:
    """Texts to ids and back, by one rule for training and prediction.

    Args:
        source: splits sources.
        target: splits and joins targets.
        source_vocabulary: of the training split, `SPECIALS` first.
        target_vocabulary: likewise; the same object where both are one.
        vectors: the words that imported vectors of sources exist for; empty without them.
        max_source: pieces of a source that are read; what follows is not.
        max_target: pieces of a target, its end not counted.
    """

    def __init__(
        self,
        source: ReversibleTokenizer,
        target: ReversibleTokenizer,
        source_vocabulary: Vocabulary,
        target_vocabulary: Vocabulary,
        *,
        vectors: Vocabulary,
        max_source: int,
        max_target: int,
    ):
        for vocabulary in (source_vocabulary, target_vocabulary):
            if tuple(vocabulary[:4]) != SPECIALS:
                raise ZooError(f"a vocabulary begins with {', '.join(SPECIALS)}, got {', '.join(vocabulary[:4])}")
        if min(max_source, max_target) < 1:
            raise ZooError(f"max_source and max_target must be at least 1, got {max_source} and {max_target}")
        require_words(source.tokenizer, {"imported vectors": vectors})
        check_vector_words(vectors)
        self.source, self.target, self.vectors = source, target, vectors
        self.source_vocabulary, self.target_vocabulary = source_vocabulary, target_vocabulary
        self.max_source, self.max_target = max_source, max_target

    def encode_source(self, pieces: Sequence[str]) -> EncodedSource:
        """The ids of what is read; a source without a piece is an unknown one, and nothing that could be copied."""
        unknown: dict[str, int] = {}
        copies = self._extended(pieces, unknown, grow=True) or [SPECIALS.index(PAD)]
        pieces = pieces or [UNKNOWN]
        words = [bare(piece) for piece in pieces]
        vectors = vector_rows(self.vectors, words, [word.lower() for word in words])
        return EncodedSource(
            torch.tensor(self.source_vocabulary.ids(pieces)), vectors, torch.tensor(copies), list(unknown)
        )

    def encode_target(self, pieces: Sequence[str], unknown: Sequence[str]) -> Tensor:
        """Ids in the extended vocabulary of a source that has these `unknown` pieces, then the end: `(T,)`."""
        places = {piece: i for i, piece in enumerate(unknown)}
        return torch.tensor([*self._extended(pieces, places, grow=False), SPECIALS.index(END)])

    def decode(self, ids: Iterable[int], unknown: Sequence[str]) -> str:
        """The text of ids in the extended vocabulary."""
        known = self.target_vocabulary
        return self.target.join(known[i] if i < len(known) else unknown[i - len(known)] for i in ids)

    def _extended(self, pieces: Sequence[str], unknown: dict[str, int], grow: bool) -> list[int]:
        known = self.target_vocabulary
        ids = []
        for piece in pieces:
            place = known.get(piece, -1)
            if place < len(SPECIALS):  # not there, or a text that looks like a special entry
                if grow:
                    unknown.setdefault(piece, len(unknown))
                place = len(known) + unknown[piece] if piece in unknown else SPECIALS.index(UNKNOWN)
            ids.append(place)
        return ids
