"""Loads the batches of encoded splits for a Trainer: for every stage, on all processes, from any position."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from datamodules.budget import MaxTokens, TokenBudget
from datamodules.planning import check_rows
from datamodules.resume import TrainingPosition
from datamodules.sampler import BatchDataset, Batches, EpochSampler, Position, RepeatingSampler, batch_loader


class BatchDataModule(pl.LightningDataModule):
    """Batches of a corpus: rows of similar lengths within a token budget, shared evenly among all processes.

    A subclass describes and encodes its splits. A checkpoint contains the position of the training in its epoch.

    Args:
        max_tokens: the largest number of tokens in a training batch of one process, padding included, as an argument of
            `datamodules.budget.TokenBudget`.
        seed: seeds the order of the batches.

    Attributes:
        largest_budget: the upper limit of the default token budget.
        evaluation_budget: the token budget of a batch in validation, test and prediction; no score depends on it.
        num_workers: the number of processes that build batches in advance; 0 is enough, as a batch takes about 0.5 ms.
    """

    largest_budget: int
    evaluation_budget = 4800
    num_workers = 0

    def __init__(self, *, max_tokens: MaxTokens, seed: int):
        super().__init__()
        self.token_budget = TokenBudget(max_tokens, self.largest_budget)
        self.seed = seed
        self._position = TrainingPosition()
        self._encoded: dict[str, BatchDataset[object]] = {}

    @abstractmethod
    def described(self, split: str) -> str:
        """The name of a split in messages and tables."""

    @abstractmethod
    def _encode(self, split: str) -> BatchDataset[object]:
        """Encodes a split as tensors."""

    def encoded(self, split: str) -> BatchDataset[object]:
        """A split as tensors. It is encoded once."""
        if split not in self._encoded:
            self._encoded[split] = self._encode(split)
        return self._encoded[split]

    @property
    def training_tokens(self) -> int:
        """The number of tokens in the training split, of both sides if it consists of pairs."""
        return int(np.sum(self.encoded("train").lengths))

    @property
    def budget(self) -> int:
        """The largest number of tokens in a training batch, padding included."""
        return self.token_budget.of(self.training_tokens)

    def check_processes(self, processes: int, splits: Iterable[str]) -> None:
        """Refuses splits with fewer rows than there are processes.

        Raises:
            ZooError: there is one.
        """
        for split in splits:
            check_rows(len(self.encoded(split).lengths), processes, of=self.described(split))

    def train_dataloader(self) -> DataLoader[object]:
        trainer = self.trainer
        # Lightning sets this attribute where type checkers do not see it.
        overfits = trainer is not None and trainer.overfit_batches > 0  # type: ignore[attr-defined]
        sampler_class = RepeatingSampler if overfits else EpochSampler
        if trainer is not None:
            self.token_budget.find(trainer, self.encoded("train"))
        start = None if trainer is None else partial(self._position.start_of_pass, trainer)
        return self._loader("train", self.budget, sampler_class, seed=self.seed, start=start)

    def val_dataloader(self) -> DataLoader[object]:
        return self._loader("dev", self.evaluation_budget, RepeatingSampler)

    def test_dataloader(self) -> DataLoader[object]:
        return self._loader("test", self.evaluation_budget, RepeatingSampler)

    def predict_dataloader(self) -> DataLoader[object]:
        """Batches of the test split, for `zoo.in_order(trainer.predict(model, datamodule=data))`."""
        return self._loader("test", self.evaluation_budget, RepeatingSampler, predicts=True)

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
        dataset: Batches[object] = Batches(self.encoded(split))
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

    def state_dict(self) -> dict[str, Any]:
        if self.trainer is None:
            return {}
        return self._position.state(self.trainer, max_tokens=int(self.budget))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict and self.trainer is not None:
            self.token_budget.keep(state_dict["max_tokens"])
            lengths = self.encoded("train").lengths
            self._position.restore(state_dict, self.trainer, max_tokens=self.budget, lengths=lengths, seed=self.seed)

    def continue_in_loops(self) -> None:
        """Lets the Trainer count the batches of a changed plan. A model calls it in `on_train_start`."""
        if self.trainer is not None:
            self._position.continue_in_loops(self.trainer)
