"""Pairs of a source text and a target text, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from datamodules.base import CorpusDataModule
from datamodules.corpus import Corpus
from datamodules.encoding import sampled
from datamodules.errors import DataError
from datamodules.readers.compression import unpacked_name
from datamodules.readers.file_parts import Parted
from datamodules.readers.parallel import parallel_file, read_pairs, read_parallel
from datamodules.readers.tables import ENDINGS, FORMATS
from datamodules.readers.vectors import coverage
from datamodules.seq2seq_encoder import Seq2SeqCounts, Seq2SeqEncoder, stored_pairs
from zoo.batches.seq2seq import Pair, Seq2SeqDataset
from zoo.codecs import Seq2SeqCodec
from zoo.errors import ZooError, unknown_name
from zoo.text import SentencePieceModel, Vocabulary, require_words, split_sentences
from zoo.text.languages import guess_language, primary_language
from zoo.text.normalization import DEFAULT, Normalizer
from zoo.text.reversible import SPECIALS, ReversibleTokenizer, bare
from zoo.text.stop_words import read_stop_words
from zoo.text.units import UNITS

# The default size of a sentencepiece model. A short text may allow fewer pieces.
PIECES = 8000
# Pairs that tell the language of the targets of a large corpus.
HEAD = 20_000
# Languages with thousands of characters. By default, their rarest characters are spelled in bytes.
THOUSANDS = ("zh", "ja")


class Seq2SeqDataModule(CorpusDataModule[Seq2SeqCodec]):
    """Reads, encodes and batches pairs of texts. Pieces and vocabularies are fitted on the training split only.

    >>> data = Seq2SeqDataModule("sample-phrases", tokenizer="words")
    >>> model = zoo.Seq2Seq(data.codec, encoder_size=32, decoder_size=64)
    >>> pl.Trainer(max_epochs=15, gradient_clip_val=1.0).fit(model, data)

    Both texts of a pair must be non-empty; the error for an empty text names its line. Texts that are longer than
    `max_source` or `max_target` are truncated, and a warning counts them.

    Args:
        dataset: the name of a corpus in the catalog (`datamodules.CATALOG`). It is ignored if `train`, `dev` or `test`
            is given.
        source: the sources: the ending of a parallel file ("en"), or a column, which is a name or a number (0 is the
            first, -1 the last). By default the one in the catalog, or "source" in own files.
        target: the targets, given in the same way. By default the one in the catalog, or "target" in own files. In
            csl-zh, "title" or "keywords".
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        train: your own file to train on: a table, or the common part of the names of two parallel files ("my/train" for
            my/train.en and my/train.de). Then `dataset` is ignored.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        format: the format of own files: "parallel", "csv", "tsv", "jsonl" or "parquet"; by default it follows from the
            file's ending, and any other ending means "parallel".
        header: whether the first line of a CSV or TSV file names the columns; by default true, unless both columns are
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
        vocabulary_size: the number of pieces or words of each side; by default 8,000 pieces with sentencepiece (fewer
            if the text does not allow as many), and all words or characters with other tokenizers.
        algorithm: the algorithm of sentencepiece: "unigram" or "bpe".
        joint: whether both sides share pieces, vocabulary and embeddings.
        character_coverage: the fraction of the text's characters that sentencepiece keeps as pieces; other characters
            are spelled in bytes. By default 1, and 0.9995 for Chinese and Japanese.
        min_count: words or characters that occur less often are in no vocabulary.
        vectors: a text file of vectors of source words (word2vec, GloVe or fastText; plain or .gz) to import. A word is
            looked up as it is spelled, and then in lower case. Not available with sentencepiece.
        max_vectors: the largest number of vectors to read from the top of the file.
        max_source: the largest number of pieces that the model reads of a source.
        max_target: the largest number of pieces in a target, without the end symbol.
        max_tokens: the largest number of tokens in a training batch of one process, with sources, targets and padding.
            By default it is between 100 and 4,000, so that an epoch has about 170 steps. With
            "auto" it is as large as the memory of a GPU allows.
        seed: seeds the order of the batches.
        store: whether the training split is encoded on disk, once, and read from there; by default if its files have
            more than 256 MiB. Needs pyarrow.
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
        normalization: Sequence[str] = DEFAULT,
        vocabulary_size: int | None = None,
        algorithm: str = "unigram",
        joint: bool = True,
        character_coverage: float | None = None,
        min_count: int = 1,
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_source: int = 400,
        max_target: int = 100,
        max_tokens: int | Literal["auto"] | None = None,
        seed: int = 0,
        store: bool | None = None,
        codec: Seq2SeqCodec | None = None,
        extends: Seq2SeqCodec | None = None,
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
            store=store,
            codec=codec,
            extends=extends,
        )
        formats = sorted(("parallel", *FORMATS))
        if format not in (None, *formats):
            raise DataError(f"unknown format {format!r}: known are {', '.join(formats)}")
        require_words(tokenizer, {"stop words": stop_words, "imported vectors": vectors})
        if language is not None:
            # This raises an error for an unknown language.
            primary_language(language)
        if unit not in (None, *UNITS):
            raise unknown_name("unit", unit, UNITS)
        self.source, self.target, self.format, self.header = source, target, format, header
        self.language, self.unit = language, unit
        self.tokenizer, self.lowercase = tokenizer, lowercase
        self.normalization = list(normalization)
        self.stop_words = read_stop_words(stop_words, tokenizer)
        self.vocabulary_size, self.algorithm, self.joint = vocabulary_size, algorithm, joint
        self.character_coverage, self.min_count = character_coverage, min_count
        self.max_source, self.max_target = max_source, max_target
        self._read: dict[str, list[Pair]] = {}
        self._follow_extended_codec()
        if extends is not None:
            self.joint = not extends.target_words

    @property
    def training_examples(self) -> int:
        return self._training_rows or len(self.pairs("train"))

    @property
    def training_tokens(self) -> int:
        """The number of tokens of both sides of the training split."""
        if "train" not in self._encoded:
            self._encoded["train"] = self._encode("train")
        return int(np.sum(self._encoded["train"].lengths))

    def pairs(self, split: str) -> list[Pair]:
        """The pairs of "train", "dev" or "test". They are read again each time, as soon as the split is encoded."""
        if split in self._read:
            return self._read[split]
        pairs = list(self._read_pairs(split))
        if split not in self._encoded:
            self._read[split] = pairs
        return pairs

    @property
    def _sides(self) -> tuple[str | int, str | int]:
        """The columns, or the endings of parallel files, of the sources and of the targets."""
        corpus = self._corpus
        source = corpus.text_column if corpus else "source"
        target = corpus.column if corpus else "target"
        return source if self.source is None else self.source, target if self.target is None else self.target

    def _files(self, split: str) -> list[str | Path]:
        """The file of a split, or two parallel ones: that of the sources first."""
        corpus = self._corpus
        return self._own_files(split) if corpus is None else self._named_files(split, corpus)

    def _own_files(self, split: str) -> list[str | Path]:
        path = self._locate(split)
        ending = Path(unpacked_name(path)).suffix.lower()
        if self.format == "parallel" or (self.format is None and ending not in ENDINGS):
            return [parallel_file(path, side) for side in self._sides]
        return [path]

    def _named_files(self, split: str, corpus: Corpus) -> list[str | Path]:
        endings = _endings(corpus)
        if not endings:
            return [self._locate(split)]
        source, target = self._sides
        asked = [source, target] if corpus.format == "parallel" else [target]
        for ending in asked:
            if ending not in endings:
                raise DataError(f"{self.dataset} has no {ending}: known are {', '.join(endings)}")
        return [self._locate(f"{split}/{ending}") for ending in asked]

    def _read_pairs(self, split: str) -> Iterator[Pair]:
        files = self._files(split)
        if len(files) == 2:
            return read_parallel(*files)
        corpus = self._corpus
        source, target = self._sides
        if corpus is None:
            return read_pairs(files[0], source, target, format=self.format, header=self.header)
        # The file of a kind of target is a table of two columns without a header.
        columns = ("0", "1") if _endings(corpus) else (source, target)
        return read_pairs(files[0], *columns, format=corpus.format)

    def _fit_codec(self) -> Seq2SeqCodec:
        if self._store is not None:
            return Seq2SeqCodec.of(self._store.facts["codec"])
        pairs = self.pairs("train")
        splitters = self._fit_tokenizers(pairs)
        counts = Seq2SeqCounts(pairs=len(pairs))
        if splitters.source.subwords is None:
            counts.sources.update(chain.from_iterable(splitters.source.split(pair.source) for pair in pairs))
            counts.targets.update(chain.from_iterable(splitters.target.split(pair.target) for pair in pairs))
        if self.unit is None:
            counts.several = sum(len(split_sentences(pair.source)) > 1 for pair in pairs)
        return self._codec_of(counts, splitters)

    def _fit_tokenizers(self, pairs: Sequence[Pair]) -> _Tokenizers:
        """What splits sources and targets; sentencepiece models are trained on these pairs."""
        language = self._fit_language(pairs)
        if self._extends is not None:
            known = self._extends
            return _Tokenizers(
                known.indexer.source_tokenizer,
                known.indexer.target_tokenizer,
                list(known.source_sentencepiece_model),
                list(known.target_sentencepiece_model),
                language,
            )
        sources = [pair.source for pair in pairs]
        targets = [pair.target for pair in pairs]
        if self.joint:
            source_model = target_model = self._fit_sentencepiece([*sources, *targets], language)
        else:
            source_model = self._fit_sentencepiece(sources, language)
            target_model = self._fit_sentencepiece(targets, language)
        return _Tokenizers(
            ReversibleTokenizer(
                self.tokenizer,
                source_model,
                stop_words=self.stop_words,
                lowercase=self.lowercase,
                normalization=self.normalization,
            ),
            ReversibleTokenizer(
                self.tokenizer, target_model, lowercase=self.lowercase, normalization=self.normalization
            ),
            source_model,
            [] if self.joint else target_model,
            language,
        )

    def _codec_of(self, counts: Seq2SeqCounts, tokenizers: _Tokenizers) -> Seq2SeqCodec:
        if self.joint:
            source_words = self._fit_vocabulary(tokenizers.source, counts.sources + counts.targets)
            target_words = Vocabulary(())
        else:
            source_words = self._fit_vocabulary(tokenizers.source, counts.sources)
            target_words = self._fit_vocabulary(tokenizers.target, counts.targets)
        # By default, a source is a text if more than a tenth of the sources have several sentences.
        guess = "text" if counts.several > counts.pairs / 10 else "sentence"
        codec = Seq2SeqCodec(
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
            vector_words=self._vector_words,
            vector_size=self._vector_size,
        )
        return self._extended(codec)

    def _fit_language(self, pairs: Iterable[Pair]) -> str:
        """The language of the targets: as given, as in the catalog, that of the model to fine-tune, or a guess."""
        if self.language is not None:
            return self.language
        corpus = self._corpus
        if corpus is None and self._extends is not None:
            return self._extends.language
        if corpus is None:
            return guess_language(pair.target for pair in pairs)
        return str(self._sides[1]) if corpus.format == "parallel" else corpus.language

    def _fit_sentencepiece(self, texts: Sequence[str], language: str) -> list[str]:
        """The sentencepiece model that is trained on these texts; empty with other tokenizers."""
        if self.tokenizer != "sentencepiece":
            return []
        many = primary_language(language) in THOUSANDS
        coverage = self.character_coverage or (0.9995 if many else 1.0)
        normalized = map(Normalizer(self.normalization), texts)
        try:
            return SentencePieceModel.fit(
                map(str.lower, normalized) if self.lowercase else normalized,
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
        """Always true, because sources may have capitals while the imported vectors are in lower case."""
        return True

    def _training_words(self) -> Iterable[str]:
        split = self.codec.indexer.source_tokenizer.split
        return (bare(piece) for pair in self.pairs("train") for piece in split(pair.source))

    @property
    def _store_settings(self) -> dict[str, object]:
        names = (
            "source", "target", "format", "header", "language", "unit", "tokenizer", "stop_words", "lowercase",
            "normalization", "vocabulary_size", "algorithm", "joint", "character_coverage", "min_count", "max_source",
            "max_target",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _encoder(self) -> Seq2SeqEncoder:
        codec = self._codec
        if codec is None:
            tokenizers = self._fit_tokenizers(self._head_or_sample())
            source, target = tokenizers.source, tokenizers.target
        else:
            source, target = codec.indexer.source_tokenizer, codec.indexer.target_tokenizer
        return Seq2SeqEncoder(
            Parted.chunks(lambda: self._read_pairs("train")),
            source,
            target,
            max_source=codec.max_source if codec else self.max_source,
            max_target=codec.max_target if codec else self.max_target,
            codec_of=lambda counts: codec or self._codec_of(counts, tokenizers),
            facts_of=lambda codec, counts: {
                "coverage": coverage(codec.vector_words, _words(counts.sources), fold=self.folds_vectors)
            },
        )

    def _head_or_sample(self) -> list[Pair]:
        """Pairs that tell the language of the targets; with sentencepiece, those that its models are trained on."""
        pairs = self._read_pairs("train")
        return sampled(pairs) if self.tokenizer == "sentencepiece" else list(islice(pairs, HEAD))

    def _encode(self, split: str) -> Seq2SeqDataset:
        codec = self.codec
        if split == "train" and self._store is not None:
            data = stored_pairs(self._store)
        else:
            # Only what a model writes is compared with texts. In a training, nothing is.
            pairs = self.pairs(split)
            self.overlap.add(split, (pair.source for pair in pairs))
            data = codec.dataset(pairs, with_texts=split != "train")
            self._read.pop(split, None)
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


class _Tokenizers(NamedTuple):
    """What splits the two sides, and what a codec keeps of it."""

    source: ReversibleTokenizer
    target: ReversibleTokenizer
    source_model: list[str]
    target_model: list[str]
    language: str


def _words(pieces: Counter[str]) -> Counter[str]:
    """How often each word occurs whose vector is looked up."""
    words: Counter[str] = Counter()
    for piece, count in pieces.items():
        words[bare(piece)] += count
    return words


def _endings(corpus: Corpus) -> list[str]:
    """The endings of a corpus whose splits have several files; none for a corpus with one file a split.

    A corpus of parallel files has one file for each side. Some other corpora have one for each kind of target.
    """
    return sorted({name.partition("/")[2] for name in corpus.splits} - {""})
