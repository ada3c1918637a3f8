"""Sentences with a tag for each token, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from datamodules.agreement import digest_of_state
from datamodules.budget import MaxTokens
from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.extension import check_tokens, following
from datamodules.large_corpora import Stored
from datamodules.readers.column_files import HEAD
from datamodules.readers.file_parts import Parted
from datamodules.readers.tagged_files import FORMATS, read_tagged, tagged_parts
from datamodules.readers.vectors import coverage
from datamodules.span_tags import NO_SCHEME, SpanConversion
from datamodules.stored import StoredDataModule
from datamodules.tagging_encoder import TaggingCounts, TaggingEncoder, stored_sentences
from datamodules.tagging_fitter import TaggingFitter
from zoo.batches.tagging import TaggingDataset
from zoo.codecs import LanguageModelingCodec, TaggingCodec
from zoo.text.normalization import DEFAULT, check_normalizations
from zoo.text.tag_schemes import is_legal


class TaggingDataModule(StoredDataModule[TaggingCodec, TaggedSentence]):
    """Reads, encodes and batches a tagging corpus. The vocabularies are fitted on the training split only.

    >>> data = TaggingDataModule("sample-en")
    >>> model = zoo.SequenceTagger(data.codec)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(model, data)

    A batch has sentences of similar lengths. Under DDP, each process gets its own part of every epoch, and all
    processes take the same number of steps. Lightning's `use_distributed_sampler=True` does not change this.

    Args:
        dataset: the name of a corpus in the catalog (`datamodules.CATALOG`), which is ignored if `train`, `dev` or
            `test` is given; or a dataset of Hugging Face, "hf:OWNER/NAME", some of whose splits these may name.
        column: the column of the tags. In CoNLL-U it is a name such as "upos" or "xpos", or a key inside a column such
            as "misc:NER"; in column files a number (0 is the first, -1 the last); in JSON Lines a key. By default the
            column in the catalog, or in own files "upos" (CoNLL-U), -1 (columns) or "tags" (JSON Lines).
        word_column: the column of the words, given in the same way. By default "form" (CoNLL-U), the first column that
            is not a word counter (columns) or "tokens" (JSON Lines).
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        train: your own file to train on; then `dataset` is ignored.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        format: the format of own files: "conllu", "columns", "jsonl" or "parquet"; by default it follows from the
            file's ending or first line.
        scheme: how the tags mark spans: "BIO", "IOB1", "BIOES", "BMES" or "BILOU"; "none" if every tag stands for
            itself. By default the scheme that most tags follow.
        convert_to: the scheme to convert the tags to.
        vectors: a file of word vectors (word2vec, GloVe or fastText) to import, in text or in word2vec's binary format.
        max_vectors: the largest number of vectors to read from the top of the file.
        max_tokens: the largest number of tokens in a training batch of one process, padding included. With "by_size"
            it is between 100 and 1,200, so that an epoch has about 170 steps; with "auto" it is as large as the memory
            of a GPU allows.
        min_count: words that occur less often in the training split are unknown words.
        lowercase: whether words are looked up in lower case.
        normalization: how texts are normalized before anything else, in training and prediction: any of "nfc" (composed
            characters), "invisible" (without zero-width spaces and soft hyphens), "full_width" (ASCII for full-width
            forms, as in Chinese) and "quotes" (straight quotes for curly ones).
        context: the codecs of language models whose states a tagger reads beside the words.
        seed: seeds the order of the batches.
        store: whether splits are encoded on disk, once, and read from there. With "by_size" a split is if its files
            have more than 256 MiB. Needs pyarrow.
        codec: the codec of a trained model, to evaluate or fine-tune that model. Then no codec is fitted, and
            `vectors`, `max_vectors`, `min_count`, `lowercase`, `normalization` and `convert_to` are ignored. Span tags
            are converted to the model's scheme; a model without a scheme reads them as plain tags.
        extends: the codec of a trained model to fine-tune, which may be a language model. The codec of the data is then
            that codec with the new words and the tags of the training split. Arguments in `fitting` that are fields of
            the codec are ignored.

    Raises:
        DataError: a file cannot be read or is malformed (the message has the file, the line and what was expected), or
            a name is unknown (the message lists the known ones).
    """

    task = "tagging"
    codec_class = TaggingCodec
    fitting = StoredDataModule.fitting | {"convert_to"}
    largest_budget = 1200

    def __init__(
        self,
        dataset: str = "sample-en",
        *,
        column: str | None = None,
        word_column: str | None = None,
        root: str | None = None,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        format: str | None = None,
        scheme: str | None = None,
        convert_to: str | None = None,
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_tokens: MaxTokens = "by_size",
        min_count: int = 1,
        lowercase: bool = True,
        normalization: Sequence[str] = DEFAULT,
        context: Sequence[LanguageModelingCodec] = (),
        seed: int = 0,
        store: Stored = "by_size",
        codec: TaggingCodec | None = None,
        extends: TaggingCodec | LanguageModelingCodec | None = None,
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
        self.context = tuple(context)
        if context and isinstance(extends, TaggingCodec):
            raise DataError(
                "the model to fine-tune has language models of its own, or none: leave --model.language_models out"
            )
        if format not in (None, *FORMATS):
            raise DataError(f"unknown format {format!r}: known are {', '.join(FORMATS)}")
        self.column = column
        self.word_column = word_column
        self.format = format
        self.scheme, self.convert_to = scheme, convert_to
        fitter = TaggingFitter(
            min_count=min_count, lowercase=lowercase, normalization=check_normalizations(normalization)
        )
        self.fitter = following(fitter, extends)
        self.folds_vectors = self.fitter.lowercase
        if codec is not None:
            self.convert_to = codec.scheme
            if codec.scheme is None:
                scheme = NO_SCHEME
        self._conversion = SpanConversion(scheme, self.convert_to, keyed=column is not None and ":" in column)

    def sentences(self, split: str) -> list[TaggedSentence]:
        """The sentences of "train", "dev" or "test", with their tags in the scheme `convert_to` if there is one.

        They are read again each time, as soon as the split is encoded.
        """
        return self.examples(split)

    def _read_examples(self, split: str) -> list[TaggedSentence]:
        # The tags of the training split determine the scheme of all splits.
        follows = split != "train" and "train" in self.splits and self._codec is None
        if follows and self._store_of("train") is None:
            self.examples("train")
        path = self.files.path(split)
        return self._converted(list(self._read_file(path)), path)

    def _read_file(self, path: str | Path) -> Iterator[TaggedSentence]:
        """The sentences of a file, with their tags as they are there."""
        column, _ = self._column_and_scheme
        corpus = self.files.entry
        format = corpus.format if corpus else self.format
        return read_tagged(path, column, format=format, word_column=self.word_column)

    def _parts_of_file(self, path: str | Path) -> Parted[TaggedSentence]:
        """The same sentences in parts."""
        column, _ = self._column_and_scheme
        corpus = self.files.entry
        format = corpus.format if corpus else self.format
        parted = tagged_parts(path, column, format=format, word_column=self.word_column)
        return parted or Parted.chunks(lambda: self._read_file(path))

    @property
    def _column_and_scheme(self) -> tuple[str | None, str | None]:
        """The column of the tags, and the scheme that the catalog knows of it."""
        corpus = self.files.entry
        if corpus is None:
            return self.column, None
        own = str(corpus.column)
        column = self.column or own
        return column, corpus.scheme if column == own else None

    def _converted(self, sentences: list[TaggedSentence], path: str | Path) -> list[TaggedSentence]:
        """The sentences of a file, with their tags in the scheme `convert_to` if there is one."""
        _, expected = self._column_and_scheme
        return self._conversion.convert(sentences, path, expected)

    def _fit_codec(self) -> TaggingCodec:
        counts = TaggingCounts()
        counts.add(self.examples("train"), scheme=None)
        return self._codec_of(counts)

    def _codec_of(self, counts: TaggingCounts) -> TaggingCodec:
        path = self.files.path("train")
        codec = self.fitter.codec(counts, self._conversion.scheme, self.vector_file, path)
        if isinstance(self._extends, TaggingCodec):
            check_tokens(path, codec, self._extends)
        return self._extended(replace(codec, context=self.context))

    def _training_words(self) -> Iterable[str]:
        return (token for sentence in self.examples("train") for token in sentence.tokens)

    @property
    def _store_settings(self) -> dict[str, object]:
        names = ("column", "word_column", "format", "scheme", "convert_to")
        context = [digest_of_state(codec.state) for codec in self.context]
        return {**asdict(self.fitter), **{name: getattr(self, name) for name in names}, "context": context}

    def _use_facts(self, facts: Mapping[str, Any]) -> None:
        # The tags of the training split determine the scheme of all splits.
        self._conversion.source = facts["source_scheme"]

    def _encoder(self, split: str) -> TaggingEncoder:
        path = self.files.path(split)
        codec = self._codec if split == "train" else self.codec
        # The first sentences decide what scheme the tags are in.
        self._converted(list(islice(self._read_file(path), HEAD)), path)
        return TaggingEncoder(
            self._parts_of_file(path),
            lambda sentences: self._converted(sentences, path),
            scheme=self._conversion.scheme,
            codec_of=lambda counts: codec or self._codec_of(counts),
            facts_of=lambda codec, counts: {
                "source_scheme": self._conversion.source,
                "coverage": coverage(codec.vector_words, counts.forms, fold=self.folds_vectors),
            },
        )

    def _encode(self, split: str) -> TaggingDataset:
        store = self._store_of(split)
        if store is not None:
            self._check_tags(split, Counter(store.facts["tags"]), store.facts["broken"])
            data = stored_sentences(store, self.codec.indexer.readers)
        else:
            sentences = self.examples(split)
            self.overlap.add(split, (sentence.tokens for sentence in sentences))
            counts = Counter(chain.from_iterable(sentence.tags for sentence in sentences))
            scheme = self.codec.scheme
            broken = 0 if scheme is None else sum(not is_legal(s.tags, scheme) for s in sentences)
            self._check_tags(split, counts, broken)
            data = self.codec.dataset((s.tokens for s in sentences), (s.tags for s in sentences))
        if split == "train":
            # Training tokens cannot be asked for here: they would encode this split.
            budget = self.token_budget.of(int(data.lengths.sum()))
            long = int((data.lengths > budget).sum())
            if long:
                warnings.warn(f"{long} sentences are longer than max_tokens={budget}: each one becomes a batch")
        return data

    def _check_tags(self, split: str, counts: Counter[str], broken: int) -> None:
        """Compares the tags of a split with those of the codec.

        Args:
            split: its name.
            counts: how often each tag occurs.
            broken: the number of sentences whose tags break their scheme.

        Raises:
            DataError: most of the tags are not those of the codec.
        """
        tags = self.codec.tags
        unseen = sorted(tag for tag in counts if tag not in tags)
        # Every set of span tags has "O", so "O" does not show that the model was trained on these tags.
        telling = counts.total() - (counts["O"] if "O" in tags else 0)
        if 2 * sum(counts[tag] for tag in unseen) > telling:
            raise DataError(
                f"{split} has the tags {_listed(unseen)}, but the model was trained on {_listed(tags)}. "
                "Choose the column of these tags with --data.column, or choose another model"
            )
        if unseen:
            warnings.warn(f"{split} has tags that are not in train and count as wrong: {', '.join(unseen)}")
        if broken:
            scheme = self.codec.scheme
            warnings.warn(f"{broken} sentences of {split} break the scheme {scheme}: a CRF does not learn from them")


def _listed(tags: Sequence[str], shown: int = 5) -> str:
    """The first few tags, for a message."""
    return ", ".join(tags[:shown]) + (", ..." if len(tags) > shown else "")
