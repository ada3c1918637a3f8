"""Fits the codec of a sequence-to-sequence model on a training split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from datamodules.errors import DataError
from datamodules.readers.vectors import VectorFile
from datamodules.seq2seq_encoder import Seq2SeqCounts
from datamodules.vocabulary_size import VocabularySize, limit, num_pieces
from zoo.batches.seq2seq import Pair
from zoo.codecs import Seq2SeqCodec
from zoo.errors import ZooError
from zoo.text import SentencePieceModel, Vocabulary, split_sentences
from zoo.text.languages import primary_language
from zoo.text.normalization import Normalizer
from zoo.text.reversible import SPECIALS, ReversibleTokenizer

# Languages with thousands of characters. By default, their rarest characters are spelled in bytes.
THOUSANDS = ("zh", "ja")

CharacterCoverage = float | Literal["by_language"]


class PairTokenizers(NamedTuple):
    """The tokenizers of both sides of a pair, and what a codec keeps of them."""

    source: ReversibleTokenizer
    target: ReversibleTokenizer
    source_model: list[str]
    target_model: list[str]  # empty if both sides share one model
    language: str


@dataclass(frozen=True)
class Seq2SeqFitter:
    """Fits the codec of a sequence-to-sequence model on a training split.

    The fields are the arguments of `Seq2SeqDataModule` that the codec depends on, beside the language.
    """

    unit: str | None
    tokenizer: str
    stop_words: Sequence[str]
    lowercase: bool
    normalization: Sequence[str]
    vocabulary_size: VocabularySize
    algorithm: str
    joint: bool
    character_coverage: CharacterCoverage
    min_count: int
    max_source: int
    max_target: int

    def tokenizers(self, pairs: Sequence[Pair], language: str) -> PairTokenizers:
        """The tokenizers of both sides; sentencepiece models are trained on these pairs.

        Args:
            pairs: all pairs of the training split, or a sample of them.
            language: the language of the targets.

        Raises:
            DataError: the pairs do not allow as many pieces.
        """
        sources = [pair.source for pair in pairs]
        targets = [pair.target for pair in pairs]
        if self.joint:
            source_model = target_model = self._sentencepiece_model([*sources, *targets], language)
        else:
            source_model = self._sentencepiece_model(sources, language)
            target_model = self._sentencepiece_model(targets, language)
        source = ReversibleTokenizer(
            self.tokenizer,
            source_model,
            stop_words=self.stop_words,
            lowercase=self.lowercase,
            normalization=self.normalization,
        )
        target = ReversibleTokenizer(
            self.tokenizer, target_model, lowercase=self.lowercase, normalization=self.normalization
        )
        return PairTokenizers(source, target, source_model, [] if self.joint else target_model, language)

    def _sentencepiece_model(self, texts: Sequence[str], language: str) -> list[str]:
        """The serialized sentencepiece model that is trained on these texts; empty with other tokenizers."""
        if self.tokenizer != "sentencepiece":
            return []
        coverage = self.character_coverage
        if coverage == "by_language":
            coverage = 0.9995 if primary_language(language) in THOUSANDS else 1.0
        normalized = map(Normalizer(self.normalization), texts)
        try:
            return SentencePieceModel.fit(
                map(str.lower, normalized) if self.lowercase else normalized,
                num_pieces(self.vocabulary_size),
                algorithm=self.algorithm,
                character_coverage=coverage,
                faithful=True,
                exact=self.vocabulary_size != "by_tokenizer",
            ).serialized
        except ZooError as error:
            raise DataError(f"--data.vocabulary_size: {error}") from error

    def counts(self, pairs: Sequence[Pair], tokenizers: PairTokenizers) -> Seq2SeqCounts:
        """What the codec is fitted on, of a training split in memory."""
        counts = Seq2SeqCounts(pairs=len(pairs))
        if tokenizers.source.subwords is None:
            counts.sources.update(chain.from_iterable(tokenizers.source.split(pair.source) for pair in pairs))
            counts.targets.update(chain.from_iterable(tokenizers.target.split(pair.target) for pair in pairs))
        if self.unit is None:
            counts.several = sum(len(split_sentences(pair.source)) > 1 for pair in pairs)
        return counts

    def codec(self, counts: Seq2SeqCounts, tokenizers: PairTokenizers, vectors: VectorFile) -> Seq2SeqCodec:
        """The codec.

        Args:
            counts: the pieces of the training split.
            tokenizers: what has split it.
            vectors: the imported vectors of source words.

        Raises:
            DataError: the training split has fewer different words than `vocabulary_size`.
        """
        if self.joint:
            source_words = self._vocabulary(tokenizers.source, counts.sources + counts.targets)
            target_words = Vocabulary(())
        else:
            source_words = self._vocabulary(tokenizers.source, counts.sources)
            target_words = self._vocabulary(tokenizers.target, counts.targets)
        # By default, a source is a text if more than a tenth of the sources have several sentences.
        guess = "text" if counts.several > counts.pairs / 10 else "sentence"
        return Seq2SeqCodec(
            source_words,
            target_words,
            tokenizer=self.tokenizer,
            source_sentencepiece_model=tuple(tokenizers.source_model),
            target_sentencepiece_model=tuple(tokenizers.target_model),
            stop_words=tuple(self.stop_words),
            lowercase=self.lowercase,
            normalization=tuple(self.normalization),
            language=tokenizers.language,
            unit=self.unit or guess,
            max_source=self.max_source,
            max_target=self.max_target,
            vector_words=vectors.words,
            vector_size=vectors.size,
        )

    def _vocabulary(self, tokenizer: ReversibleTokenizer, pieces: Iterable[str]) -> Vocabulary:
        if tokenizer.subwords is not None:
            return Vocabulary((*SPECIALS, *tokenizer.subwords.pieces))
        entries = Vocabulary.fit(pieces, min_count=self.min_count, specials=SPECIALS)
        size = limit(self.vocabulary_size)
        if size is None:
            return entries
        largest = len(entries) - len(SPECIALS)
        if size > largest:
            unit = "characters" if self.tokenizer == "characters" else "words"
            raise DataError(
                f"--data.vocabulary_size: {size} {unit} are more than this text has: {largest} is the largest possible "
                "number"
            )
        return Vocabulary(entries[: len(SPECIALS) + size])
