"""Turns words, forms and pairs of texts into ids, by the same rules in training and prediction.

Shapes: T time steps, U distinct forms, L characters of the longest form, S pieces of a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.batches.context import SentenceReader
from zoo.batches.ragged import Ragged, pad
from zoo.errors import ZooError
from zoo.text import PAD, PAD_ID, UNKNOWN, UNKNOWN_ID, Vocabulary, require_words
from zoo.text.normalization import DEFAULT, Normalizer
from zoo.text.reversible import END_ID, SPECIALS, ReversibleTokenizer, bare


class Forms(NamedTuple):
    """The ids of distinct forms and of their characters."""

    word_ids: Tensor  # (U,)
    vector_ids: Tensor  # (U,) positions in the table of imported vectors
    character_ids: Tensor  # (U, L)
    lengths: Tensor  # (U,) in characters


class SourceIds(NamedTuple):
    """The ids of a source of S pieces."""

    ids: list[int]  # (S,) in the source vocabulary
    vector_ids: list[int]  # (S,) positions in the table of imported vectors; empty without imported vectors
    copy_ids: list[int]  # (S,) in the extended target vocabulary
    unknown: list[str]  # the pieces that extend the target vocabulary, because it does not contain them


def integers(values: Sequence[int]) -> Tensor:
    """`torch.tensor` for many integers; it takes a fifth of the time."""
    return torch.from_numpy(np.array(values, dtype=np.int64))


def vector_rows(vectors: Vocabulary, tokens: Sequence[str], keys: Sequence[str]) -> Tensor:
    """The positions `(T,)` of tokens in the table of imported vectors.

    Imported vectors may be cased or lowercased. A token is therefore looked up as it is, and then by its key.
    """
    if not vectors:
        return torch.zeros(len(tokens), dtype=torch.long)
    get = vectors.get
    unknown = vectors.unknown_id or 0
    return integers([get(token, get(key, unknown)) for token, key in zip(tokens, keys, strict=True)])


def check_vector_words(vectors: Vocabulary) -> None:
    """Raises a ZooError unless the words of imported vectors are empty or begin with `<pad>` and `<unk>`."""
    if vectors and tuple(vectors[:2]) != (PAD, UNKNOWN):
        raise ZooError(f"vector_words must begin with {PAD}, {UNKNOWN}, got {', '.join(vectors[:2])}")


class WordIndexer:
    """Turns words into ids, by the same rules in training and prediction.

    Args:
        words: the word vocabulary of the training split.
        vectors: the words that have imported vectors; empty without imported vectors.
        lowercase: whether words and vectors are looked up in lower case.

    Raises:
        ZooError: `words` or `vectors` do not begin with `<pad>` and `<unk>`.
    """

    def __init__(self, words: Vocabulary, vectors: Vocabulary, *, lowercase: bool = True):
        if tuple(words[:2]) != (PAD, UNKNOWN):
            found = ", ".join(words[:2]) or "an empty one"
            raise ZooError(f"a vocabulary must begin with {PAD}, {UNKNOWN}, got {found}")
        check_vector_words(vectors)
        self.words = words
        self.vectors = vectors
        self.lowercase = lowercase

    def knows(self, token: str) -> bool:
        """Whether a token is in the word vocabulary."""
        return (token.lower() if self.lowercase else token) in self.words

    def ids(self, tokens: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The ids of tokens in the word vocabulary and in the table of imported vectors, `(T,)` each."""
        keys = list(map(str.lower, tokens)) if self.lowercase else tokens
        return integers(self.words.ids(keys)), vector_rows(self.vectors, tokens, keys)


class FormIndexer(WordIndexer):
    """Turns forms into ids, by the same rules in training and prediction.

    Args:
        words: the word vocabulary of the training split.
        characters: the character vocabulary of the training split.
        vectors: the words that have imported vectors; empty without imported vectors.
        lowercase: whether words and vectors are looked up in lower case. Characters keep their case.
        max_characters: the number of characters that are read. From a longer form, half of them are its first ones and
            half its last ones.
        normalization: how forms are normalized first, as for a `Normalizer`.
        readers: how language models read the forms.
    """

    def __init__(
        self,
        words: Vocabulary,
        characters: Vocabulary,
        vectors: Vocabulary,
        *,
        lowercase: bool = True,
        max_characters: int = 24,
        normalization: Sequence[str] = DEFAULT,
        readers: Sequence[SentenceReader] = (),
    ):
        super().__init__(words, vectors, lowercase=lowercase)
        self._normalizer = Normalizer(normalization)
        self.characters = characters
        self.max_characters = max_characters
        self.readers = readers

    def ids(self, tokens: Sequence[str]) -> tuple[Tensor, Tensor]:
        return super().ids(list(map(self._normalizer.token, tokens)))

    def character_ids(self, forms: Sequence[str]) -> Ragged:
        """The ids of the characters of each form."""
        return Ragged.of([self.characters.ids(self._cut(self._normalizer.token(form))) for form in forms])

    def pieces(self, forms: Sequence[str]) -> tuple[Ragged, ...]:
        """The ids of the pieces of each form, for each language model."""
        return tuple(reader.pieces(forms) for reader in self.readers)

    def spell(self, forms: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The ids of the characters of forms `(U, L)`, and the number of characters of each form `(U,)`."""
        spelled = self.character_ids(forms)
        return pad(spelled.values, spelled.lengths), torch.from_numpy(spelled.lengths)

    def _cut(self, form: str) -> str:
        half = self.max_characters // 2
        return form if len(form) <= self.max_characters else form[:half] + form[-half:]


class PairIndexer:
    """Turns pairs of texts into ids, and ids into texts, by the same rules in training and prediction.

    The extended vocabulary of a source is the target vocabulary, followed by the pieces of the source that are not in
    it. A model can thus copy pieces that are in no vocabulary (See et al. 2017, section 2.2).

    Args:
        source_tokenizer: splits sources into pieces.
        target_tokenizer: splits targets into pieces, and joins pieces.
        source_vocabulary: the source pieces of the training split, after `SPECIALS`.
        target_vocabulary: the target pieces of the training split, after `SPECIALS`. It is the source vocabulary if
            both sides share one.
        vectors: the source words that have imported vectors; empty without imported vectors.
        max_source: the number of pieces of a source that are read.
        max_target: the number of pieces of a target that are read, not counting the end.

    Raises:
        ZooError: a vocabulary does not begin with `SPECIALS`, a maximum is below 1, or there are imported vectors for a
            tokenizer whose pieces are not words.
    """

    def __init__(
        self,
        source_tokenizer: ReversibleTokenizer,
        target_tokenizer: ReversibleTokenizer,
        *,
        source_vocabulary: Vocabulary,
        target_vocabulary: Vocabulary,
        vectors: Vocabulary,
        max_source: int,
        max_target: int,
    ):
        for vocabulary in (source_vocabulary, target_vocabulary):
            first = vocabulary[: len(SPECIALS)]
            if tuple(first) != SPECIALS:
                raise ZooError(f"a vocabulary must begin with {', '.join(SPECIALS)}, got {', '.join(first)}")
        if min(max_source, max_target) < 1:
            raise ZooError(f"max_source and max_target must be at least 1, got {max_source} and {max_target}")
        require_words(source_tokenizer.tokenizer, {"imported vectors": vectors})
        check_vector_words(vectors)
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.source_vocabulary = source_vocabulary
        self.target_vocabulary = target_vocabulary
        self.vectors = vectors
        self.max_source = max_source
        self.max_target = max_target

    def pieces(self, source: str, target: str) -> tuple[list[str], list[str]]:
        """The pieces of both sides that are read. A source without pieces is one unknown piece."""
        read = self.source_tokenizer.split(source)[: self.max_source]
        return read or [UNKNOWN], self.target_tokenizer.split(target)[: self.max_target]

    def source_ids(self, pieces: Sequence[str]) -> SourceIds:
        """The ids of the S pieces of a source. A source without pieces is one unknown piece, which is never copied."""
        new = dict.fromkeys(piece for piece in pieces if not self._is_known(piece))
        unknown = {piece: place for place, piece in enumerate(new)}
        copy_ids = self._extended_ids(pieces, unknown) or [PAD_ID]
        pieces = pieces or [UNKNOWN]
        return SourceIds(
            ids=self.source_vocabulary.ids(pieces),
            vector_ids=self._vector_ids(pieces) if self.vectors else [],
            copy_ids=copy_ids,
            unknown=list(unknown),
        )

    def target_ids(self, pieces: Sequence[str], unknown: Sequence[str]) -> list[int]:
        """The ids of T - 1 pieces and of the end, `(T,)`, in the extended vocabulary of a source.

        Args:
            pieces: the pieces of the target.
            unknown: the pieces of its source that extend the vocabulary.
        """
        places = {piece: place for place, piece in enumerate(unknown)}
        return [*self._extended_ids(pieces, places), END_ID]

    def text(self, ids: Iterable[int], unknown: Sequence[str]) -> str:
        """The text for ids in the extended vocabulary of a source with these `unknown` pieces."""
        known = self.target_vocabulary
        pieces = (known[i] if i < len(known) else unknown[i - len(known)] for i in ids)
        return self.target_tokenizer.join(pieces)

    def _vector_ids(self, pieces: Sequence[str]) -> list[int]:
        words = [bare(piece) for piece in pieces]
        return vector_rows(self.vectors, words, [word.lower() for word in words]).tolist()

    def _is_known(self, piece: str) -> bool:
        # A piece that is spelled like a special entry is ordinary text, and therefore unknown.
        return self.target_vocabulary.get(piece, -1) >= len(SPECIALS)

    def _extended_ids(self, pieces: Sequence[str], unknown: Mapping[str, int]) -> list[int]:
        get = self.target_vocabulary.get
        size = len(self.target_vocabulary)
        ids = []
        for piece in pieces:
            known_id = get(piece, -1)
            if known_id >= len(SPECIALS):
                ids.append(known_id)
            elif piece in unknown:
                ids.append(size + unknown[piece])
            else:
                ids.append(UNKNOWN_ID)
        return ids
