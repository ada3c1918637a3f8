"""The codec of language modeling: it turns texts into ids, and ids into texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zoo.batches.language_modeling import TokenStream
from zoo.batches.ragged import Ragged, offsets_of
from zoo.codecs.base import Codec
from zoo.errors import ZooError
from zoo.text import PAD, UNKNOWN, Vocabulary
from zoo.text.reversible import END, SPACE, ReversibleTokenizer
from zoo.text.tokenizers import BYTES

SPECIALS = (PAD, UNKNOWN, END)  # their ids are 0, 1, 2
END_ID = 2


@dataclass(frozen=True)
class LanguageModelingCodec(Codec):
    """Turns texts into ids, and ids into texts.

    The end of a text is a token as well, which the model predicts and from which it begins the next text.

    >>> codec = LanguageModelingCodec(["<pad>", "<unk>", "</s>", "the", "film"])
    >>> codec.ids("the film ended")
    [3, 4, 1, 2]

    Raises:
        ZooError: a tokenizer is unknown (the known ones are listed), a vocabulary does not begin with `SPECIALS`, or
            there are imported vectors.
    """

    vocabulary: Vocabulary
    """The known tokens, after `SPECIALS`."""
    tokenizer: str = "whitespace"
    """How a text is split: "whitespace", "words", "characters", "bytes", "jieba" or "sentencepiece"."""
    sentencepiece_model: tuple[str, ...] = ()
    """The serialized sentencepiece model, if that is the tokenizer."""
    lowercase: bool = False
    """Whether texts are read in lower case."""
    backward: bool = False
    """Whether texts are read from their last token to their first."""

    def __post_init__(self) -> None:
        self._convert(Vocabulary, "vocabulary", "vector_words")
        self._convert(tuple, "sentencepiece_model", "normalization")
        if tuple(self.vocabulary)[: len(SPECIALS)] != SPECIALS:
            raise ZooError(f"expected a vocabulary that begins with {', '.join(SPECIALS)}")
        if self.vector_words:
            raise ZooError("a language model has no imported vectors: it learns its embeddings")
        # Its constructor checks the fields that it reads.
        self._tokenizer  # noqa: B018

    @cached_property
    def _tokenizer(self) -> ReversibleTokenizer:
        return ReversibleTokenizer(
            self.tokenizer,
            self.sentencepiece_model,
            lowercase=self.lowercase,
            normalization=self.normalization,
        )

    def split(self, text: str) -> list[str]:
        """The tokens of a text in the order of the text, without the end."""
        return self._tokenizer.split(text)

    def spell(self, word: str) -> list[int]:
        """The ids of the tokens of a word, in the order of the text."""
        return self.vocabulary.ids(self.split(word))

    @property
    def space_ids(self) -> list[int]:
        """The ids of the tokens between two words; none if a word's own tokens mark the space before it."""
        spaces = {"characters": [SPACE], BYTES: [f"<0x{ord(' '):02X}>"]}
        return self.vocabulary.ids(spaces.get(self.tokenizer, []))

    def ids(self, text: str) -> list[int]:
        """The ids of a text in the order in which it is read, and the end."""
        ids = self.vocabulary.ids(self.split(text))
        return [*(reversed(ids) if self.backward else ids), END_ID]

    def text(self, ids: Iterable[int]) -> str:
        """The text for ids in the order in which it is read, without the end."""
        tokens = self.tokens(ids)
        return self._tokenizer.join(reversed(tokens) if self.backward else tokens)

    def stream(self, texts: Iterable[str]) -> TokenStream:
        """All texts as one stream of tokens, in the order of the text whatever the direction."""
        ids: list[int] = []
        lengths = []
        words = []
        characters = []
        for text in texts:
            found = self.vocabulary.ids(self.split(text))
            ids += found
            ids.append(END_ID)
            lengths.append(len(found) + 1)
            words_of_text, characters_of_text = units_of(text)
            words.append(words_of_text)
            characters.append(characters_of_text)
        return TokenStream(
            Ragged(np.array(ids, dtype=np.int32), offsets_of(np.array(lengths, dtype=np.int64))),
            words=np.array(words, dtype=np.int64),
            characters=np.array(characters, dtype=np.int64),
            backward=self.backward,
        )

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids, as the vocabulary spells them."""
        return [self.vocabulary[i] for i in ids]


def units_of(text: str) -> tuple[int, int]:
    """The words and the characters of a text, with single spaces between words. The end of the text is one of each."""
    words = text.split()
    return len(words) + 1, sum(map(len, words)) + max(1, len(words))
