"""Texts with a label each, or several, from a named corpus or a user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import torch

from datamodules.base import CorpusDataModule
from datamodules.errors import DataError
from datamodules.examples import LabelledText
from datamodules.readers.labelled_texts import SEPARATOR, read_labelled_texts
from datamodules.readers.tables import FORMATS
from zoo.batches.classification import ClassificationDataset
from zoo.batches.indexers import WordIndexer
from zoo.codec import Codec, classifier_codec
from zoo.text import Inventory, Preprocessor, SentencePieceModel, TextCounts, Vocabulary, require_words
from zoo.text.stop_words import read_stop_words

if TYPE_CHECKING:
    from zoo.models.classifier import TextClassifier


class ClassificationDataModule(CorpusDataModule):
    """Reads, encodes and batches texts with labels; tokens and labels come from the training split alone.

    >>> data = ClassificationDataModule("sst2")
    >>> model = zoo.TextClassifier(data.vocabulary, data.labels)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(model, data)

    Where data and model must agree (tokenizer, lowercase, max_length, truncate, ...), give both the same; the
    recipes do so by themselves.

    Args:
        dataset: a name of the catalog (`datamodules.CATALOG`); ignored where `train`, `dev` and `test` are given.
        text_column: where the text is: a name, or a number, 0 the first and -1 the last. By default the corpus's
            own, and "text" in one's own files.
        label_column: likewise the label, and "label" in one's own files. In shopping-zh "label" is the polarity
            and "cat" the category.
        root: the folder of the corpora; by default $ZOO_DATA, else the user's cache folder.
        train: a file of one's own to train on; then `dataset` is not read.
        dev: likewise, to choose the best checkpoint on.
        test: likewise, scored once at the end.
        format: "csv", "tsv", "jsonl" or "parquet", of one's own files; by default what their ending says.
        header: whether the first line names the columns (CSV, TSV); by default it does, unless both columns
            are numbers.
        multi_label: whether a text has any number of labels, with "|" between them.
        tokenizer: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece".
        num_pieces: of the last, learned from the training split.
        stop_words: tokens to leave out: "english", "chinese" or a file with one a line.
        lowercase: whether tokens are looked up in lower case.
        max_length: tokens of a text that are read at most.
        truncate: which part of a longer text is read: its "head", its "tail", or "both" ends.
        vectors: a text file of word vectors (word2vec, GloVe or fastText; plain or .gz).
        max_vectors: rows of it that are read, from the top.
        max_tokens: token budget of a training batch, padding included, for each process; by default what makes
            about 170 steps of an epoch, but 100 at least and 4,000 at most.
        min_count: rarer tokens of the training split count as unknown.
        balance: whether rare labels count more in the loss, so that all count alike together.
        class_weights: how much a text of each label counts in the loss, labels in alphabetical order; where a text has
            several, how much having the label counts against not having it. All alike when empty.
        seed: of the order of the batches.

    Raises:
        DataError: a file that cannot be read or is malformed (file, line and what was expected), names that are
            not known (the known ones are listed), or labels that there is nothing to choose between.
    """

    task = "classification"
    adopts = CorpusDataModule.adopts | {
        "multi_label", "tokenizer", "num_pieces", "stop_words", "max_length", "truncate", "balance", "class_weights",
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
        tokenizer: str = "words",
        num_pieces: int = 8000,
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
        )
        if format not in (None, *FORMATS):
            raise DataError(f"unknown format {format!r}: known are {', '.join(FORMATS)}")
        if balance and class_weights:
            raise DataError("--data.balance chooses the weights that --data.class_weights gives: leave one of them out")
        require_words(tokenizer, {"stop words": stop_words, "imported vectors": vectors})
        self.text_column, self.label_column = text_column, label_column
        self.format, self.header, self.multi_label = format, header, multi_label
        self.tokenizer, self.num_pieces, self.lowercase = tokenizer, num_pieces, lowercase
        self.stop_words = read_stop_words(stop_words, tokenizer)
        self.max_length, self.truncate = max_length, truncate
        self.min_count, self.balance, self._class_weights = min_count, balance, list(class_weights)
        self._read: dict[str, list[LabelledText]] = {}
        self._tokens: dict[str, list[list[str]]] = {}
        self._counts: dict[str, TextCounts] = {}
        self._preprocess: Preprocessor | None = None
        self._indexer: WordIndexer | None = None
        self._pieces: list[str] | None = None
        self._vocabulary: Vocabulary | None = None
        self._labels: Inventory | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """Tokens of the training split, `<pad>` and `<unk>` first."""
        if self._vocabulary is None:
            tokens = (token for text in self._split("train") for token in text)
            keys = (token.lower() for token in tokens) if self.lowercase else tokens
            self._vocabulary = Vocabulary.fit(keys, min_count=self.min_count)
        return self._vocabulary

    @property
    def labels(self) -> Inventory:
        """Labels of the training split, in alphabetical order."""
        if self._labels is None:
            labels = sorted({label for text in self.texts("train") for label in text.labels})
            if len(labels) < (1 if self.multi_label else 2):
                raise DataError(
                    f"{self._locate('train')[0]}: expected at least two labels to choose from, got "
                    f"{labels[0] + ' alone' if labels else 'none'}. Is this the column, or is a label missing in train?"
                )
            self._labels = Inventory(labels)
            if not self.multi_label:
                self._hint_at_several(labels)
        return self._labels

    @property
    def pieces(self) -> list[str]:
        """The serialized `SentencePieceModel` of the training split; empty with other tokenizers."""
        if self._pieces is None:
            self._pieces = []
            if self.tokenizer == "sentencepiece":
                texts = (text.text for text in self.texts("train"))
                self._pieces = SentencePieceModel.fit(texts, self.num_pieces, lowercase=self.lowercase).serialized
        return self._pieces

    @property
    def preprocess(self) -> Preprocessor:
        """Texts to the tokens that are read."""
        if self._preprocess is None:
            self._preprocess = Preprocessor(
                self.tokenizer,
                pieces=self.pieces,
                stop_words=self.stop_words,
                max_length=self.max_length,
                truncate=self.truncate,
            )
        return self._preprocess

    @property
    def indexer(self) -> WordIndexer:
        """Tokens to ids."""
        if self._indexer is None:
            self._indexer = WordIndexer(self.vocabulary, self.vector_words, lowercase=self.lowercase)
        return self._indexer

    @property
    def codec(self) -> Codec:
        return classifier_codec(self.indexer, self.preprocess, self.labels, self.multi_label)

    @property
    def class_weights(self) -> list[float]:
        """How much a text of each label counts in the loss; empty where all count alike."""
        if not self.balance:
            return self._class_weights
        counts = Counter(label for text in self.texts("train") for label in text.labels)
        texts = len(self.texts("train"))
        if self.multi_label:
            return [max(1, texts - counts[label]) / counts[label] for label in self.labels]
        return [texts / (len(self.labels) * counts[label]) for label in self.labels]

    @property
    def training_tokens(self) -> int:
        """Tokens that are read of the training split."""
        return sum(map(len, self._split("train")))

    def texts(self, split: str) -> list[LabelledText]:
        """The texts of "train", "dev" or "test", with labels as the catalog names them."""
        if split not in self._read:
            path, corpus = self._locate(split)
            known = (corpus.text_column, corpus.column) if corpus else ("text", "label")
            texts = read_labelled_texts(
                path,
                known[0] if self.text_column is None else self.text_column,
                known[1] if self.label_column is None else self.label_column,
                format=corpus.format if corpus else self.format,
                header=self.header,
                multi_label=self.multi_label,
            )
            self._read[split] = _named(texts, corpus.label_names) if corpus and corpus.label_names else texts
        return self._read[split]

    def counts(self, split: str) -> TextCounts:
        """How many texts a split has, and how many of them are empty or truncated."""
        self._split(split)
        return self._counts[split]

    def adopt(self, model: TextClassifier) -> None:
        """Uses a trained classifier's tokens and labels, to evaluate or to tune it, not those of the training split."""
        self._preprocess, self._indexer, self._labels = model.preprocess, model.indexer, model.labels
        self.tokenizer, self._pieces = model.preprocess.tokenizer, model.preprocess.pieces
        self.stop_words = model.preprocess.stop_words
        self.max_length, self.truncate = model.preprocess.max_length, model.preprocess.truncate
        self._vocabulary, self.lowercase = model.indexer.words, model.indexer.lowercase
        self.multi_label = model.multi_label
        self._vectors = (model.indexer.vectors, None)
        for made in (self._read, self._tokens, self._encoded):
            made.clear()

    def _hint_at_several(self, labels: Sequence[str]) -> None:
        """Warns of labels that look like several: what a separator parts in one stands in another one too."""
        parts = {label: {part.strip() for part in label.split(SEPARATOR)} - {""} for label in labels}
        common = {part for part, count in Counter(chain.from_iterable(parts.values())).items() if count > 1}
        joined = [text for text in self.texts("train") if parts[text.labels[0]] & common - set(text.labels)]
        if joined:
            warnings.warn(
                f"{self._locate('train')[0]}:{joined[0].line}: {joined[0].labels[0]} is read as one label, and with it "
                f"those of {len(joined)} of {len(self.texts('train'))} texts. If {SEPARATOR} stands between several "
                "labels of a text, add --data.multi_label true"
            )

    def _split(self, split: str) -> list[list[str]]:
        """The tokens that are read of each text."""
        if split not in self._tokens:
            texts = [self.preprocess.split(text.text) for text in self.texts(split)]
            self._counts[split] = self.preprocess.count(texts)
            self._tokens[split] = [self.preprocess.cut(tokens) for tokens in texts]
        return self._tokens[split]

    def _training_words(self) -> Iterable[str]:
        return chain.from_iterable(self._split("train"))

    def _encode(self, split: str) -> ClassificationDataset:
        labels, path = self.labels, self._locate(split)[0]
        for text in self.texts(split):
            for label in text.labels:
                if label not in labels:
                    known = ", ".join(labels)
                    raise DataError(
                        f"{path}:{text.line}: expected one of the labels {known}, got {label}. They are those of "
                        "train, or of the model: are these its data? Choose others with --data.dataset or --data.test"
                    )
        tokens, counts = self._split(split), self.counts(split)
        if counts.empty:
            warnings.warn(f"{counts.empty} texts of {split} are empty: they are read and scored all the same")
        ids = [labels.ids(text.labels) for text in self.texts(split)]
        if self.multi_label:
            gold = torch.tensor([[float(i in present) for i in range(len(labels))] for present in ids])  # (N, K)
        else:
            gold = torch.tensor([i for (i,) in ids])  # (N,)
        return ClassificationDataset(tokens, self.indexer, gold)


def _named(texts: Sequence[LabelledText], names: Mapping[str, str]) -> list[LabelledText]:
    """The texts with the names that their corpus has for its labels."""
    return [replace(text, labels=tuple(names.get(label, label) for label in text.labels)) for text in texts]
