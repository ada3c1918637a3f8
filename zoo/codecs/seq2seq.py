"""The codec of sequence-to-sequence models: it turns texts into ids, and ids into texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from zoo.batches.indexers import PairIndexer
from zoo.batches.seq2seq import Pair, Seq2SeqDataset, Sources
from zoo.codecs.base import Codec, sorted_tuple
from zoo.errors import unknown_name
from zoo.text import Vocabulary
from zoo.text.languages import primary_language
from zoo.text.reversible import ReversibleTokenizer
from zoo.text.units import UNITS


@dataclass(frozen=True)
class Seq2SeqCodec(Codec):
    """Turns texts into ids, and ids into texts.

    Raises:
        ZooError: a tokenizer, unit or language is unknown (the known ones are listed); a vocabulary does not begin with
            `zoo.text.reversible.SPECIALS`; there are stop words or imported vectors with sentencepiece, whose pieces
            are not words.
    """

    ANSWERS: ClassVar[frozenset[str]] = frozenset({"language", "unit"})

    source_words: Vocabulary
    """The vocabulary of sources, after `zoo.text.reversible.SPECIALS`."""
    target_words: Vocabulary = Vocabulary(())
    """The vocabulary of targets; empty if both sides share one."""
    tokenizer: str = "sentencepiece"
    """How a text is split: "sentencepiece", "words", "characters" or "jieba" (Chinese words)."""
    source_sentencepiece_model: tuple[str, ...] = ()
    """The serialized sentencepiece model of sources, if that is the tokenizer."""
    target_sentencepiece_model: tuple[str, ...] = ()
    """The serialized sentencepiece model of targets; empty if both sides share one."""
    stop_words: tuple[str, ...] = ()
    """Words of sources to leave out, in lower case."""
    lowercase: bool = False
    """Whether both sides are lowercased, so that "Neural" can be copied from "neural"."""
    language: str = "en"
    """The language of targets, a tag of BCP 47 such as "de" or "zh-CN"."""
    unit: str = "sentence"
    """What a source of the training split is: one "sentence", or a "text" of several sentences. A model of sentences
    reads a longer text sentence by sentence, but a summarizer always reads a text as a whole."""
    max_source: int = 400
    """The largest number of pieces of a source that are read."""
    max_target: int = 100
    """The largest number of pieces of a target, not counting the end."""

    def __post_init__(self) -> None:
        self._convert(Vocabulary, "source_words", "target_words", "vector_words")
        self._convert(tuple, "source_sentencepiece_model", "target_sentencepiece_model", "normalization")
        self._convert(sorted_tuple, "stop_words")
        if self.unit not in UNITS:
            raise unknown_name("unit", self.unit, UNITS)
        primary_language(self.language)
        # Its constructor checks the fields that it reads.
        self.indexer  # noqa: B018

    @cached_property
    def indexer(self) -> PairIndexer:
        """Turns pieces into ids, and ids into texts."""
        target_model = self.target_sentencepiece_model or self.source_sentencepiece_model
        return PairIndexer(
            ReversibleTokenizer(
                self.tokenizer,
                self.source_sentencepiece_model,
                stop_words=self.stop_words,
                lowercase=self.lowercase,
                normalization=self.normalization,
            ),
            ReversibleTokenizer(
                self.tokenizer, target_model, lowercase=self.lowercase, normalization=self.normalization
            ),
            source_vocabulary=self.source_words,
            target_vocabulary=self.target_words or self.source_words,
            vectors=self.vector_words,
            max_source=self.max_source,
            max_target=self.max_target,
        )

    def sources(self, texts: Sequence[str]) -> Sources:
        """Source texts as tensors."""
        return Sources.of(texts, self.indexer)

    def dataset(self, pairs: Sequence[Pair], *, with_texts: bool = True) -> Seq2SeqDataset:
        """The dataset of pairs of texts."""
        return Seq2SeqDataset.of(pairs, self.indexer, with_texts=with_texts)
