"""Fits the codec of a language model on a training split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from datamodules.vocabulary_size import VocabularySize, limit, num_pieces
from zoo.codecs import LanguageModelingCodec
from zoo.codecs.language_modeling import SPECIALS
from zoo.text import SentencePieceModel, Vocabulary
from zoo.text.normalization import Normalizer
from zoo.text.reversible import ReversibleTokenizer
from zoo.text.tokenizers import BYTES, SENTENCEPIECE


@dataclass(frozen=True)
class LanguageModelingFitter:
    """Fits the codec of a language model on a training split.

    The fields are the arguments of `LanguageModelingDataModule` that the codec depends on.
    """

    tokenizer: str
    vocabulary_size: VocabularySize
    min_count: int
    lowercase: bool
    normalization: Sequence[str]
    backward: bool

    def sentencepiece_model(self, texts: Iterable[str]) -> list[str]:
        """The serialized sentencepiece model that is trained on these texts; empty with other tokenizers."""
        if self.tokenizer != SENTENCEPIECE:
            return []
        normalized = map(Normalizer(self.normalization), texts)
        lowered = (text.lower() for text in normalized) if self.lowercase else normalized
        return SentencePieceModel.fit(lowered, num_pieces(self.vocabulary_size), faithful=True).serialized

    def tokens(self, texts: Iterable[str], model: Sequence[str]) -> Iterator[str]:
        """The tokens of texts. They do not depend on the vocabulary.

        Args:
            texts: the texts.
            model: what `sentencepiece_model` has returned.
        """
        split = self.splitter(model)
        return (token for text in texts for token in split(text))

    def splitter(self, model: Sequence[str]) -> Callable[[str], list[str]]:
        """Splits a text into tokens, with the sentencepiece model of `sentencepiece_model`."""
        return ReversibleTokenizer(
            self.tokenizer, model, lowercase=self.lowercase, normalization=self.normalization
        ).split

    def counts(self, texts: Iterable[str], model: Sequence[str]) -> Counter[str]:
        """How often each token of texts occurs; nothing where the vocabulary does not depend on it."""
        return Counter() if self.tokenizer == BYTES or model else Counter(self.tokens(texts, model))

    def codec(self, counts: Counter[str], model: Sequence[str]) -> LanguageModelingCodec:
        """The codec.

        Args:
            counts: how often each token of the training split occurs.
            model: the sentencepiece model that splits its texts.
        """
        return LanguageModelingCodec(
            self._vocabulary(counts, model),
            tokenizer=self.tokenizer,
            sentencepiece_model=tuple(model),
            lowercase=self.lowercase,
            backward=self.backward,
            normalization=tuple(self.normalization),
        )

    def _vocabulary(self, counts: Counter[str], model: Sequence[str]) -> Vocabulary:
        # A text may have any byte and any piece, whether or not the training split has it.
        if self.tokenizer == BYTES:
            return Vocabulary([*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))])
        if model:
            return Vocabulary([*SPECIALS, *SentencePieceModel(model).pieces])
        return Vocabulary.fit(counts, min_count=self.min_count, size=limit(self.vocabulary_size), specials=SPECIALS)
