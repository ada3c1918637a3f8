"""Texts with a label each, or several, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from datamodules.base import CorpusDataModule
from datamodules.errors import DataError
from datamodules.examples import LabelledText
from datamodules.readers.labelled_texts import SEPARATOR, read_labelled_texts
from datamodules.readers.tables import FORMATS
from zoo.batches.classification import ClassificationDataset
from zoo.codecs import ClassificationCodec
from zoo.text import PAD, UNKNOWN, Inventory, Preprocessor, SentencePieceModel, TextCounts, Vocabulary, require_words
from zoo.text.stop_words import read_stop_words

# The number of pieces that sentencepiece learns by default.
PIECES = 8000


class ClassificationDataModule(CorpusDataModule[ClassificationCodec]):
    """Reads, encodes and batches texts with labels; tokens and labels come from the training split alone.

    >>> data = ClassificationDataModule("sample-reviews-en")
    >>> model = zoo.TextClassifier(data.codec)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(model, data)

    Args:
        dataset: a name of the catalog (`datamodules.CATALOG`); ignored if one of `train`, `dev` and `test` is given.
        text_column: where the text is: a name, or a number, 0 the first and -1 the last. By default the corpus's
            own, and "text" in the user's own files.
        label_column: where the label is, likewise; by default the corpus's own, and "label" in the user's own files. In
            shopping-zh "label" is the polarity and "cat" the category.
        root: the folder of the corpora; by default $ZOO_DATA, else the user's cache folder.
        train: the user's own file to train on; then `dataset` is not read.
        dev: the user's own file to choose the best checkpoint on.
        test: the user's own file to score once at the end.
        format: "csv", "tsv", "jsonl" or "parquet", for the user's own files; by default what their ending says.
        header: whether the first line names the columns (CSV, TSV); by default it does, unless both columns
            are numbers.
        multi_label: whether a text may have any number of labels, separated by "|".
        positive: of two labels the one that F1 and ranking are about; by default the second in alphabetical order.
        tokenizer: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece", which is learned from the
            training split.
        vocabulary_size: the size of the vocabulary, which has the most frequent tokens; by default 8,000 pieces with
            sentencepiece, and all tokens with other tokenizers.
        stop_words: tokens to leave out: "english", "chinese", or a file with one word per line.
        lowercase: whether tokens are looked up in lower case.
        max_length: the largest number of tokens that are read of a text.
        truncate: which part of a longer text is read: its "head", its "tail", or "both" ends.
        vectors: a text file of word vectors (word2vec, GloVe or fastText; plain or .gz).
        max_vectors: the number of vectors that are read, from the top.
        max_tokens: the token budget of a training batch, padding included, for each process; by default an
            epoch has about 170 steps, with a budget of 100 at least and 4,000 at most.
        min_count: rarer tokens of the training split count as unknown.
        balance: whether texts of rare labels get larger weights in the loss, so that all labels have the same total.
        class_weights: the weight of a text of each label in the loss, with the labels in alphabetical order. With
            `multi_label`, the weight of having the label, relative to not having it. Equal weights if empty.
        seed: seeds the order of the batches.
        codec: the codec of a trained model, to evaluate or to fine-tune it; then no codec is fitted, and the arguments
            that say which labels there are and how texts are read (those in `fitting`) are not read.

    Raises:
        DataError: a file that cannot be read or is malformed (file, line and what was expected), names that are
            not known (the known ones are listed), or labels that there is nothing to choose between.
    """

    task = "classification"
    fitting = CorpusDataModule.fitting | {
        "multi_label", "positive", "tokenizer", "vocabulary_size", "stop_words", "max_length", "truncate", "balance",
        "class_weights",
    }  # fmt: skip
    largest_budget = 4000

    def __init__(
        self,
        dataset: str = "sample-reviews-en",
        *,
        text_column: str | int | None = None,
        label_column: str | int | None = None,
        root: str | None = None,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        format: str | None = None,
        header: bool | None = None,
        multi_label: bool = False,
        positive: str | None = None,
        tokenizer: str = "words",
        vocabulary_size: int | None = None,
        stop_words: str | None = None,
        lowercase: bool = True,
        max_length: int = 400,
        truncate: str = "head",
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_tokens: int | None = None,
        min_count: int = 2,
        balance: bool = False,
        class_weights: Sequence[float] = (),
        seed: int = 0,
        codec: ClassificationCodec | None = None,
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
        if format not in (None, *FORMATS):
            raise DataError(f"unknown format {format!r}: known are {', '.join(FORMATS)}")
        if balance and class_weights:
            raise DataError("--data.balance chooses the weights that --data.class_weights gives: leave one of them out")
        if vocabulary_size is not None and vocabulary_size < 1:
            raise DataError(f"--data.vocabulary_size: expected a number of tokens from 1, got {vocabulary_size}")
        require_words(tokenizer, {"stop words": stop_words, "imported vectors": vectors})
        self.text_column, self.label_column = text_column, label_column
        self.format, self.header = format, header
        self.multi_label = multi_label if codec is None else codec.multi_label
        self.positive = positive
        self.tokenizer, self.vocabulary_size = tokenizer, vocabulary_size
        self.stop_words = read_stop_words(stop_words, tokenizer)
        self.lowercase, self.min_count = lowercase, min_count
        self.max_length, self.truncate = max_length, truncate
        self.balance, self._class_weights = balance, list(class_weights)
        self._read: dict[str, list[LabelledText]] = {}
        self._tokens: dict[str, list[list[str]]] = {}
        self._counts: dict[str, TextCounts] = {}

    def _fit_codec(self) -> ClassificationCodec:
        # The tokens of a text do not depend on the vocabulary, so a first codec without one can make them.
        codec = ClassificationCodec(
            Vocabulary((PAD, UNKNOWN)),
            self._fit_labels(),
            multi_label=self.multi_label,
            positive=self.positive,
            tokenizer=self.tokenizer,
            sentencepiece_model=tuple(self._fit_sentencepiece()),
            stop_words=tuple(self.stop_words),
            lowercase=self.lowercase,
            max_length=self.max_length,
            truncate=self.truncate,
            vector_words=self._vector_words,
            vector_size=self._vector_size,
        )
        tokens = chain.from_iterable(self._tokens_of("train", codec.preprocessor))
        keys = (token.lower() for token in tokens) if self.lowercase else tokens
        return replace(codec, vocabulary=Vocabulary.fit(keys, min_count=self.min_count, size=self.vocabulary_size))

    def _fit_labels(self) -> Inventory:
        """The labels of the training split, in alphabetical order."""
        labels = sorted({label for text in self.texts("train") for label in text.labels})
        if len(labels) < (1 if self.multi_label else 2):
            raise DataError(
                f"{self._locate('train')}: expected at least two labels to choose from, got "
                f"{labels[0] + ' alone' if labels else 'none'}. Is this the column, or is a label missing in train?"
            )
        if not self.multi_label:
            self._hint_at_several(labels)
        return Inventory(labels)

    def _fit_sentencepiece(self) -> list[str]:
        """The model of sentencepiece that is learned from the training split; empty with other tokenizers."""
        if self.tokenizer != "sentencepiece":
            return []
        texts = (text.text for text in self.texts("train"))
        size = PIECES if self.vocabulary_size is None else self.vocabulary_size
        return SentencePieceModel.fit(texts, size, lowercase=self.lowercase).serialized

    @property
    def class_weights(self) -> list[float]:
        """The weight of a text of each label in the loss; empty if all weights are equal."""
        if not self.balance:
            return self._class_weights
        texts, labels = self.texts("train"), self.codec.labels
        counts = Counter(label for text in texts for label in text.labels)
        if self.multi_label:
            return [max(1, len(texts) - counts[label]) / max(1, counts[label]) for label in labels]
        return [len(texts) / (len(labels) * max(1, counts[label])) for label in labels]

    @property
    def training_examples(self) -> int:
        return len(self.texts("train"))

    @property
    def training_tokens(self) -> int:
        """Tokens that are read of the training split."""
        return sum(len(tokens) for tokens in self._read_tokens("train"))

    def texts(self, split: str) -> list[LabelledText]:
        """The texts of "train", "dev" or "test", with labels as the catalog names them."""
        if split not in self._read:
            corpus = self._corpus
            text_column = corpus.text_column if corpus else "text"
            label_column = corpus.column if corpus else "label"
            texts = read_labelled_texts(
                self._locate(split),
                text_column if self.text_column is None else self.text_column,
                label_column if self.label_column is None else self.label_column,
                format=corpus.format if corpus else self.format,
                header=self.header,
                multi_label=self.multi_label,
            )
            self._read[split] = _named(texts, corpus.label_names) if corpus and corpus.label_names else texts
        return self._read[split]

    def counts(self, split: str) -> TextCounts:
        """The number of texts of a split, and how many of them are empty or truncated."""
        self._read_tokens(split)
        return self._counts[split]

    def _hint_at_several(self, labels: Sequence[str]) -> None:
        """Warns of labels that look like several: split at the separator, two of them have a part in common."""
        parts = {label: {part.strip() for part in label.split(SEPARATOR)} - {""} for label in labels}
        common = {part for part, count in Counter(chain.from_iterable(parts.values())).items() if count > 1}
        joined = [text for text in self.texts("train") if parts[text.labels[0]] & common - set(text.labels)]
        if joined:
            warnings.warn(
                f"{self._locate('train')}:{joined[0].line}: {joined[0].labels[0]} is read as one label, and with it "
                f"those of {len(joined)} of {len(self.texts('train'))} texts. If {SEPARATOR} stands between several "
                "labels of a text, add --data.multi_label true"
            )

    def _training_words(self) -> Iterable[str]:
        return chain.from_iterable(self._read_tokens("train"))

    def _read_tokens(self, split: str) -> list[list[str]]:
        """The tokens that are read of each text of a split."""
        return self._tokens_of(split, self.codec.preprocessor)

    def _tokens_of(self, split: str, preprocessor: Preprocessor) -> list[list[str]]:
        if split not in self._tokens:
            whole = [preprocessor.split(text.text) for text in self.texts(split)]
            self._counts[split] = preprocessor.count(whole)
            self._tokens[split] = [preprocessor.cut(tokens) for tokens in whole]
        return self._tokens[split]

    def _encode(self, split: str) -> ClassificationDataset:
        texts = self.texts(split)
        path = self._locate(split)
        for text in texts:
            for label in text.labels:
                if label not in self.codec.labels:
                    known = ", ".join(self.codec.labels)
                    raise DataError(
                        f"{path}:{text.line}: expected one of the labels {known}, got {label}. They are those of "
                        "train, or of the model: are these its data? Choose others with --data.dataset or --data.test"
                    )
        tokens, counts = self._read_tokens(split), self.counts(split)
        if counts.empty:
            warnings.warn(f"{counts.empty} texts of {split} are empty: they are read and scored all the same")
        return self.codec.dataset(tokens, [text.labels for text in texts])


def _named(texts: Sequence[LabelledText], names: Mapping[str, str]) -> list[LabelledText]:
    """The texts with the names that their corpus has for its labels."""
    return [replace(text, labels=tuple(names.get(label, label) for label in text.labels)) for text in texts]
