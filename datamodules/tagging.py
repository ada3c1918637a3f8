"""Sentences with a tag for each token, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np

from datamodules.base import CorpusDataModule
from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.extension import check_tokens
from datamodules.readers.column_files import HEAD
from datamodules.readers.file_parts import Parted
from datamodules.readers.tagged_files import FORMATS, read_tagged
from datamodules.readers.vectors import coverage
from datamodules.span_tags import check_tags, convert_all, scheme_of, without_key_outside
from datamodules.tagging_encoder import TaggingCounts, TaggingEncoder, stored_sentences
from zoo.batches.tagging import TaggingDataset
from zoo.codecs import TaggingCodec
from zoo.text import Inventory, Vocabulary
from zoo.text.normalization import DEFAULT, Normalizer
from zoo.text.tag_schemes import is_legal

# Characters that occur less often count as unknown.
RARE_CHARACTER = 3
# The user's name for tags that mark no spans: every tag stands for itself.
NO_SCHEME = "none"


class TaggingDataModule(CorpusDataModule[TaggingCodec]):
    """Reads, encodes and batches a tagging corpus. The vocabularies are fitted on the training split only.

    >>> data = TaggingDataModule("sample-en")
    >>> model = zoo.SequenceTagger(data.codec)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(model, data)

    A batch has sentences of similar lengths. Under DDP, each process gets its own part of every epoch, and all
    processes take the same number of steps. Lightning's `use_distributed_sampler=True` does not change this.

    Args:
        dataset: the name of a corpus in the catalog (`datamodules.CATALOG`). It is ignored if `train`, `dev` or `test`
            is given.
        column: the column of the tags. In CoNLL-U it is a name such as "upos" or "xpos", or a key inside a column such
            as "misc:NER"; in column files a number (0 is the first, -1 the last); in JSON Lines a key. By default the
            column in the catalog, or in own files "upos" (CoNLL-U), -1 (columns) or "tags" (JSON Lines).
        word_column: the column of the words, given in the same way. By default "form" (CoNLL-U), the first column that
            is not a word counter (columns) or "tokens" (JSON Lines).
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        train: your own file to train on; then `dataset` is ignored.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        format: the format of own files: "conllu", "columns" or "jsonl"; by default it follows from the file's ending
            or first line.
        scheme: how the tags mark spans: "BIO", "IOB1", "BIOES", "BMES" or "BILOU"; "none" if every tag stands for
            itself. By default the scheme that most tags follow.
        convert_to: the scheme to convert the tags to.
        vectors: a text file of word vectors (word2vec, GloVe or fastText; plain or .gz) to import.
        max_vectors: the largest number of vectors to read from the top of the file.
        max_tokens: the largest number of tokens in a training batch of one process, padding included. By default it
            is between 100 and 1,200, so that an epoch has about 170 steps. With
            "auto" it is as large as the memory of a GPU allows.
        min_count: words that occur less often in the training split are unknown words.
        lowercase: whether words are looked up in lower case.
        normalization: how texts are normalized before anything else, in training and prediction: any of "nfc" (composed
            characters), "invisible" (without zero-width spaces and soft hyphens), "full_width" (ASCII for full-width
            forms, as in Chinese) and "quotes" (straight quotes for curly ones).
        seed: seeds the order of the batches.
        store: whether the training split is encoded on disk, once, and read from there; by default if its files have
            more than 256 MiB. Needs pyarrow.
        codec: the codec of a trained model, to evaluate or fine-tune that model. Then no codec is fitted, and
            `vectors`, `max_vectors`, `min_count`, `lowercase`, `normalization` and `convert_to` are ignored. Span tags
            are converted to the model's scheme; a model without a scheme reads them as plain tags.
        extends: the codec of a trained model to fine-tune. The codec of the data is then that codec with the new words
            and the tags of the training split. Arguments in `fitting` that are fields of the codec are ignored.

    Raises:
        DataError: a file cannot be read or is malformed (the message has the file, the line and what was expected), or
            a name is unknown (the message lists the known ones).
    """

    task = "tagging"
    fitting = CorpusDataModule.fitting | {"convert_to"}
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
        max_tokens: int | Literal["auto"] | None = None,
        min_count: int = 1,
        lowercase: bool = True,
        normalization: Sequence[str] = DEFAULT,
        seed: int = 0,
        store: bool | None = None,
        codec: TaggingCodec | None = None,
        extends: TaggingCodec | None = None,
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
        if format not in (None, *FORMATS):
            raise DataError(f"unknown format {format!r}: known are {', '.join(FORMATS)}")
        self.column, self.word_column, self.format = column, word_column, format
        self._given_scheme = scheme
        self._source_scheme = scheme
        self.convert_to = convert_to
        if codec is not None:
            self.convert_to = codec.scheme
            if codec.scheme is None:
                self._source_scheme = NO_SCHEME
        self.min_count, self.lowercase = min_count, lowercase
        self.normalization = list(normalization)
        self._read: dict[str, list[TaggedSentence]] = {}
        # The scheme of the tags after conversion.
        self._scheme: str | None = None
        self._follow_extended_codec()

    @property
    def training_examples(self) -> int:
        return self._training_rows or len(self.sentences("train"))

    @property
    def training_tokens(self) -> int:
        """The number of tokens in the training split."""
        if "train" not in self._encoded:
            self._encoded["train"] = self._encode("train")
        return int(np.sum(self._encoded["train"].lengths))

    def sentences(self, split: str) -> list[TaggedSentence]:
        """The sentences of "train", "dev" or "test", with their tags in the scheme `convert_to` if there is one.

        They are read again each time, as soon as the split is encoded.
        """
        if split in self._read:
            return self._read[split]
        if split != "train" and "train" in self.splits and self._codec is None:
            # The tags of the training split determine the scheme of all splits.
            if self._store is None:
                self.sentences("train")
            else:
                self._source_scheme = self._store.facts["source_scheme"]
        path = self._locate(split)
        sentences = self._converted(list(self._read_sentences(path)), path)
        if split not in self._encoded:
            self._read[split] = sentences
        return sentences

    def _read_sentences(self, path: str | Path) -> Iterator[TaggedSentence]:
        """The sentences of a file, with their tags as they are there."""
        column, _ = self._column_and_scheme
        format = self._corpus.format if self._corpus else self.format
        return read_tagged(path, column, format=format, word_column=self.word_column)

    @property
    def _column_and_scheme(self) -> tuple[str | None, str | None]:
        """The column of the tags, and the scheme that the catalog knows of it."""
        corpus = self._corpus
        if corpus is None:
            return self.column, None
        own = str(corpus.column)
        column = self.column or own
        return column, corpus.scheme if column == own else None

    def _converted(self, sentences: list[TaggedSentence], path: str | Path) -> list[TaggedSentence]:
        """The sentences, with their tags in the scheme `convert_to` if there is one.

        Args:
            sentences: the sentences as the file has them.
            path: the file, for messages.
        """
        if self._source_scheme is None:
            _, known = self._column_and_scheme
            self._source_scheme = known or scheme_of(sentences, self.convert_to) or NO_SCHEME
        scheme = None if self._source_scheme == NO_SCHEME else self._source_scheme
        target = self.convert_to or scheme
        self._scheme = target
        if scheme is None or target is None:
            if self.convert_to is not None:
                raise DataError(f"{path}: --data.convert_to {self.convert_to} needs span tags, but these mark no spans")
            return sentences
        if self._is_keyed:
            sentences = without_key_outside(sentences)
        check_tags(sentences, scheme, path)
        return sentences if target == scheme else convert_all(sentences, scheme, target, path)

    @property
    def _is_keyed(self) -> bool:
        """Whether the tags are in a key of a CoNLL-U column. Words without the key are outside of any span."""
        return self.column is not None and ":" in self.column

    def _fit_codec(self) -> TaggingCodec:
        if self._store is not None:
            self._source_scheme = self._store.facts["source_scheme"]
            return TaggingCodec.of(self._store.facts["codec"])
        counts = TaggingCounts()
        counts.add(self.sentences("train"), scheme=None)
        return self._codec_of(counts)

    def _codec_of(self, counts: TaggingCounts) -> TaggingCodec:
        tags = Inventory.fit(counts.tags)
        if len(tags) < 2:
            raise DataError(
                f"{self._locate('train')}: expected at least two different tags, got only {tags[0][:40]!r}. "
                "Is this the right column? Choose another one with --data.column"
            )
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        # A form is taken apart once, however often it occurs.
        normalize = Normalizer(self.normalization).token
        for form, count in ((normalize(form), count) for form, count in counts.forms.items()):
            words[form.lower() if self.lowercase else form] += count
            for character in form:
                characters[character] += count
        single = all(len(form) == 1 for form in counts.forms)
        codec = TaggingCodec(
            Vocabulary.fit(words, min_count=self.min_count),
            Vocabulary.fit(characters, min_count=RARE_CHARACTER),
            tags,
            scheme=self._scheme,
            tokenizer="characters" if single else "treebank",
            lowercase=self.lowercase,
            normalization=tuple(self.normalization),
            vector_words=self._vector_words,
            vector_size=self._vector_size,
        )
        if self._extends is not None:
            check_tokens(self._locate("train"), codec, self._extends)
        return self._extended(codec)

    def _training_words(self) -> Iterable[str]:
        return (token for sentence in self.sentences("train") for token in sentence.tokens)

    @property
    def _store_settings(self) -> dict[str, object]:
        names = ("column", "word_column", "format", "convert_to", "min_count", "lowercase", "normalization")
        return {"scheme": self._given_scheme, **{name: getattr(self, name) for name in names}}

    def _encoder(self) -> TaggingEncoder:
        path = self._locate("train")
        # The first sentences decide what scheme the tags are in.
        self._converted(list(islice(self._read_sentences(path), HEAD)), path)
        return TaggingEncoder(
            Parted.chunks(lambda: self._read_sentences(path)),
            lambda sentences: self._converted(sentences, path),
            scheme=self._scheme,
            codec_of=lambda counts: self._codec or self._codec_of(counts),
            facts_of=lambda codec, counts: {
                "source_scheme": self._source_scheme,
                "coverage": coverage(codec.vector_words, counts.forms, fold=self.folds_vectors),
            },
        )

    def _encode(self, split: str) -> TaggingDataset:
        if split == "train" and self._store is not None:
            facts = self._store.facts
            self._check_tags(split, Counter(facts["tags"]), facts["broken"])
            data = stored_sentences(self._store)
        else:
            sentences = self.sentences(split)
            self.overlap.add(split, (sentence.tokens for sentence in sentences))
            counts = Counter(chain.from_iterable(sentence.tags for sentence in sentences))
            scheme = self.codec.scheme
            broken = 0 if scheme is None else sum(not is_legal(s.tags, scheme) for s in sentences)
            self._check_tags(split, counts, broken)
            data = self.codec.dataset((s.tokens for s in sentences), (s.tags for s in sentences))
            # The strings are not needed again.
            self._read.pop(split, None)
        if split == "train":
            # Training tokens cannot be asked for here: they would encode this split.
            budget = self.budget_of(int(data.lengths.sum()))
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
