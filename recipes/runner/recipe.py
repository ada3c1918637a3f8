"""A recipe: a model, its data, and what its task reports and predicts."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from datamodules.base import CorpusDataModule
from zoo.models.base import ZooModule

# Below this number of training examples a corpus is small: twice the time of an epoch is seconds.
SMALL_CORPUS = 10_000


T = TypeVar("T")


class Report(Protocol):
    """What a task reports of an evaluation beyond its scores."""

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Counts of what was read, by split, for the training split and the one evaluated; empty for most tasks."""
        return {}

    def write(self, folder: Path) -> list[Path]:
        """Writes pictures and texts into a folder; returns the paths of the pictures."""


def instance(value: object, kind: type[T]) -> T:
    """A value whose class is known to the caller but to no type checker, such as an entry of a ModuleDict.

    Raises:
        TypeError: it is of another class.
    """
    if not isinstance(value, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(value).__name__}")
    return value


@dataclass(frozen=True)
class Recipe:
    """What one recipe adds to the command line that all recipes share.

    Attributes:
        name: of its module in `recipes`.
        model: the LightningModule it trains.
        data: the datamodule it trains on.
        defaults: flags whose default differs from the constructor's.
        small_corpus: flags whose default differs again if the training split has fewer than `SMALL_CORPUS` examples.
            The command line and config files override it.
        report: reports the evaluation that has just ended, from the model, the data and the stage ("val" or
            "test"); it is called on every process.
        predict: the command `predict`; takes the recipe and the arguments that follow the command.
        links: properties of the data that are arguments of the model.
        search: the dataclass of a model's attribute `search`, whose fields are flags of `validate`, `test` and
            `predict`; None if the model searches for nothing.
        compare: the differences between two evaluations of the same split, from their metrics; None if the task has
            no `--compare`.
    """

    name: str
    model: type[ZooModule]
    data: type[CorpusDataModule[Any]]
    defaults: Mapping[str, object]
    report: Callable[[Any, Any, str], Report]  # of the recipe's own model and data
    predict: Callable[[Recipe, Sequence[str]], None]
    links: Sequence[str] = ("codec",)
    small_corpus: Mapping[str, object] = field(default_factory=dict)
    search: type | None = None
    compare: Callable[[Any, Any], Mapping[str, object]] | None = None  # of the task's metrics

    @property
    def command(self) -> str:
        """The command that starts the recipe with this Python, which need not be on the shell's path."""
        return f"{python_here()} -m recipes.{self.name}"


def python_here() -> str:
    """This Python as a shell in this folder finds it: `python` if that is this one, else its path."""
    if shutil.which("python") == sys.executable:
        return "python"
    path = Path(sys.executable)
    if path.is_relative_to(Path.cwd()):
        return shlex.quote(f"./{path.relative_to(Path.cwd())}")
    return shlex.quote(str(path))
