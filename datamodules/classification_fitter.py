"""Fits the codec of a classifier on a training split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.classification_encoder import ClassificationCounts
from datamodules.labels import fit_labels
from datamodules.readers.vectors import VectorFile
from datamodules.vocabulary_size import VocabularySize, limit, num_pieces
from zoo.codecs import ClassificationCodec
from zoo.text import Preprocessor, SentencePieceModel, Vocabulary
from zoo.text.normalization import Normalizer


@dataclass(frozen=True)
class ClassificationFitter:
    """Fits the codec of a classifier on a training split.

    The fields are the arguments of `ClassificationDataModule` that the codec depends on.
    """

    multi_label: bool
    positive: str | None
    tokenizer: str
    vocabulary_size: VocabularySize
    stop_words: Sequence[str]
    lowercase: bool
    normalization: Sequence[str]
    max_length: int
    truncate: str
    min_count: int
    as_language_model: bool

    def sentencepiece_model(self, texts: Iterable[str]) -> list[str]:
        """The serialized sentencepiece model that is trained on these texts; empty with other tokenizers."""
        if self.tokenizer != "sentencepiece":
            return []
        normalized = map(Normalizer(self.normalization), texts)
        size = num_pieces(self.vocabulary_size)
        return SentencePieceModel.fit(normalized, size, lowercase=self.lowercase).serialized

    def preprocessor(self, model: Sequence[str]) -> Preprocessor:
        """Splits texts before there is a codec. The tokens of a text do not depend on the vocabulary.

        Args:
            model: what `sentencepiece_model` has returned.
        """
        return Preprocessor(
            self.tokenizer,
            sentencepiece_model=model,
            stop_words=self.stop_words,
            max_length=self.max_length,
            truncate=self.truncate,
            as_language_model=self.as_language_model,
            lowercase=self.lowercase,
            normalization=self.normalization,
        )

    def codec(
        self, counts: ClassificationCounts, model: Sequence[str], vectors: VectorFile, path: str | Path
    ) -> ClassificationCodec:
        """The codec.

        Args:
            counts: the tokens, labels and texts of the training split.
            model: the sentencepiece model that has split the texts.
            vectors: the imported vectors.
            path: the file of the training split, for messages.

        Raises:
            DataError: the training split has too few labels.
        """
        words = counts.tokens
        if self.lowercase and not self.as_language_model:
            words = Counter()
            for token, count in counts.tokens.items():
                words[token.lower()] += count
        return ClassificationCodec(
            Vocabulary.fit(words, min_count=self.min_count, size=limit(self.vocabulary_size)),
            fit_labels(counts.labels, counts.texts.texts, path, multi_label=self.multi_label),
            multi_label=self.multi_label,
            positive=self.positive,
            tokenizer=self.tokenizer,
            sentencepiece_model=tuple(model),
            stop_words=tuple(self.stop_words),
            lowercase=self.lowercase,
            normalization=tuple(self.normalization),
            max_length=self.max_length,
            truncate=self.truncate,
            as_language_model=self.as_language_model,
            vector_words=vectors.words,
            vector_size=vectors.size,
        )
