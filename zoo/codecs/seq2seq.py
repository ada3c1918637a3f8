"""The codec of sequence to sequence: texts to ids, and ids back to text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
    """How texts become ids, and ids become texts.

    Raises:
        ZooError: an unknown tokenizer, unit or language (the known ones are listed); a vocabulary that does not begin
            with `zoo.text.reversible.SPECIALS`; stop words or imported vectors with sentencepiece, whose pieces are
            not words.
    """

    source_words: Vocabulary
    """The vocabulary of sources, `zoo.text.reversible.SPECIALS` first."""
    target_words: Vocabulary = Vocabulary(())
    """The vocabulary of targets; empty where both sides share one."""
    tokenizer: str = "sentencepiece"
    """How a text is split: "sentencepiece", "words", "characters" or "jieba" (Chinese words)."""
    source_sentencepiece_model: tuple[str, ...] = ()
    """The serialized sentencepiece model of sources, for that tokenizer."""
    target_sentencepiece_model: tuple[str, ...] = ()
    """That of targets; empty where both sides share one."""
    stop_words: tuple[str, ...] = ()
    """Words of sources that are not read, in lower case."""
    lowercase: bool = False
    """Whether both sides are in lower case, so that "Neural" can be copied from "neural"."""
    language: str = "en"
    """The language of targets, a tag of BCP 47 such as "de" or "zh-CN"."""
    unit: str = "sentence"
    """What a source of the training split is: a "sentence", or a "text" of several. Of a text a model of sentences
    rewrites one sentence after the other; a summarizer reads it as one in any case."""
    max_source: int = 400
    """Pieces of a source that are read at most."""
    max_target: int = 100
    """Pieces of a target at most, its end not counted."""

    def __post_init__(self) -> None:
        self._convert(Vocabulary, "source_words", "target_words", "vector_words")
        self._convert(tuple, "source_sentencepiece_model", "target_sentencepiece_model")
        self._convert(sorted_tuple, "stop_words")
        if self.unit not in UNITS:
            raise unknown_name("unit", self.unit, UNITS)
        primary_language(self.language)
        self.indexer  # noqa: B018  it checks the fields that it reads

    @cached_property
    def indexer(self) -> PairIndexer:
        """Makes the ids of pieces, and the text of ids."""
        target_model = self.target_sentencepiece_model or self.source_sentencepiece_model
        return PairIndexer(
            ReversibleTokenizer(
                self.tokenizer,
                self.source_sentencepiece_model,
                stop_words=self.stop_words,
                lowercase=self.lowercase,
            ),
            ReversibleTokenizer(self.tokenizer, target_model, lowercase=self.lowercase),
            source_vocabulary=self.source_words,
            target_vocabulary=self.target_words or self.source_words,
            vectors=self.vector_words,
            max_source=self.max_source,
            max_target=self.max_target,
        )

    def sources(self, texts: Sequence[str]) -> Sources:
        """Texts to read, as tensors."""
        return Sources(texts, self.indexer)

    def dataset(self, pairs: Sequence[Pair]) -> Seq2SeqDataset:
        """Pairs of texts, as tensors."""
        return Seq2SeqDataset(pairs, self.indexer)
