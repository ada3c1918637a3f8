"""Sentences with a tag for each token, from a named corpus or a user's own files, as padded batches."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from torch import Tensor

from datamodules.batching import BatchLoader
from datamodules.catalog import CATALOG, locate
from datamodules.readers import DataError, TaggedSentence, read_columns, read_conllu
from datamodules.vectors import read_vectors
from zoo.batching import EncodedSentences, FormIndexer
from zoo.spans import convert, detect_scheme, is_legal
from zoo.text import PAD, UNKNOWN, Vocabulary

if TYPE_CHECKING:
    from zoo.tagger import SequenceTagger

FORMATS = ("conllu", "columns")
SPLITS = ("train", "dev", "test")
STEPS = 170  # in an epoch, where the user sets no budget: enough for a small corpus to be learned at all
EVALUATION_BUDGET = 4800  # tokens in a batch; no score depends on it
RARE_CHARACTER = 3  # rarer ones train the unknown character


class TaggingDataModule(pl.LightningDataModule):
    """Reads, encodes and batches a tagging corpus; vocabularies come from its training split alone.

    >>> data = TaggingDataModule("ud-en-ewt")
    >>> model = zoo.SequenceTagger(data.words, data.characters, data.tags, lowercase=data.lowercase)
    >>> pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(model, data)

    Batches are buckets of like lengths. Under DDP each process gets its own part of every epoch and as many
    steps as the others, whatever `use_distributed_sampler` says.

    Args:
        dataset: a name of the catalog (`datamodules.CATALOG`); ignored where `train`, `dev` and `test` are given.
        column: where the tags are: in CoNLL-U "upos", "xpos" or any other column, or a key inside one such as
            "misc:NER"; in column files a number, 0 the first and -1 the last. By default the corpus's own.
        root: the folder of the corpora; by default $ZOO_DATA, else the user's cache folder.
        train: a file of one's own to train on; then `dataset` is not read.
        dev: likewise, to choose the best checkpoint on.
        test: likewise, read once at the end.
        format: "conllu" or "columns", of one's own files; by default what their ending says.
        scheme: how the tags mark spans: "BIO", "IOB1", "BIOES", "BMES", or "none"; by default what they look like.
        convert_to: a scheme to convert them to.
        vectors: a text file of word vectors (word2vec, GloVe or fastText; plain or .gz).
        max_vectors: rows of it that are read, from the top.
        max_tokens: token budget of a training batch, padding included, for each process; by default what makes
            about 170 steps of an epoch, but 100 at least and 1,200 at most.
        min_count: rarer words of the training split count as unknown.
        lowercase: whether words are looked up in lower case.
        seed: of the order of the batches.

    Raises:
        DataError: a file that cannot be read or is malformed (file, line and what was expected), or names that
            are not known (the known ones are listed).
    """

    def __init__(
        self,
        dataset: str = "sample-en",
        *,
        column: str | None = None,
        root: str | None = None,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        format: str | None = None,
        scheme: str | None = None,
        convert_to: str | None = None,
        vectors: str | None = None,
        max_vectors: int = 200_000,
        max_tokens: int | None = None,
        min_count: int = 1,
        lowercase: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        if max_tokens is not None and max_tokens < 1:
            raise DataError(f"expected a token budget of at least 1, got --data.max_tokens {max_tokens}")
        if format not in (None, *FORMATS):
            raise DataError(f"unknown format {format!r}: known are {', '.join(FORMATS)}")
        self.dataset, self.root, self.column, self.format = dataset, root, column, format
        self.own_files = {k: v for k, v in zip(SPLITS, (train, dev, test), strict=True) if v is not None}
        self._source_scheme, self.convert_to = scheme, convert_to
        self.vectors_file, self.max_vectors = vectors, max_vectors
        self.max_tokens, self.min_count, self.lowercase, self.seed = max_tokens, min_count, lowercase, seed
        self._read: dict[str, list[TaggedSentence]] = {}
        self._encoded: dict[str, EncodedSentences] = {}
        self._vocabularies: tuple[Vocabulary, Vocabulary, Vocabulary] | None = None
        self._vectors: tuple[Vocabulary, Tensor | None] | None = None
        self._scheme: str | None = None
        self._train_loader: BatchLoader | None = None
        self._resume_from: dict[str, int] | None = None

    @property
    def words(self) -> Vocabulary:
        """Words of the training split, `<pad>` and `<unk>` first."""
        return self._fitted()[0]

    @property
    def characters(self) -> Vocabulary:
        """Characters of the training split, `<pad>` and `<unk>` first."""
        return self._fitted()[1]

    @property
    def tags(self) -> Vocabulary:
        """Tags of the training split."""
        return self._fitted()[2]

    @property
    def scheme(self) -> str | None:
        """How the tags mark spans, after conversion; None where each tag stands for itself."""
        self._fitted()
        return self._scheme

    @property
    def tokenizer(self) -> str:
        """How text of this kind is split: "characters" where every training token is a single one."""
        single = all(len(token) == 1 for sentence in self.sentences("train") for token in sentence.tokens)
        return "characters" if single else "whitespace"

    @property
    def vector_words(self) -> Vocabulary:
        """Words with imported vectors, `<pad>` and `<unk>` first; empty where none are imported."""
        return self._imported()[0]

    @property
    def vector_size(self) -> int:
        """Features of an imported vector; 0 where none are imported."""
        table = self._imported()[1]
        return 0 if table is None else table.shape[1]

    @property
    def vector_table(self) -> Tensor | None:
        """`(len(vector_words) - 2, vector_size)`, for `SequenceTagger.import_vectors`."""
        return self._imported()[1]

    @property
    def budget(self) -> int:
        """Tokens in a training batch at most, padding included."""
        tokens = sum(len(sentence.tokens) for sentence in self.sentences("train"))
        return self.max_tokens or max(100, min(1200, tokens // STEPS))

    def sentences(self, split: str) -> list[TaggedSentence]:
        """The sentences of "train", "dev" or "test", their tags converted where asked."""
        if split not in self._read:
            path, format, column, scheme = self._source(split)
            sentences = read_conllu(path, column) if format == "conllu" else read_columns(path, tag_column=int(column))
            self._read[split] = self._converted(sentences, scheme, path)
        return self._read[split]

    def adopt(self, model: SequenceTagger) -> None:
        """Uses a trained tagger's vocabularies, to evaluate it, in the place of those of the training split."""
        indexer = model.indexer
        self._vocabularies = (indexer.words, indexer.characters, model.tags)
        self._vectors = (indexer.vectors, None)
        self.lowercase = indexer.lowercase
        self._encoded.clear()

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.trainer and self.vector_table is not None:
            self.trainer.lightning_module.import_vectors(self.vector_table)
        for split in {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",)}.get(stage, ()):
            if split not in self._encoded:
                self._encoded[split] = self._encode(split)

    def train_dataloader(self) -> BatchLoader:
        self._train_loader = self._loader("train", self.budget, shuffle=True)
        if self._resume_from is not None:
            self._train_loader.load_state_dict(self._resume_from)
            self._resume_from = None
        return self._train_loader

    def val_dataloader(self) -> BatchLoader:
        return self._loader("dev", EVALUATION_BUDGET)

    def test_dataloader(self) -> BatchLoader:
        return self._loader("test", EVALUATION_BUDGET)

    def state_dict(self) -> dict[str, int]:
        # Lightning saves a loader's state itself, but forgets to restore it where a schedule has asked how many
        # steps there are before the checkpoint is read.
        return {} if self._train_loader is None else self._train_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._resume_from = state_dict or None

    def _loader(self, split: str, max_tokens: int, shuffle: bool = False) -> BatchLoader:
        rank, processes = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return BatchLoader(
            self._encoded[split], max_tokens, shuffle=shuffle, seed=self.seed, rank=rank, processes=processes
        )

    def _source(self, split: str) -> tuple[str | Path, str, str, str | None]:
        """Path, format, tag column and scheme of a split."""
        if self.own_files:
            if split not in self.own_files:
                raise DataError(f"there is no {split} split: give its file with --data.{split} FILE")
            path = self.own_files[split]
            format = self.format or ("conllu" if str(path).endswith((".conllu", ".conllu.txt")) else "columns")
            return path, format, self.column or ("upos" if format == "conllu" else "-1"), None
        path = locate(self.dataset, self.root)[split]
        corpus = CATALOG[self.dataset]
        scheme = corpus.scheme if self.column in (None, str(corpus.column)) else None
        return path, corpus.format, self.column or str(corpus.column), scheme

    def _converted(self, sentences: list[TaggedSentence], known: str | None, path: str | Path) -> list[TaggedSentence]:
        if self._source_scheme is None:  # the first split that is read decides for all
            self._source_scheme = known or detect_scheme(tag for s in sentences for tag in s.tags) or "none"
        scheme = None if self._source_scheme == "none" else self._source_scheme
        self._scheme = scheme
        if self.convert_to in (None, scheme):
            return sentences
        if scheme is None:
            raise DataError(f"{path}: --data.convert_to {self.convert_to} needs tags of spans, and these are none")
        converted = []
        for number, sentence in enumerate(sentences, 1):
            try:
                tags = convert(sentence.tags, scheme, self.convert_to)
            except ValueError as error:
                raise DataError(f"{path}: sentence {number}: {error}") from error
            converted.append(TaggedSentence(sentence.tokens, tuple(tags)))
        self._scheme = self.convert_to
        return converted

    def _fitted(self) -> tuple[Vocabulary, Vocabulary, Vocabulary]:
        if self._vocabularies is None:
            sentences = self.sentences("train")
            tokens = [token for sentence in sentences for token in sentence.tokens]
            keys = (token.lower() for token in tokens) if self.lowercase else tokens
            self._vocabularies = (
                Vocabulary.fit(keys, min_count=self.min_count),
                Vocabulary.fit((c for token in tokens for c in token), min_count=RARE_CHARACTER),
                Vocabulary.fit((tag for sentence in sentences for tag in sentence.tags), specials=()),
            )
        return self._vocabularies

    def _imported(self) -> tuple[Vocabulary, Tensor | None]:
        if self._vectors is None:
            if self.vectors_file is None:
                self._vectors = (Vocabulary(()), None)
            else:
                words, table = read_vectors(self.vectors_file, self.max_vectors)
                self._vectors = (Vocabulary((PAD, UNKNOWN, *words)), table)
        return self._vectors

    def _encode(self, split: str) -> EncodedSentences:
        sentences, tags = self.sentences(split), self.tags
        unseen = sorted({tag for sentence in sentences for tag in sentence.tags if tag not in tags})
        if sentences and unseen == sorted({tag for sentence in sentences for tag in sentence.tags}):
            raise DataError(
                f"{split} has none of the tags {', '.join(tags[:5])}, ... but {', '.join(unseen[:5])}, ...: "
                "choose the column that they are in with --data.column, or another model"
            )
        if unseen:
            warnings.warn(f"{split} has tags that training never had; they count as wrong: {', '.join(unseen)}")
        broken = 0 if self.scheme is None else sum(not is_legal(s.tags, self.scheme) for s in sentences)
        if broken:
            warnings.warn(f"{broken} sentences of {split} break the scheme {self.scheme}: no CRF learns from them")
        if split == "train" and (long := sum(len(s.tokens) > self.budget for s in sentences)):
            warnings.warn(f"{long} sentences are longer than max_tokens={self.budget}: each is a batch of its own")
        indexer = FormIndexer(self.words, self.characters, self.vector_words, lowercase=self.lowercase)
        ids = [[tags.get(tag, len(tags)) for tag in sentence.tags] for sentence in sentences]
        return EncodedSentences([sentence.tokens for sentence in sentences], indexer, ids)
