"""What a recipe is."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytorch_lightning as pl
from torchmetrics import Metric

from zoo.models.base import ZooModule

# Below this number of training examples a corpus is small: twice the time of an epoch is seconds.
SMALL_CORPUS = 10_000


class Report(Protocol):
    """What a task tells of an evaluation beyond its scalars."""

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """What was read of the training split and of the one evaluated, where the task counts anything."""
        return {}

    def write(self, folder: Path) -> list[Path]:
        """Writes pictures and texts; returns the pictures."""


@dataclass(frozen=True)
class Recipe:
    """What one recipe adds to the command line that all share.

    Attributes:
        name: of its module in `recipes`.
        model: the LightningModule it trains.
        data: the LightningDataModule it trains on.
        defaults: flags whose default differs from the constructor's.
        small_corpus: flags whose default differs again where the training split has fewer than `SMALL_CORPUS`
            examples. What the command line or a config file says comes first.
        report: what to tell of the evaluation ("val" or "test") that a trainer has just ended, asked for on
            every process.
        predict: the `predict` command; takes the arguments after it.
        links: properties of the data that are arguments of the model.
        search: the dataclass of a model's attribute `search`, whose fields are flags of `validate`, `test` and
            `predict`; None where nothing is searched for.
        compare: what two evaluations of the same split, by their metrics, tell of their difference; None where
            there is no `--compare`.
    """

    name: str
    model: type[ZooModule]
    data: type[pl.LightningDataModule]
    defaults: Mapping[str, object]
    report: Callable[[pl.Trainer, str], Report]
    predict: Callable[[Recipe, Sequence[str]], None]
    links: Sequence[str] = ("codec",)
    small_corpus: Mapping[str, object] = field(default_factory=dict)
    search: type | None = None
    compare: Callable[[Metric, Metric], Mapping[str, object]] | None = None

    @property
    def command(self) -> str:
        """What starts it from here, with this Python: a shell need not know it, as after `make run`."""
        return f"{python_here()} -m recipes.{self.name}"


def python_here() -> str:
    """This Python as a shell in this folder finds it: by its name if that means it, else by its path."""
    if shutil.which("python") == sys.executable:
        return "python"
    path = Path(sys.executable)
    if path.is_relative_to(Path.cwd()):
        return shlex.quote(f"./{path.relative_to(Path.cwd())}")
    return shlex.quote(str(path))
