"""The base class of all datamodules: named corpora or own files, imported vectors, token budgets and exact resume."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.agreement import agreeing, digest_of_files, digest_of_state, several_processes
from datamodules.auto_budget import largest_that_trains
from datamodules.catalog import CATALOG
from datamodules.corpus import Corpus
from datamodules.download import known_corpus, locate
from datamodules.encoding import Encoder, StoreBuilder
from datamodules.errors import DataError
from datamodules.extension import check_extension, followed
from datamodules.hugging_face import fetch_splits, is_hugging_face
from datamodules.large_corpora import digest, is_large, store_key, stores_folder
from datamodules.overlap import Overlap
from datamodules.planning import check_rows
from datamodules.readers.vectors import coverage, read_vectors
from datamodules.remainder import Part, Remainder
from datamodules.sampler import (
    BatchDataset,
    Batches,
    EpochSampler,
    Position,
    RepeatingSampler,
    batch_loader,
    continue_from,
    next_position,
)
from datamodules.store import Store, open_store
from zoo.batches.bucketing import check_budget
from zoo.codecs import Codec
from zoo.errors import ZooError
from zoo.text import PAD, UNKNOWN, Vocabulary

CodecT = TypeVar("CodecT", bound=Codec)

SPLITS = ("train", "dev", "test")
SPLITS_OF_STAGES = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",), "predict": ("test",)}
# The number of steps in an epoch if the user sets no budget: enough to learn from a small corpus.
STEPS = 170
SMALLEST_BUDGET = 100


class CorpusDataModule(pl.LightningDataModule, Generic[CodecT]):
    """Batches of a corpus: rows of similar lengths within a token budget, shared evenly among all processes.

    A subclass counts its `training_tokens`, fits a codec on the training split, and encodes a split. A model that is
    trained or scored on the data must have an equal `codec`. With the codec of a trained model, the datamodule encodes
    texts for that model: it fits no codec and ignores the arguments in `fitting`.

    Args:
        dataset: the name of a corpus in the catalog. It is ignored if `train`, `dev` or `test` is given.
        root: the folder of all corpora; by default $ZOO_DATA, or else the user's cache folder.
        train: your own file to train on; then `dataset` is ignored.
        dev: your own file to choose the best checkpoint on.
        test: your own file to score once, at the end.
        vectors: a text file of word vectors (word2vec, GloVe or fastText; plain or .gz) to import.
        max_vectors: the largest number of vectors to read from the top of the file.
        max_tokens: the largest number of tokens in a training batch of one process, padding included. "auto" tries on
            a GPU how many fit, and is the default elsewhere.
        seed: seeds the order of the batches.
        codec: the codec of a trained model, to evaluate or fine-tune that model; by default a new codec is fitted on
            the training split.
        extends: the codec of a trained model to fine-tune. The codec of the data is then that codec, extended by the
            words of the training split and with its labels. The arguments in `fitting` that are fields of the codec
            are ignored, as texts are read in the way of the model.
        store: whether the training split is encoded on disk, once, and read from there; by default if its files have
            more than 256 MiB. Needs pyarrow.

    Attributes:
        task: the task that a corpus of the catalog must be for.
        largest_budget: the upper limit of the default token budget.
        fitting: the names of the arguments that are ignored if a codec is given.
        lowercase: whether words are looked up in lower case.
        normalization: how texts are normalized before anything else.
        evaluation_budget: the token budget of a batch in validation, test and prediction; no score depends on it.
        num_workers: the number of processes that build batches in advance; 0 is enough, as a batch takes about 0.5 ms.
    """

    task: str
    largest_budget: int
    fitting = frozenset({"vectors", "max_vectors", "min_count", "lowercase", "normalization"})
    lowercase: bool
    normalization: Sequence[str]
    evaluation_budget = 4800
    num_workers = 0

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
        max_tokens: int | Literal["auto"] | None,
        seed: int,
        codec: CodecT | None,
        store: bool | None = None,
        extends: CodecT | None = None,
    ):
        super().__init__()
        check_extension(codec, extends, vectors)
        if max_tokens not in (None, "auto"):
            try:
                check_budget(max_tokens)
            except ZooError as error:
                raise DataError(f"--data.max_tokens: {error}") from None
        self.dataset, self.root = dataset, root
        own_files = {k: v for k, v in zip(SPLITS, (train, dev, test), strict=True) if v is not None}
        self.own_files = fetch_splits(dataset, own_files) if is_hugging_face(dataset) else own_files
        self.overlap = Overlap()
        self.vectors_file, self.max_vectors = vectors, max_vectors
        self.max_tokens, self.seed = max_tokens, seed
        self._found_budget: int | None = None
        self.store = store
        self._codec = codec
        self._extends = extends
        self._encoded: dict[str, BatchDataset[object]] = {}
        self._vectors: tuple[Vocabulary, Tensor | None] | None = None
        self._resume_from: Position | None = None
        self._replanned = False

    @property
    @abstractmethod
    def training_tokens(self) -> int:
        """Tokens of the training split."""

    @property
    @abstractmethod
    def training_examples(self) -> int:
        """Examples of the training split."""

    @property
    def codec(self) -> CodecT:
        """Converts texts to ids, and ids to answers. A model that reads these data must have an equal codec."""
        if self._codec is None:
            self._codec = self._fit_codec()
        return self._codec

    @abstractmethod
    def _fit_codec(self) -> CodecT:
        """Fits a codec on the training split."""

    def _follow_extended_codec(self) -> None:
        """Reads texts in the way of the codec to extend, if there is one. A constructor calls it last."""
        if self._extends is not None:
            for name, value in followed(self._extends, self.fitting).items():
                setattr(self, name, value)

    def _extended(self, codec: CodecT) -> CodecT:
        """The codec that was fitted, or the one to extend with what it adds."""
        return codec if self._extends is None else self._extends.extended(codec)

    @abstractmethod
    def _training_words(self) -> Iterable[str]:
        """The tokens of the training split, spelled as their imported vectors are looked up."""

    @abstractmethod
    def _encode(self, split: str) -> BatchDataset[object]:
        """Encodes a split as tensors."""

    @cached_property
    def _store(self) -> Store | None:
        """The training split on disk, if it is large; no earlier run need have encoded it."""
        settings = self._store_settings
        if settings is None or "train" not in self.splits:
            return None
        files = self._files("train")
        if not is_large(files, self.store):
            return None
        # The names of files do not matter, and neither does that of a corpus that is not read.
        settings |= {"task": self.task, "dataset": None if self.own_files else self.dataset}
        settings |= {"codec": self._codec and digest_of_state(self._codec.state)}
        if self._extends is not None:
            settings |= {"extends": digest_of_state(self._extends.state)}
        if self._codec is None and self.vectors_file is not None:
            settings |= {"vectors": digest(self.vectors_file), "max_vectors": self.max_vectors}
        build = StoreBuilder(self._encoder(), self.described("train"))
        return open_store(stores_folder(), store_key(files, settings), build)

    def _coverage(self) -> str:
        """How much of the training split has imported vectors."""
        if self._store is not None:
            return str(self._store.facts["coverage"])
        return coverage(self.codec.vector_words, self._training_words(), fold=self.folds_vectors)

    @property
    def _store_settings(self) -> dict[str, object] | None:
        """All arguments that the columns of a store depend on; None for a task that is always kept in memory."""
        return None

    def _encoder(self) -> Encoder[Any, Any]:
        """What encodes the training split into a store."""
        raise NotImplementedError

    @property
    def _training_rows(self) -> int:
        """The number of training examples, if they are encoded or large; otherwise 0."""
        if "train" not in self._encoded and self._store is not None:
            self._encoded["train"] = self._encode("train")
        return len(self._encoded["train"].lengths) if "train" in self._encoded else 0

    @property
    def folds_vectors(self) -> bool:
        """Whether a word without a vector gets the vector of its lower-case form."""
        return self.lowercase

    @property
    def vector_table(self) -> Tensor | None:
        """Imported vectors `(len(codec.vector_words) - 2, codec.vector_size)`, or None without imported vectors.

        A model imports them when training begins.
        """
        return self._imported()[1]

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits. With own files, only the splits whose file is given."""
        return tuple(self.own_files) or SPLITS

    def described(self, split: str) -> str:
        """The name of a split in a table of scores: the corpus and the split, or the own file."""
        named = f"{self.dataset} {split}"
        return named if is_hugging_face(self.dataset) else self.own_files.get(split, named)

    @property
    def budget(self) -> int:
        """The largest number of tokens in a training batch, padding included."""
        return self.budget_of(self.training_tokens)

    def budget_of(self, tokens: int) -> int:
        """The budget of a training split with so many tokens."""
        given = self._found_budget if self.max_tokens == "auto" else self.max_tokens
        return given or max(SMALLEST_BUDGET, min(self.largest_budget, tokens // STEPS))

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
            # If this training resumes another one, the Trainer restores the position later.
            self._resume_from = None
            self._replanned = False
        if self.trainer:
            self.check_model(self.trainer.lightning_module)
        if stage == "fit" and self.trainer and self.trainer.is_global_zero and self.vector_table is not None:
            print(f"{self.vectors_file}: {self._coverage()}", file=sys.stderr)
        splits = SPLITS_OF_STAGES[stage]
        if self.trainer is None:
            self._set_up(splits)
            return
        with agreeing() as facts:
            self._set_up(splits)
            self.check_processes(self.trainer.world_size, splits)
            facts |= self.facts(splits)

    def _set_up(self, splits: Iterable[str]) -> None:
        for split in splits:
            if split not in self._encoded:
                self._encoded[split] = self._encode(split)

    def check_processes(self, processes: int, splits: Iterable[str]) -> None:
        """Refuses splits, which are set up, with fewer rows than there are processes.

        Raises:
            ZooError: there is one.
        """
        for split in splits:
            check_rows(len(self._encoded[split].lengths), processes, of=self.described(split))

    def facts(self, splits: Collection[str]) -> dict[str, str]:
        """What all processes must share, by name: sums of files and of what is learned from them, and the plan.

        A lone process has nobody to differ from, and gets none.
        """
        if not several_processes():
            return {}
        # The files may have other names on another machine.
        sums = {f"the files of {split}": self._sum_of_files(split) for split in splits}
        if self.vectors_file is not None:
            sums["the file of --data.vectors"] = digest_of_files([self.vectors_file])
        sums["what is learned from the training split"] = digest_of_state(self.codec.state)
        if "train" in splits:
            sums["--data.max_tokens or seed"] = f"{self.budget} {self.seed}"
        return sums

    def _sum_of_files(self, split: str) -> str:
        if split == "train" and self._store is not None:
            # The key of a store has the sum in it. To read a large file on each process would take long.
            return self._store.key
        return digest_of_files(self._files(split))

    def train_dataloader(self) -> DataLoader[object]:
        # Lightning sets this attribute where type checkers do not see it.
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        sampler_class = RepeatingSampler if overfits else EpochSampler
        if self.max_tokens == "auto" and self._found_budget is None and self.trainer is not None:
            self._found_budget = self._find_budget(self.trainer)
        start = self._start_of_pass if self.trainer else None
        return self._loader("train", self.budget, sampler_class, seed=self.seed, start=start)

    def _find_budget(self, trainer: pl.Trainer) -> int:
        """The budget of `max_tokens="auto"`: on a GPU the largest that the model can train on."""
        if trainer.strategy.root_device.type != "cuda":
            print(f"--data.max_tokens auto: {self.budget} tokens, the default, as no GPU limits them", file=sys.stderr)
            return self.budget
        if trainer.world_size > 1:
            raise DataError(
                "--data.max_tokens auto tries batches on one device: find the number with --trainer.devices 1, and "
                "then give it, --data.max_tokens NUMBER"
            )
        device = trainer.strategy.root_device
        found = largest_that_trains(trainer.lightning_module, self._encoded["train"], device, self.budget)
        print(f"--data.max_tokens auto: {found} tokens fit; --data.max_tokens {found} does the same", file=sys.stderr)
        return found

    def val_dataloader(self) -> DataLoader[object]:
        return self._loader("dev", self.evaluation_budget, RepeatingSampler)

    def test_dataloader(self) -> DataLoader[object]:
        return self._loader("test", self.evaluation_budget, RepeatingSampler)

    def predict_dataloader(self) -> DataLoader[object]:
        """Batches of the test split, for `zoo.in_order(trainer.predict(model, datamodule=data))`."""
        return self._loader("test", self.evaluation_budget, RepeatingSampler, predicts=True)

    def state_dict(self) -> dict[str, Any]:
        # Lightning saves the state of a loader too. But it does not restore that state if a schedule asks for the
        # number of steps before the checkpoint is read (its issue 20550).
        if self.trainer is None:
            return {}
        position = next_position(self.trainer)
        resumed = self._resume_from
        parts = resumed.parts if resumed and resumed.epoch == position.epoch else ()
        return {
            "epoch": position.epoch,
            "done": position.done,
            "parts": [list(part) for part in parts],
            "processes": self.trainer.world_size,
            "max_tokens": int(self.budget),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not state_dict or self.trainer is None:
            return
        if self.max_tokens == "auto":
            # Another search could find another budget, and with it other batches.
            self._found_budget = state_dict["max_tokens"]
        parts = [Part(*part) for part in state_dict["parts"]]
        position = Position(state_dict["epoch"], state_dict["done"], tuple(parts))
        plan = (self.trainer.world_size, self.budget)
        before = (state_dict["processes"], state_dict["max_tokens"])
        self._replanned = plan != before
        if self._replanned:
            position = self._replan(position, before=before, now=plan)
            if self.trainer.is_global_zero:
                print(
                    f"resuming on {plan[0]} processes with at most {plan[1]} tokens a batch, after {before[0]} "
                    f"with {before[1]}: each example of the epoch is trained once, but in other batches and with other "
                    "random numbers, so the result is not that of the uninterrupted training",
                    file=sys.stderr,
                )
        self._resume_from = position

    def _replan(self, position: Position, *, before: tuple[int, int], now: tuple[int, int]) -> Position:
        """A position after a change of the number of processes, or of the budget: what is left is planned anew."""
        if position.done == 0:
            return position._replace(parts=())
        lengths = self._encoded["train"].lengths
        epoch, done, parts = position

        def batches_before(plan: tuple[int, int], parts: Sequence[Part]) -> int:
            """How many batches of a whole epoch count as done when the rest begins."""
            processes, max_tokens = plan
            rest = Remainder(lengths, parts, epoch=epoch, seed=self.seed).num_steps(max_tokens, processes)
            whole = Remainder(lengths, (), epoch=epoch, seed=self.seed).num_steps(max_tokens, processes)
            return whole - rest

        steps = done - batches_before(before, parts)
        parts = (*parts, Part(*before, steps))
        return Position(epoch, batches_before(now, parts), parts)

    def continue_in_loops(self) -> None:
        """Lets the Trainer count the batches of a changed plan. A model calls it in `on_train_start`."""
        if self.trainer is not None and self._replanned and self._resume_from is not None:
            continue_from(self.trainer, self._resume_from)
            self._replanned = False

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
        """Loads the batches of this process. The seed of the data affects training batches only."""
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

    @property
    def _corpus(self) -> Corpus | None:
        """The entry of the corpus in the catalog; None for own files.

        Raises:
            DataError: the catalog has no such corpus, or it is for another task.
        """
        if self.own_files:
            return None
        corpus = known_corpus(self.dataset)
        if corpus.task != self.task:
            known = ", ".join(name for name, other in CATALOG.items() if other.task == self.task)
            raise DataError(f"{self.dataset} is a corpus for {corpus.task}. Corpora for {self.task} are {known}")
        return corpus

    def _locate(self, split: str) -> str | Path:
        """The file of a split. A missing file of a named corpus is downloaded.

        Raises:
            DataError: the user gave no file for this split, or the catalog has no such corpus for this task.
        """
        if self._corpus is not None:
            return locate(self.dataset, self.root)[split]
        if split not in self.own_files:
            part = ', or part of a split: --data.train "train[:90%]" --data.dev "train[90%:]"'
            hint = part if is_hugging_face(self.dataset) else ""
            raise DataError(f"there is no {split} split: give a file with --data.{split} FILE{hint}")
        return self.own_files[split]

    def _files(self, split: str) -> list[str | Path]:
        """All files that a split is read from."""
        return [self._locate(split)]

    def _imported(self) -> tuple[Vocabulary, Tensor | None]:
        """The words with imported vectors, after `<pad>` and `<unk>`, and the table of the vectors of these words."""
        if self._vectors is None:
            if self.vectors_file is None:
                self._vectors = (Vocabulary(()), None)
            else:
                words, table = read_vectors(self.vectors_file, self.max_vectors)
                self._vectors = (Vocabulary((PAD, UNKNOWN, *words)), table)
        return self._vectors

    @property
    def _vector_words(self) -> Vocabulary:
        """The words with imported vectors, for the codec."""
        return self._imported()[0]

    @property
    def _vector_size(self) -> int:
        """The number of features of an imported vector; 0 without imported vectors."""
        table = self.vector_table
        return 0 if table is None else table.shape[1]
