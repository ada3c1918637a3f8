"""Pairs of a source text and a target text, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from datamodules.budget import MaxTokens
from datamodules.encoding import sampled
from datamodules.errors import DataError
from datamodules.extension import following
from datamodules.large_corpora import Stored
from datamodules.pair_files import PairFiles
from datamodules.readers.tables import FORMATS
from datamodules.readers.vectors import coverage
from datamodules.seq2seq_encoder import Seq2SeqCounts, Seq2SeqEncoder, stored_pairs
from datamodules.seq2seq_fitter import CharacterCoverage, PairTokenizers, Seq2SeqFitter
from datamodules.stored import StoredDataModule
from datamodules.vocabulary_size import VocabularySize
from zoo.batches.seq2seq import Pair, Seq2SeqDataset
from zoo.codecs import Seq2SeqCodec
from zoo.errors import unknown_name
from zoo.text import require_words
from zoo.text.languages import guess_language, primary_language
from zoo.text.normalization import DEFAULT, check_normalizations
from zoo.text.reversible import bare
from zoo.text.stop_words import read_stop_words
from zoo.text.units import UNITS

# Pairs that tell the language of the targets of a large corpus.
HEAD = 20_000


class Seq2SeqDataModule(StoredDataModule[Seq2SeqCodec, Pair]):
    """Reads, encodes and batches pairs of texts. Pieces and vocabularies are fitted on the training split only.

    >>> data = Seq2SeqDataModule("sample-phrases", tokenizer="words")
    >>> model = zoo.Seq2Seq(data.codec, encoder_size=32, decoder_size=64)
    >>> pl.Trainer(max_epochs=15, gradient_clip_val=1.0).fit(model, data)

    Both texts of a pair must be non-empty; the error for an empty text names its line. Texts that are longer than
    `max_source` or `max_target` are truncated, and a warning counts them.

    Args:
        dataset: the name of a corpus in the catalog (`datamodules.CATALOG`), which is ignored if `train`, `dev` or
            `test` is given; or a dataset of Hugging Face, "hf:OWNER/NAME", some of whose splits these may name.
        source: the sources: the ending of a parallel file ("en"), or a column, which is a name or a number (0 is the
            first, -1 the last). By default the one in the catalog, or "source" in own files.
        target: the targets, given in the same way. By default the one in the catalog, or "target" in own files. In
            csl-zh, "title" or "keywords".
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        train: your own file to train on: a table, or the common part of the names of two parallel files ("my/train" for
            my/train.en and my/train.de). Then `dataset` is ignored.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        format: the format of own files: "parallel", "csv", "tsv", "jsonl", "parquet" or "xlsx"; by default it follows
            from the file's ending, and any other ending means "parallel".
        header: whether the first row of CSV, TSV or Excel names the columns; by default true, unless both columns are
            given as numbers.
        language: the language of the targets as a BCP 47 tag such as "de" or "zh-CN". By default the language in the
            catalog; for own files it is guessed from the script of the training targets.
        unit: what a source is: a "sentence", or a "text" of several sentences. A translation model translates a text
            sentence by sentence; a summarization model always reads the whole text. By default "text" if more than a
            tenth of the training sources have several sentences.
        tokenizer: "sentencepiece", "words", "characters" or "jieba" (Chinese words, an optional package).
        stop_words: source words to leave out: "english", "chinese" or a file with one word per line. They cannot be
            copied into the output. Targets keep all words. Not available with sentencepiece, whose pieces are not
            words.
        lowercase: whether both sides, and therefore the outputs, are in lower case. Then a title's "Neural" can be
            copied from an abstract's "neural".
        normalization: how texts are normalized before anything else, in training and prediction: any of "nfc" (composed
            characters), "invisible" (without zero-width spaces and soft hyphens), "full_width" (ASCII for full-width
            forms, as in Chinese) and "quotes" (straight quotes for curly ones).
        vocabulary_size: the number of pieces or words of each side. With "by_tokenizer" it is 8,000 pieces with
            sentencepiece (fewer if the text does not allow as many), and all words or characters with other tokenizers.
        algorithm: the algorithm of sentencepiece: "unigram" or "bpe".
        joint: whether both sides share pieces, vocabulary and embeddings.
        character_coverage: the fraction of the text's characters that sentencepiece keeps as pieces; other characters
            are spelled in bytes. With "by_language" it is 0.9995 for Chinese and Japanese, and 1 for others.
        min_count: words or characters that occur less often are in no vocabulary.
        vectors: a file of vectors of source words (word2vec, GloVe or fastText) to import, in text or in word2vec's
            binary format. A word is looked up as it is spelled, and then in lower case. Not available with
            sentencepiece.
        max_vectors: the largest number of vectors to read from the top of the file.
        max_source: the largest number of pieces that the model reads of a source.
        max_target: the largest number of pieces in a target, without the end symbol.
        max_tokens: the largest number of tokens in a training batch of one process, with sources, targets and padding.
            With "by_size" it is between 100 and 4,000, so that an epoch has about 170 steps; with "auto" it is as large
            as the memory of a GPU allows.
        seed: seeds the order of the batches.
        store: whether splits are encoded on disk, once, and read from there. With "by_size" a split is if its files
            have more than 256 MiB. Needs pyarrow.
        codec: the codec of a trained model, to evaluate or fine-tune that model. Then no codec is fitted, and the
            arguments in `fitting` are ignored.
        extends: the codec of a trained model to fine-tune. The codec of the data is then that codec with the new words
            of the training split; pieces of sentencepiece spell all words, so that there are no new ones. Arguments in
            `fitting` that are fields of the codec are ignored, and so are `algorithm` and `joint`.

    Raises:
        DataError: a file cannot be read or is malformed (the message has the file, the line and what was expected), the
            sides differ in length, the vocabulary is larger than the text allows, or a name is unknown (the message
            lists the known ones).
    """

    task = "seq2seq"
    _extends: Seq2SeqCodec | None
    codec_class = Seq2SeqCodec
    fitting = StoredDataModule.fitting | {
        "language", "unit", "tokenizer", "stop_words", "vocabulary_size", "algorithm", "joint", "character_coverage",
        "max_source", "max_target",
    }  # fmt: skip
    largest_budget = 4000

    def __init__(
        self,
        dataset: str = "sample-headlines",
        *,
        source: str | int | None = None,
        target: str | int | None = None,
        root: str | None = None,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        format: str | None = None,
        header: bool | None = None,
        language: str | None = None,
        unit: str | None = None,
        tokenizer: str = "sentencepiece",
        stop_words: str | None = None,
        lowercase: bool = False,
        normalization: Sequence[str] = DEFAULT,
        vocabulary_size: VocabularySize = "by_tokenizer",
        algorithm: str = "unigram",
        joint: bool = True,
        character_coverage: CharacterCoverage = "by_language",
        min_count: int = 1,
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_source: int = 400,
        max_target: int = 100,
        max_tokens: MaxTokens = "by_size",
        seed: int = 0,
        store: Stored = "by_size",
        codec: Seq2SeqCodec | None = None,
        extends: Seq2SeqCodec | None = None,
    ):
        super().__init__(
            dataset,
            train=train,
            dev=dev,
            test=test,
            max_tokens=max_tokens,
            seed=seed,
            codec=codec,
            extends=extends,
            root=root,
            vectors=vectors,
            max_vectors=max_vectors,
        )
        self.store = store
        formats = sorted(("parallel", *FORMATS))
        if format not in (None, *formats):
            raise DataError(f"unknown format {format!r}: known are {', '.join(formats)}")
        require_words(tokenizer, {"stop words": stop_words, "imported vectors": vectors})
        if language is not None:
            # This raises an error for an unknown language.
            primary_language(language)
        if unit not in (None, *UNITS):
            raise unknown_name("unit", unit, UNITS)
        self.language = language
        self.pair_files = PairFiles(self.files, source, target, format=format, header=header)
        fitter = Seq2SeqFitter(
            unit=unit,
            tokenizer=tokenizer,
            stop_words=read_stop_words(stop_words, tokenizer),
            lowercase=lowercase,
            normalization=check_normalizations(normalization),
            vocabulary_size=vocabulary_size,
            algorithm=algorithm,
            joint=joint if extends is None else not extends.target_words,
            character_coverage=character_coverage,
            min_count=min_count,
            max_source=max_source,
            max_target=max_target,
        )
        self.fitter = following(fitter, extends)

    def pairs(self, split: str) -> list[Pair]:
        """The pairs of "train", "dev" or "test". They are read again each time, as soon as the split is encoded."""
        return self.examples(split)

    def _read_examples(self, split: str) -> Iterator[Pair]:
        return self.pair_files.read(split)

    def paths(self, split: str) -> list[str | Path]:
        return self.pair_files.paths(split)

    def _fit_codec(self) -> Seq2SeqCodec:
        pairs = self.examples("train")
        tokenizers = self._fit_tokenizers(pairs)
        return self._codec_of(self.fitter.counts(pairs, tokenizers), tokenizers)

    def _codec_of(self, counts: Seq2SeqCounts, tokenizers: PairTokenizers) -> Seq2SeqCodec:
        return self._extended(self.fitter.codec(counts, tokenizers, self.vector_file))

    def _fit_tokenizers(self, pairs: Sequence[Pair]) -> PairTokenizers:
        """The tokenizers of both sides, fitted on these pairs, or those of the codec to extend."""
        language = self._target_language(pairs)
        if self._extends is None:
            return self.fitter.tokenizers(pairs, language)
        known = self._extends
        return PairTokenizers(
            known.indexer.source_tokenizer,
            known.indexer.target_tokenizer,
            source_model=list(known.source_sentencepiece_model),
            target_model=list(known.target_sentencepiece_model),
            language=language,
        )

    def _target_language(self, pairs: Iterable[Pair]) -> str:
        """The language of the targets: as given, as in the catalog, that of the model to fine-tune, or a guess."""
        if self.language is not None:
            return self.language
        corpus = self.files.entry
        if corpus is None and self._extends is not None:
            return self._extends.language
        if corpus is None:
            return guess_language(pair.target for pair in pairs)
        return str(self.pair_files.sides[1]) if corpus.format == "parallel" else corpus.language

    def _training_words(self) -> Iterable[str]:
        split = self.codec.indexer.source_tokenizer.split
        return (bare(piece) for pair in self.examples("train") for piece in split(pair.source))

    @property
    def _store_settings(self) -> dict[str, object]:
        files = self.pair_files
        settings = {"source": files.source, "target": files.target, "format": files.format, "header": files.header}
        return {**settings, **asdict(self.fitter), "language": self.language}

    def _encoder(self, split: str) -> Seq2SeqEncoder:
        codec = self._codec if split == "train" else self.codec
        if codec is None:
            tokenizers = self._fit_tokenizers(self._head_or_sample())
            source, target = tokenizers.source, tokenizers.target
        else:
            source, target = codec.indexer.source_tokenizer, codec.indexer.target_tokenizer
        return Seq2SeqEncoder(
            self.pair_files.parts(split),
            source,
            target,
            max_source=(codec or self.fitter).max_source,
            max_target=(codec or self.fitter).max_target,
            with_texts=split != "train",
            codec_of=lambda counts: codec or self._codec_of(counts, tokenizers),
            facts_of=lambda codec, counts: {
                "coverage": coverage(codec.vector_words, _words(counts.sources), fold=self.folds_vectors)
            },
        )

    def _head_or_sample(self) -> list[Pair]:
        """Pairs that tell the language of the targets; with sentencepiece, those that its models are trained on."""
        pairs = self._read_examples("train")
        return sampled(pairs) if self.fitter.tokenizer == "sentencepiece" else list(islice(pairs, HEAD))

    def _encode(self, split: str) -> Seq2SeqDataset:
        codec = self.codec
        store = self._store_of(split)
        if store is not None:
            data = stored_pairs(store)
        else:
            # Only what a model writes is compared with texts. In a training, nothing is.
            pairs = self.examples(split)
            self.overlap.add(split, (pair.source for pair in pairs))
            data = codec.dataset(pairs, with_texts=split != "train")
        if data.sources.cut:
            self._warn_of_cut(f"{data.sources.cut} sources of {split}", f"max_source={codec.max_source}")
        if data.cut:
            self._warn_of_cut(f"{data.cut} targets of {split}", f"max_target={codec.max_target}")
        if data.sources.empty:
            warnings.warn(
                f"{data.sources.empty} sources of {split} have only stop words: each is read as one unknown word"
            )
        return data

    def _warn_of_cut(self, texts: str, longest: str) -> None:
        warnings.warn(f"{texts} have more than {longest} pieces and are truncated")


def _words(pieces: Counter[str]) -> Counter[str]:
    """How often each word occurs whose vector is looked up."""
    words: Counter[str] = Counter()
    for piece, count in pieces.items():
        words[bare(piece)] += count
    return words
