"""The base class of all datamodules: named corpora or own files, a codec and imported vectors."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Generic, TypeVar

import pytorch_lightning as pl
from torch import Tensor

from datamodules.agreement import agreeing, digest_of_files, digest_of_state, several_processes
from datamodules.budget import MaxTokens
from datamodules.corpus_files import SPLITS, CorpusFiles
from datamodules.errors import DataError
from datamodules.extension import check_extension, extended
from datamodules.hugging_face import fetch_splits, is_hugging_face
from datamodules.loaders import BatchDataModule
from datamodules.overlap import Overlap
from datamodules.readers.vectors import VectorFile, coverage
from datamodules.sampler import BatchDataset
from zoo.codecs import Codec, LanguageModelingCodec

CodecT = TypeVar("CodecT", bound=Codec)
ExampleT = TypeVar("ExampleT")

SPLITS_OF_STAGES = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",), "predict": ("test",)}


class CorpusDataModule(BatchDataModule, Generic[CodecT, ExampleT]):
    """Reads a corpus, fits a codec on its training split, and gives a Trainer its batches.

    A subclass sets `task` and `largest_budget`, and defines four methods: `_read_examples` reads a split, `_fit_codec`
    fits the codec on the training split, `_training_words` lists its tokens, and `_encode` makes tensors of a split.

    A model that is trained or scored on the data must have an equal `codec`. With the codec of a trained model, the
    datamodule encodes texts for that model: it fits no codec and ignores the arguments in `fitting`.

    Args:
        dataset: the name of a corpus in the catalog, which is ignored if `train`, `dev` or `test` is given; or a
            dataset of Hugging Face, "hf:OWNER/NAME", some of whose splits these may name (`datamodules.hugging_face`).
        train: your own file to train on; then `dataset` is ignored.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        max_tokens: the largest number of tokens in a training batch of one process, padding included. With "by_size"
            an epoch has about 170 steps; with "auto" a batch is as large as the memory of a GPU allows.
        seed: seeds the order of the batches.
        codec: the codec of a trained model, to evaluate or fine-tune that model; by default a new codec is fitted on
            the training split.
        extends: the codec of a trained model to fine-tune. The codec of the data is then that codec, extended by the
            words of the training split and with its labels. The arguments in `fitting` that are fields of the codec
            are ignored, as texts are read in the way of the model.
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        vectors: a file of word vectors (word2vec, GloVe or fastText) to import, in text or in word2vec's binary format.
        max_vectors: the largest number of vectors to read from the top of the file.

    Attributes:
        task: the task that a corpus of the catalog must be for.
        fitting: the names of the arguments that are ignored if a codec is given.
        folds_vectors: whether a word without a vector gets the vector of its lower-case form.
        files: which splits there are, and where.
        vector_file: the imported vectors.
    """

    task: str
    fitting = frozenset({"vectors", "max_vectors", "min_count", "lowercase", "normalization"})
    folds_vectors: bool = True

    def __init__(
        self,
        dataset: str,
        *,
        train: str | None,
        dev: str | None,
        test: str | None,
        max_tokens: MaxTokens,
        seed: int,
        codec: CodecT | None,
        extends: CodecT | LanguageModelingCodec | None = None,
        root: str | None = None,
        vectors: str | None = None,
        max_vectors: int = 0,
    ):
        super().__init__(max_tokens=max_tokens, seed=seed)
        check_extension(codec, extends, vectors)
        given = zip(SPLITS, (train, dev, test), strict=True)
        own = {split: file for split, file in given if file is not None}
        if is_hugging_face(dataset):
            own = fetch_splits(dataset, own)
        self.files = CorpusFiles(self.task, dataset, root=root, own=own)
        self.overlap = Overlap()
        self.vector_file = VectorFile(vectors, max_vectors)
        self._codec = codec
        self._extends = extends
        self._examples: dict[str, list[ExampleT]] = {}

    @abstractmethod
    def _read_examples(self, split: str) -> Iterable[ExampleT]:
        """Reads the examples of a split."""

    @abstractmethod
    def _fit_codec(self) -> CodecT:
        """Fits a codec on the training split."""

    @abstractmethod
    def _training_words(self) -> Iterable[str]:
        """The tokens of the training split, spelled as their imported vectors are looked up."""

    def _extended(self, codec: CodecT) -> CodecT:
        """The codec that was fitted, or the one to extend with what it adds."""
        return codec if self._extends is None else extended(self._extends, codec)

    @property
    def codec(self) -> CodecT:
        """Converts texts to ids, and ids to answers. A model that reads these data must have an equal codec."""
        if self._codec is None:
            self._codec = self._fit_codec()
        return self._codec

    def examples(self, split: str) -> list[ExampleT]:
        """The examples of "train", "dev" or "test". They are read again each time, as soon as the split is encoded."""
        if split in self._examples:
            return self._examples[split]
        examples = list(self._read_examples(split))
        if split not in self._encoded:
            self._examples[split] = examples
        return examples

    def encoded(self, split: str) -> BatchDataset[object]:
        """A split as tensors. It is encoded once; then its strings are not needed again."""
        data = super().encoded(split)
        self._examples.pop(split, None)
        return data

    @property
    def training_examples(self) -> int:
        """The number of examples in the training split."""
        if "train" in self._encoded:
            return len(self.encoded("train").lengths)
        return len(self.examples("train"))

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits. With own files, only the splits whose file is given."""
        return self.files.splits

    def described(self, split: str) -> str:
        """The name of a split in a table of scores: the corpus and the split, or the own file."""
        return self.files.described(split)

    def paths(self, split: str) -> list[str | Path]:
        """All files that a split is read from."""
        return [self.files.path(split)]

    @property
    def vector_table(self) -> Tensor | None:
        """Imported vectors `(len(codec.vector_words) - 2, codec.vector_size)`, or None without imported vectors.

        A model imports them when training begins.
        """
        return self.vector_file.table

    def _coverage(self) -> str:
        """How much of the training split has imported vectors."""
        return coverage(self.codec.vector_words, self._training_words(), fold=self.folds_vectors)

    def check_model(self, model: pl.LightningModule) -> None:
        """Refuses a model of the zoo whose codec differs from that of the data.

        Raises:
            DataError: the codecs differ. The message names the differences and what to type instead.
        """
        codec = getattr(model, "codec", None)
        if not isinstance(codec, Codec):
            # A user's own model need not have a codec.
            return
        name = type(model).__name__
        if type(codec) is not type(self.codec):
            raise DataError(
                f"{type(self).__name__} has data for {self.task}, but {name} is a model for another task: "
                "the README lists which model belongs to which data"
            )
        if codec != self.codec:
            told = self.codec.differences(codec, ours="the data", theirs="the model")
            raise DataError(
                f"data and model would read one text as different ids: {told}. For a new model, pass the codec of "
                f"the data: zoo.{name}(data.codec, ...). For a trained model, pass its codec to the data: "
                f"{type(self).__name__}(..., codec=model.codec)"
            )

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._position.forget()
        if self.trainer:
            self.check_model(self.trainer.lightning_module)
        if stage == "fit" and self.trainer and self.trainer.is_global_zero and self.vector_table is not None:
            print(f"{self.vector_file.path}: {self._coverage()}", file=sys.stderr)
        splits = SPLITS_OF_STAGES[stage]
        if self.trainer is None:
            for split in splits:
                self.encoded(split)
            return
        with agreeing() as facts:
            self.check_processes(self.trainer.world_size, splits)
            facts |= self.facts(splits)

    def facts(self, splits: Collection[str]) -> dict[str, str]:
        """What all processes must share, by name: sums of files and of what is learned from them, and the plan.

        A lone process has nobody to differ from, and gets none.
        """
        if not several_processes():
            return {}
        # The files may have other names on another machine.
        sums = {f"the files of {split}": self._sum_of_files(split) for split in splits}
        if self.vector_file.path is not None:
            sums["the file of --data.vectors"] = digest_of_files([self.vector_file.path])
        sums["what is learned from the training split"] = digest_of_state(self.codec.state)
        if "train" in splits:
            sums["--data.max_tokens or seed"] = f"{self.budget} {self.seed}"
        return sums

    def _sum_of_files(self, split: str) -> str:
        return digest_of_files(self.paths(split))
