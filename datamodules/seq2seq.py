"""Pairs of a source and a target text, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from datamodules.base import CorpusDataModule
from datamodules.corpus import Corpus
from datamodules.errors import DataError
from datamodules.readers.parallel import parallel_file, read_pairs, read_parallel
from datamodules.readers.tables import ENDINGS, FORMATS
from zoo.batches.seq2seq import Pair, Seq2SeqDataset
from zoo.codecs import Seq2SeqCodec
from zoo.errors import ZooError, unknown_name
from zoo.text import SentencePieceModel, Vocabulary, require_words, split_sentences
from zoo.text.languages import guess_language, primary_language
from zoo.text.reversible import SPECIALS, ReversibleTokenizer, bare
from zoo.text.stop_words import read_stop_words
from zoo.text.units import UNITS

# The number of pieces that sentencepiece learns by default, if the text allows as many.
PIECES = 8000
# Languages with thousands of characters, the rarest of which are spelled in bytes.
THOUSANDS = ("zh", "ja")


class Seq2SeqDataModule(CorpusDataModule[Seq2SeqCodec]):
    """Reads, encodes and batches pairs of texts; pieces and vocabularies come from the training split alone.

    >>> data = Seq2SeqDataModule("sample-phrases", tokenizer="words")
    >>> model = zoo.Seq2Seq(data.codec, encoder_size=32, decoder_size=64)
    >>> pl.Trainer(max_epochs=15, gradient_clip_val=1.0).fit(model, data)

    Neither text of a pair may be empty: the error names the line. Texts longer than `max_source` or `max_target` are
    truncated, and a warning says how many.

    Args:
        dataset: a name of the catalog (`datamodules.CATALOG`); ignored if one of `train`, `dev` and `test` is given.
        source: where the sources are: the ending of a parallel file ("en"), or a column: a name, or a number, 0 the
            first and -1 the last. By default the corpus's own, and "source" in the user's own files.
        target: where the targets are, likewise; by default the corpus's own, and "target" in the user's own files. In
            csl-zh "title" or "keywords".
        root: the folder of the corpora; by default $ZOO_DATA, else the user's cache folder.
        train: the user's own file to train on, a table, or the common part of the names of parallel files: "my/train"
            for my/train.en and my/train.de. Then `dataset` is not read.
        dev: the user's own file to choose the best checkpoint on.
        test: the user's own file to score once at the end.
        format: "parallel", "csv", "tsv", "jsonl" or "parquet", for the user's own files; by default what their ending
            says, and "parallel" for any other ending.
        header: whether the first line names the columns (CSV, TSV); by default it does, unless both are numbers.
        language: of the targets, a tag of BCP 47 such as "de" or "zh-CN"; by default the corpus's own, and in one's own
            files what the script of the training targets tells (`zoo.text.languages.guess_language`).
        unit: what a source is, a "sentence" or a "text" of several: of a text a translator of sentences rewrites one
            after the other, while a summarizer reads it as one in any case. By default a "text" where more than a
            tenth of the training split have several sentences.
        tokenizer: "sentencepiece", "words", "characters" or "jieba" (Chinese words, an optional package).
        stop_words: words of sources that are not read, and so cannot be copied: "english", "chinese" or a file with
            one a line. Targets keep all of theirs. Not with sentencepiece, whose pieces are not words.
        lowercase: whether both sides are turned into lower case, so that a title's "Neural" can be copied from an
            abstract's "neural"; outputs are in lower case then.
        vocabulary_size: the number of pieces or words of a side; by default 8,000 pieces with sentencepiece, or as many
            as the text allows, and all words or characters with other tokenizers.
        algorithm: the algorithm of sentencepiece: "unigram" or "bpe".
        joint: whether both sides share pieces, vocabulary and embeddings.
        character_coverage: share of the characters that are pieces, all others are spelled in bytes; by default 1,
            in Chinese and Japanese 0.9995.
        min_count: rarer words or characters are in no vocabulary.
        vectors: a text file of vectors of source words (word2vec, GloVe or fastText; plain or .gz), which are looked
            up as they are spelled, else in lower case. Not with sentencepiece either.
        max_vectors: the number of vectors that are read, from the top.
        max_source: the largest number of pieces that are read of a source.
        max_target: the largest number of pieces of a target, without its end.
        max_tokens: the token budget of a training batch, sources and targets, padding included, for each process; by
            default an epoch has about 170 steps, with a budget of 100 at least and 4,000 at most.
        seed: seeds the order of the batches.
        codec: the codec of a trained model, to evaluate or to fine-tune it; then no codec is fitted, and the arguments
            in `fitting` are not read.

    Raises:
        DataError: a file that cannot be read or is malformed (file, line and what was expected), sides of unequal
            length, a vocabulary larger than the text allows, or names that are not known (the known ones are listed).
    """

    task = "seq2seq"
    fitting = CorpusDataModule.fitting | {
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
        vocabulary_size: int | None = None,
        algorithm: str = "unigram",
        joint: bool = True,
        character_coverage: float | None = None,
        min_count: int = 1,
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_source: int = 400,
        max_target: int = 100,
        max_tokens: int | None = None,
        seed: int = 0,
        codec: Seq2SeqCodec | None = None,
    ):
        super().__init__(
            dataset,
            root=root,
            train=train,
            dev=dev,
            test=test,
            vectors=vectors,
            max_vectors=max_vectors,
            max_tokens=max_tokens,
            seed=seed,
            codec=codec,
        )
        formats = sorted(("parallel", *FORMATS))
        if format not in (None, *formats):
            raise DataError(f"unknown format {format!r}: known are {', '.join(formats)}")
        require_words(tokenizer, {"stop words": stop_words, "imported vectors": vectors})
        if language is not None:
            # This refuses an unknown language.
            primary_language(language)
        if unit not in (None, *UNITS):
            raise unknown_name("unit", unit, UNITS)
        self.source, self.target, self.format, self.header = source, target, format, header
        self.language, self.unit = language, unit
        self.tokenizer, self.lowercase = tokenizer, lowercase
        self.stop_words = read_stop_words(stop_words, tokenizer)
        self.vocabulary_size, self.algorithm, self.joint = vocabulary_size, algorithm, joint
        self.character_coverage, self.min_count = character_coverage, min_count
        self.max_source, self.max_target = max_source, max_target
        self._read: dict[str, list[Pair]] = {}

    @property
    def training_examples(self) -> int:
        return len(self.pairs("train"))

    @property
    def training_tokens(self) -> int:
        """Tokens of the training split, of both sides."""
        if "train" not in self._encoded:
            self._encoded["train"] = self._encode("train")
        return int(np.sum(self._encoded["train"].lengths))

    def pairs(self, split: str) -> list[Pair]:
        """The pairs of "train", "dev" or "test"."""
        if split not in self._read:
            corpus = self._corpus
            self._read[split] = self._own_pairs(split) if corpus is None else self._named_pairs(split, corpus)
        return self._read[split]

    @property
    def _sides(self) -> tuple[str | int, str | int]:
        """Where the sources are, and where the targets are."""
        corpus = self._corpus
        source = corpus.text_column if corpus else "source"
        target = corpus.column if corpus else "target"
        return source if self.source is None else self.source, target if self.target is None else self.target

    def _own_pairs(self, split: str) -> list[Pair]:
        path = self._locate(split)
        source, target = self._sides
        ending = Path(str(path).removesuffix(".gz")).suffix.lower()
        format = self.format or ("parallel" if ending not in ENDINGS else None)
        if format == "parallel":
            return read_parallel(parallel_file(path, source), parallel_file(path, target))
        return read_pairs(path, source, target, format=format, header=self.header)

    def _named_pairs(self, split: str, corpus: Corpus) -> list[Pair]:
        source, target = self._sides
        # A corpus of parallel files has a file of each side, and some others have one of each kind of target.
        endings = sorted({name.partition("/")[2] for name in corpus.splits} - {""})
        if not endings:
            return read_pairs(self._locate(split), source, target, format=corpus.format)
        asked = [source, target] if corpus.format == "parallel" else [target]
        for ending in asked:
            if ending not in endings:
                raise DataError(f"{self.dataset} has no {ending}: known are {', '.join(endings)}")
        target_file = self._locate(f"{split}/{target}")
        if corpus.format == "parallel":
            return read_parallel(self._locate(f"{split}/{source}"), target_file)
        # The file of a kind of target is a table of two columns without a header.
        return read_pairs(target_file, "0", "1", format=corpus.format)

    def _fit_codec(self) -> Seq2SeqCodec:
        sources = [pair.source for pair in self.pairs("train")]
        targets = [pair.target for pair in self.pairs("train")]
        language = self._fit_language()
        if self.joint:
            source_model = target_model = self._fit_sentencepiece([*sources, *targets], language)
        else:
            source_model = self._fit_sentencepiece(sources, language)
            target_model = self._fit_sentencepiece(targets, language)
        source_tokenizer = ReversibleTokenizer(
            self.tokenizer, source_model, stop_words=self.stop_words, lowercase=self.lowercase
        )
        target_tokenizer = ReversibleTokenizer(self.tokenizer, target_model, lowercase=self.lowercase)
        source_pieces = chain.from_iterable(map(source_tokenizer.split, sources))
        target_pieces = chain.from_iterable(map(target_tokenizer.split, targets))
        if self.joint:
            source_words = self._fit_vocabulary(source_tokenizer, chain(source_pieces, target_pieces))
            target_words = Vocabulary(())
            target_model = []
        else:
            source_words = self._fit_vocabulary(source_tokenizer, source_pieces)
            target_words = self._fit_vocabulary(target_tokenizer, target_pieces)
        return Seq2SeqCodec(
            source_words,
            target_words,
            tokenizer=self.tokenizer,
            source_sentencepiece_model=tuple(source_model),
            target_sentencepiece_model=tuple(target_model),
            stop_words=tuple(self.stop_words),
            lowercase=self.lowercase,
            language=language,
            unit=self._fit_unit(),
            max_source=self.max_source,
            max_target=self.max_target,
            vector_words=self._vector_words,
            vector_size=self._vector_size,
        )

    def _fit_language(self) -> str:
        """The language of the targets: the given one, that of the corpus, or a guess from the user's own targets."""
        if self.language is not None:
            return self.language
        corpus = self._corpus
        if corpus is None:
            return guess_language(pair.target for pair in self.pairs("train"))
        return str(self._sides[1]) if corpus.format == "parallel" else corpus.language

    def _fit_unit(self) -> str:
        """The given unit, or a "text" if more than a tenth of the training sources have several sentences."""
        if self.unit is not None:
            return self.unit
        pairs = self.pairs("train")
        several = sum(len(split_sentences(pair.source)) > 1 for pair in pairs)
        return "text" if several > len(pairs) / 10 else "sentence"

    def _fit_sentencepiece(self, texts: Sequence[str], language: str) -> list[str]:
        """The model of sentencepiece that is learned from these texts; empty with other tokenizers."""
        if self.tokenizer != "sentencepiece":
            return []
        many = primary_language(language) in THOUSANDS
        coverage = self.character_coverage or (0.9995 if many else 1.0)
        try:
            return SentencePieceModel.fit(
                map(str.lower, texts) if self.lowercase else texts,
                self.vocabulary_size or PIECES,
                algorithm=self.algorithm,
                character_coverage=coverage,
                faithful=True,
                exact=self.vocabulary_size is not None,
            ).serialized
        except ZooError as error:
            raise DataError(f"--data.vocabulary_size: {error}") from error

    def _fit_vocabulary(self, tokenizer: ReversibleTokenizer, pieces: Iterable[str]) -> Vocabulary:
        if tokenizer.subwords is not None:
            return Vocabulary((*SPECIALS, *tokenizer.subwords.pieces))
        entries = Vocabulary.fit(pieces, min_count=self.min_count, specials=SPECIALS)
        largest = len(entries) - len(SPECIALS)
        if self.vocabulary_size is None:
            return entries
        if self.vocabulary_size > largest:
            unit = "characters" if self.tokenizer == "characters" else "words"
            raise DataError(
                f"--data.vocabulary_size: {self.vocabulary_size} {unit} are more than this text has: "
                f"{largest} is the largest possible number"
            )
        return Vocabulary(entries[: len(SPECIALS) + self.vocabulary_size])

    @property
    def folds_vectors(self) -> bool:
        """Always true: the words of a source may have capitals while its vectors are in lower case."""
        return True

    def _training_words(self) -> Iterable[str]:
        split = self.codec.indexer.source_tokenizer.split
        return (bare(piece) for pair in self.pairs("train") for piece in split(pair.source))

    def _encode(self, split: str) -> Seq2SeqDataset:
        data, codec = self.codec.dataset(self.pairs(split)), self.codec
        if data.sources.cut:
            self._warn_of_cut(f"{data.sources.cut} sources of {split}", f"max_source={codec.max_source}")
        if data.cut:
            self._warn_of_cut(f"{data.cut} targets of {split}", f"max_target={codec.max_target}")
        if data.sources.empty:
            warnings.warn(
                f"{data.sources.empty} sources of {split} are stop words alone: each is read as one unknown word"
            )
        return data

    def _warn_of_cut(self, texts: str, longest: str) -> None:
        warnings.warn(f"{texts} have more than {longest} pieces: they are cut there")
