"""What the corpora of all tasks share: named or a user's own files, imported vectors, budgets, exact resume."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.catalog import CATALOG
from datamodules.corpus import Corpus
from datamodules.download import locate
from datamodules.errors import DataError
from datamodules.readers.vectors import coverage, read_vectors
from datamodules.sampler import (
    BatchDataset,
    Batches,
    EpochSampler,
    Position,
    RepeatingSampler,
    batch_loader,
    next_position,
)
from zoo.batches.bucketing import check_budget
from zoo.codecs import Codec
from zoo.errors import ZooError
from zoo.text import PAD, UNKNOWN, Vocabulary

SPLITS = ("train", "dev", "test")
SPLITS_OF_STAGES = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",), "predict": ("test",)}
STEPS = 170  # in an epoch, where the user sets no budget: enough for a small corpus to be learned at all
SMALLEST_BUDGET = 100


class CorpusDataModule(pl.LightningDataModule):
    """Batches of a corpus: buckets of like lengths within a token budget, dealt evenly to all processes.

    A subclass names its `task` in the catalog and the `largest_budget` that it would choose by itself, counts
    its `training_tokens`, fits a codec on the training split, and encodes a split. A model that is trained or scored
    on it must have its `codec`. Given the codec of a trained model, the data are encoded for that model: then nothing
    is fitted, and the arguments in `fitting` are not read.

    Args:
        dataset: a name of the catalog; ignored where `train`, `dev` and `test` are given.
        root: the folder of the corpora; by default $ZOO_DATA, else the user's cache folder.
        train: a file of one's own to train on; then `dataset` is not read.
        dev: likewise, to choose the best checkpoint on.
        test: likewise, scored once at the end.
        vectors: a text file of word vectors (word2vec, GloVe or fastText; plain or .gz).
        max_vectors: rows of it that are read, from the top.
        max_tokens: token budget of a training batch, padding included, for each process.
        seed: of the order of the batches.
        codec: that of a trained model, to evaluate or to fine-tune it; by default one is fitted on the training split.
    """

    task: str
    largest_budget: int
    fitting = frozenset({"vectors", "max_vectors", "min_count", "lowercase"})
    lowercase: bool
    evaluation_budget = 4800  # tokens in a batch; no score depends on it
    num_workers = 0  # processes that build batches in advance; one batch takes about half a millisecond

    def __init__(
        self,
        dataset: str,
        *,
        root: str | None,
        train: str | None,
        dev: str | None,
        test: str | None,
        vectors: str | None,
        max_vectors: int,
        max_tokens: int | None,
        seed: int,
        codec: Codec | None,
    ):
        super().__init__()
        if max_tokens is not None:
            try:
                check_budget(max_tokens)
            except ZooError as error:
                raise DataError(f"--data.max_tokens: {error}") from None
        self.dataset, self.root = dataset, root
        self.own_files = {k: v for k, v in zip(SPLITS, (train, dev, test), strict=True) if v is not None}
        self.vectors_file, self.max_vectors = vectors, max_vectors
        self.max_tokens, self.seed = max_tokens, seed
        self._codec = codec
        self._encoded: dict[str, BatchDataset[object]] = {}
        self._vectors: tuple[Vocabulary, Tensor | None] | None = None
        self._resume_from: Position | None = None

    @property
    @abstractmethod
    def training_tokens(self) -> int:
        """Tokens of the training split."""

    @property
    @abstractmethod
    def training_examples(self) -> int:
        """Examples of the training split."""

    @property
    def codec(self) -> Codec:
        """How texts become ids, and ids answers; a model must have the same."""
        if self._codec is None:
            self._codec = self._fit_codec()
        return self._codec

    @abstractmethod
    def _fit_codec(self) -> Codec:
        """A codec of the training split."""

    @abstractmethod
    def _training_words(self) -> Iterable[str]:
        """The tokens of the training split as vectors are looked up for them."""

    @abstractmethod
    def _encode(self, split: str) -> BatchDataset[object]:
        """A split as tensors."""

    @property
    def folds_vectors(self) -> bool:
        """Whether a word without a vector has that of its lower case."""
        return self.lowercase

    @property
    def vector_table(self) -> Tensor | None:
        """Imported vectors `(len(codec.vector_words) - 2, codec.vector_size)`, which a model imports as training
        begins; None where there are none."""
        return self._imported()[1]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that there are: of one's own files those that are given."""
        return tuple(self.own_files) or SPLITS

    def described(self, split: str) -> str:
        """What a split is called in a table: the corpus and the split, or the file."""
        return str(self.own_files.get(split) or f"{self.dataset} {split}")

    @property
    def budget(self) -> int:
        """Tokens in a training batch at most, padding included."""
        return self.max_tokens or max(SMALLEST_BUDGET, min(self.largest_budget, self.training_tokens // STEPS))

    def check_model(self, model: pl.LightningModule) -> None:
        """Refuses a model of the zoo that reads texts, or counts labels, in another way than this data.

        Raises:
            DataError: what differs, and what to type instead.
        """
        codec = getattr(model, "codec", None)
        if not isinstance(codec, Codec):
            return  # a user's own model, which knows what it does
        name = type(model).__name__
        if type(codec) is not type(self.codec):
            raise DataError(
                f"{type(self).__name__} has data for {self.task}, and {name} is a model for something else: "
                "see README for the pairs of data and model"
            )
        if codec != self.codec:
            told = self.codec.differences(codec, ours="the data", theirs="the model")
            raise DataError(
                f"data and model would read one text as different numbers: {told}. Give a new model the codec of the "
                f"data, zoo.{name}(data.codec, ...), or the data the codec of a trained model, "
                f"{type(self).__name__}(..., codec=model.codec)"
            )

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._resume_from = None  # a Trainer restores it later
        if self.trainer:
            self.check_model(self.trainer.lightning_module)
        if stage == "fit" and self.trainer and self.trainer.is_global_zero and self.vector_table is not None:
            known = coverage(self.codec.vector_words, self._training_words(), fold=self.folds_vectors)
            print(f"{self.vectors_file}: {known}", file=sys.stderr)
        for split in SPLITS_OF_STAGES[stage]:
            if split not in self._encoded:
                self._encoded[split] = self._encode(split)

    def train_dataloader(self) -> DataLoader[object]:
        # Lightning sets this attribute where type checkers do not see it.
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        sampler_class = RepeatingSampler if overfits else EpochSampler
        start = self._start_of_pass if self.trainer else None
        return self._loader("train", self.budget, sampler_class, seed=self.seed, start=start)

    def val_dataloader(self) -> DataLoader[object]:
        return self._loader("dev", self.evaluation_budget, RepeatingSampler)

    def test_dataloader(self) -> DataLoader[object]:
        return self._loader("test", self.evaluation_budget, RepeatingSampler)

    def predict_dataloader(self) -> DataLoader[object]:
        """Batches of the test split, for `zoo.in_order(trainer.predict(model, datamodule=data))`."""
        return self._loader("test", self.evaluation_budget, RepeatingSampler, predicts=True)

    def state_dict(self) -> dict[str, int]:
        # Lightning also saves the state of a loader, but forgets to restore it where a schedule has asked how many
        # steps there are before the checkpoint is read (its issue 20550).
        return next_position(self.trainer)._asdict() if self.trainer else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._resume_from = Position(**state_dict) if state_dict else None

    def _loader(
        self,
        split: str,
        max_tokens: int,
        sampler_class: type[EpochSampler],
        *,
        seed: int = 0,
        start: Callable[[], Position] | None = None,
        predicts: bool = False,
    ) -> DataLoader[object]:
        """Loads this process's batches of a split. Batches to evaluate on do not depend on the seed of the data."""
        trainer = self.trainer
        dataset: Batches[object] = Batches(self._encoded[split])
        sampler = sampler_class(
            dataset,
            max_tokens,
            processes=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            seed=seed,
            start=start,
        )
        on_gpu = trainer is not None and trainer.strategy.root_device.type == "cuda"
        return batch_loader(dataset, sampler, predicts=predicts, num_workers=self.num_workers, pin_memory=on_gpu)

    def _start_of_pass(self) -> Position:
        """The position at which a pass over the training split begins."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        resumed = self._resume_from
        # Lightning begins the first pass before it restores its own count of epochs.
        return resumed if resumed and resumed.epoch >= epoch else Position(epoch, 0)

    def _locate(self, split: str) -> tuple[str | Path, Corpus | None]:
        """The file of a split, and what the catalog knows of it; None for a user's own."""
        if self.own_files:
            if split not in self.own_files:
                raise DataError(f"there is no {split} split: give its file with --data.{split} FILE")
            return self.own_files[split], None
        if self.dataset in CATALOG and CATALOG[self.dataset].task != self.task:
            known = ", ".join(name for name, corpus in CATALOG.items() if corpus.task == self.task)
            raise DataError(
                f"{self.dataset} is a corpus for {CATALOG[self.dataset].task}: for {self.task} there are {known}"
            )
        path = locate(self.dataset, self.root)[split]
        return path, CATALOG[self.dataset]

    def _imported(self) -> tuple[Vocabulary, Tensor | None]:
        """The words with imported vectors, `<pad>` and `<unk>` first, and the vectors of the others."""
        if self._vectors is None:
            if self.vectors_file is None:
                self._vectors = (Vocabulary(()), None)
            else:
                words, table = read_vectors(self.vectors_file, self.max_vectors)
                self._vectors = (Vocabulary((PAD, UNKNOWN, *words)), table)
        return self._vectors

    @property
    def _vector_fields(self) -> dict[str, object]:
        """The fields of a codec that tell of imported vectors."""
        words, table = self._imported()
        return {"vector_words": words, "vector_size": 0 if table is None else table.shape[1]}
