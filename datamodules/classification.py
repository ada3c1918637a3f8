"""Texts with one or several labels, from a named corpus or the user's own files, as padded batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain

from datamodules.budget import MaxTokens
from datamodules.classification_encoder import ClassificationCounts, ClassificationEncoder, stored_texts
from datamodules.classification_fitter import ClassificationFitter
from datamodules.encoding import sampled
from datamodules.errors import DataError
from datamodules.examples import LabelledText
from datamodules.extension import following
from datamodules.labelled_files import LabelledFiles
from datamodules.labels import LabelCount, LabelCounts, balanced_weights, check_labels, count_labels
from datamodules.large_corpora import Stored
from datamodules.readers.tables import FORMATS
from datamodules.readers.vectors import coverage
from datamodules.stored import StoredDataModule
from datamodules.vocabulary_size import VocabularySize
from zoo.batches.classification import ClassificationDataset
from zoo.codecs import ClassificationCodec, LanguageModelingCodec
from zoo.text import Preprocessor, TextCounts, require_words
from zoo.text.normalization import DEFAULT, check_normalizations
from zoo.text.stop_words import read_stop_words


class ClassificationDataModule(StoredDataModule[ClassificationCodec, LabelledText]):
    """Reads, encodes and batches labelled texts. Tokens and labels are fitted on the training split only.

    >>> data = ClassificationDataModule("sample-reviews-en")
    >>> model = zoo.TextClassifier(data.codec)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(model, data)

    Args:
        dataset: the name of a corpus in the catalog (`datamodules.CATALOG`), which is ignored if `train`, `dev` or
            `test` is given; or a dataset of Hugging Face, "hf:OWNER/NAME", some of whose splits these may name.
        text_column: the column of the texts: a name, or a number (0 is the first, -1 the last). By default the column
            in the catalog, or "text" in own files.
        label_column: the column of the labels: a name or a number. By default the column in the catalog, or "label" in
            own files. In shopping-zh, "label" is the polarity and "cat" the category.
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        train: your own file to train on; then `dataset` is ignored.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        format: the format of own files: "csv", "tsv", "jsonl", "parquet", "xlsx" or "fasttext"; by default it follows
            from the file's ending, or from its first line.
        header: whether the first row of CSV, TSV or Excel names the columns; by default true, unless both columns are
            given as numbers.
        multi_label: whether a text may have any number of labels, separated by "|".
        positive: with two labels, the one that F1, AUROC and average precision are computed for; by default the second
            in alphabetical order.
        tokenizer: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece". A sentencepiece model is
            trained on the training split.
        vocabulary_size: the number of most frequent tokens in the vocabulary. With "by_tokenizer" it is 8,000 pieces
            with sentencepiece, and all tokens with other tokenizers.
        stop_words: tokens to leave out: "english", "chinese", or a file with one word per line.
        lowercase: whether tokens are looked up in lower case.
        normalization: how texts are normalized before anything else, in training and prediction: any of "nfc" (composed
            characters), "invisible" (without zero-width spaces and soft hyphens), "full_width" (ASCII for full-width
            forms, as in Chinese) and "quotes" (straight quotes for curly ones).
        max_length: the largest number of tokens that the model reads of a text.
        truncate: which part of a longer text the model reads: its "head", its "tail", or "both" ends.
        vectors: a file of word vectors (word2vec, GloVe or fastText) to import, in text or in word2vec's binary format.
        max_vectors: the largest number of vectors to read from the top of the file.
        max_tokens: the largest number of tokens in a training batch of one process, padding included. With "by_size"
            it is between 100 and 4,000, so that an epoch has about 170 steps; with "auto" it is as large as the memory
            of a GPU allows.
        min_count: tokens that occur less often in the training split are unknown tokens.
        balance: whether texts of rare labels get larger weights in the loss, so that all labels have the same total.
        class_weights: the weight of each label in the loss, with the labels in alphabetical order. With `multi_label`,
            the weight of having the label relative to not having it. If empty, all weights are equal.
        seed: seeds the order of the batches.
        store: whether splits are encoded on disk, once, and read from there. With "by_size" a split is if its files
            have more than 256 MiB. Needs pyarrow.
        codec: the codec of a trained model, to evaluate or fine-tune that model. Then no codec is fitted, and the
            arguments in `fitting`, which define the labels and the preprocessing, are ignored.
        extends: the codec of a trained model to fine-tune, which may be a language model. The codec of the data is then
            that codec with the new words and the labels of the training split. Arguments in `fitting` that are fields
            of the codec are ignored.

    Raises:
        DataError: a file cannot be read or is malformed (the message has the file, the line and what was expected), a
            name is unknown (the message lists the known ones), or the training split has fewer than two labels.
    """

    task = "classification"
    codec_class = ClassificationCodec
    fitting = StoredDataModule.fitting | {
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
        vocabulary_size: VocabularySize = "by_tokenizer",
        stop_words: str | None = None,
        lowercase: bool = True,
        normalization: Sequence[str] = DEFAULT,
        max_length: int = 400,
        truncate: str = "head",
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_tokens: MaxTokens = "by_size",
        min_count: int = 2,
        balance: bool = False,
        class_weights: Sequence[float] = (),
        seed: int = 0,
        store: Stored = "by_size",
        codec: ClassificationCodec | None = None,
        extends: ClassificationCodec | LanguageModelingCodec | None = None,
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
        if format not in (None, *FORMATS):
            raise DataError(f"unknown format {format!r}: known are {', '.join(FORMATS)}")
        if balance and class_weights:
            raise DataError(
                "--data.balance and --data.class_weights both set the weights of labels: leave one of them out"
            )
        if vocabulary_size != "by_tokenizer" and vocabulary_size < 1:
            raise DataError(f"--data.vocabulary_size: expected at least 1 token, got {vocabulary_size}")
        require_words(tokenizer, {"stop words": stop_words, "imported vectors": vectors})
        fitter = ClassificationFitter(
            multi_label=multi_label if codec is None else codec.multi_label,
            positive=positive,
            tokenizer=tokenizer,
            vocabulary_size=vocabulary_size,
            stop_words=read_stop_words(stop_words, tokenizer),
            lowercase=lowercase,
            normalization=check_normalizations(normalization),
            max_length=max_length,
            truncate=truncate,
            min_count=min_count,
            as_language_model=isinstance(extends, LanguageModelingCodec),
        )
        self.fitter = following(fitter, extends)
        self.folds_vectors = self.fitter.lowercase
        self.text_files = LabelledFiles(
            self.files, text_column, label_column, format=format, header=header, multi_label=self.fitter.multi_label
        )
        self.balance = balance
        self._class_weights = list(class_weights)
        self._tokens: dict[str, list[list[str]]] = {}
        self._counts: dict[str, TextCounts] = {}

    def _fit_codec(self) -> ClassificationCodec:
        texts = self.examples("train")
        model = self._fit_sentencepiece(text.text for text in texts)
        tokens = Counter(chain.from_iterable(self._tokens_of("train", self.fitter.preprocessor(model))))
        return self._codec_of(ClassificationCounts(tokens, count_labels(texts), self._counts["train"]), model)

    def _codec_of(self, counts: ClassificationCounts, model: Sequence[str]) -> ClassificationCodec:
        return self._extended(self.fitter.codec(counts, model, self.vector_file, self.files.path("train")))

    def _fit_sentencepiece(self, texts: Iterable[str]) -> list[str]:
        """The sentencepiece model that is trained on these texts, or that of the codec to extend."""
        if self._extends is not None:
            return list(self._extends.sentencepiece_model)
        return self.fitter.sentencepiece_model(texts)

    @property
    def class_weights(self) -> list[float]:
        """The weight of a text of each label in the loss; empty if all weights are equal."""
        if not self.balance:
            return self._class_weights
        return balanced_weights(
            self._training_labels, self.codec.labels, self.training_examples, multi_label=self.fitter.multi_label
        )

    @property
    def _training_labels(self) -> LabelCounts:
        store = self._store_of("train")
        if store is not None:
            return {label: LabelCount(*count) for label, count in store.facts["labels"].items()}
        return count_labels(self.examples("train"))

    def texts(self, split: str) -> list[LabelledText]:
        """The texts of "train", "dev" or "test", with the catalog's names of the labels.

        They are read again each time, as soon as the split is encoded.
        """
        return self.examples(split)

    def _read_examples(self, split: str) -> Iterator[LabelledText]:
        return self.text_files.read(split)

    def counts(self, split: str) -> TextCounts:
        """The number of texts of a split, and how many of them are empty or truncated."""
        store = self._store_of(split)
        if store is not None:
            return TextCounts(*store.facts["texts"])
        if split not in self._counts:
            self._read_tokens(split)
        return self._counts[split]

    def _training_words(self) -> Iterable[str]:
        return chain.from_iterable(self._read_tokens("train"))

    def _read_tokens(self, split: str) -> list[list[str]]:
        """The tokens of each text of a split, after truncation."""
        return self._tokens_of(split, self.codec.preprocessor)

    def _tokens_of(self, split: str, preprocessor: Preprocessor) -> list[list[str]]:
        if split not in self._tokens:
            whole = [preprocessor.split(text.text) for text in self.examples(split)]
            self._counts[split] = preprocessor.count(whole)
            tokens = [preprocessor.cut(of_text) for of_text in whole]
            if split in self._encoded:
                return tokens
            self._tokens[split] = tokens
        return self._tokens[split]

    @property
    def _store_settings(self) -> dict[str, object]:
        names = ("text_column", "label_column", "format", "header")
        return {**asdict(self.fitter), **{name: getattr(self.text_files, name) for name in names}}

    def _encoder(self, split: str) -> ClassificationEncoder:
        codec = self._codec if split == "train" else self.codec
        if codec is None:
            model = self._fit_sentencepiece_on_sample()
            preprocessor = self.fitter.preprocessor(model)
        else:
            model = []
            preprocessor = codec.preprocessor
        return ClassificationEncoder(
            self.text_files.parts(split),
            lambda texts: self._check_labels(split, texts),
            preprocessor,
            codec_of=lambda counts: codec or self._codec_of(counts, model),
            facts_of=lambda codec, counts: {
                "coverage": coverage(codec.vector_words, counts.tokens, fold=self.folds_vectors)
            },
        )

    def _fit_sentencepiece_on_sample(self) -> list[str]:
        """The sentencepiece model that is trained on a sample of a large corpus; empty with other tokenizers."""
        if self.fitter.tokenizer != "sentencepiece":
            # These need no pass over the corpus.
            return []
        return self._fit_sentencepiece(sampled(text.text for text in self._read_examples("train")))

    def _encode(self, split: str) -> ClassificationDataset:
        store = self._store_of(split)
        if store is not None:
            data = stored_texts(store)
        else:
            texts = self.examples(split)
            self.overlap.add(split, (text.text for text in texts))
            codec = self.codec
            self._check_labels(split, texts)
            data = codec.dataset(self._read_tokens(split), [text.labels for text in texts])
            # The strings are not needed again.
            self._tokens.pop(split, None)
        empty = self.counts(split).empty
        if empty:
            warnings.warn(f"{empty} texts of {split} are empty: the model still reads and scores them")
        return data

    def _check_labels(self, split: str, texts: Iterable[LabelledText]) -> None:
        """Refuses labels that the codec lacks. A codec that is not yet fitted lacks none."""
        if self._codec is not None:
            check_labels(texts, self._codec.labels, self.files.path(split))
