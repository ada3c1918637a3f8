"""A recipe: a model, its data, and the reports and the prediction command of its task."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from datamodules.base import CorpusDataModule
from recipes.baselines.baseline import Baseline
from recipes.reports.examples import ScoredExample
from zoo.batches.predictions import Attended
from zoo.models.base import ZooModule

# A corpus with fewer training examples is small. An epoch takes seconds, so slower training is affordable.
SMALL_CORPUS = 10_000


T = TypeVar("T")


class Report(Protocol):
    """The report of an evaluation, in addition to its scores."""

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Counts of the texts in the training split and the evaluated split, by split; empty for most tasks."""
        return {}

    def task(self) -> Mapping[str, object]:
        """What the examples are scored by: "kind", a key of `recipes.reports.scores.tasks.KINDS`, and what it needs.

        Without a task, a page shows no scores of labels and no examples.
        """
        return {}

    def examples(self) -> Iterable[ScoredExample]:
        """The examples of the evaluated split in the order of their rows. It is called on the first process only."""
        return ()

    def attention(self) -> Sequence[Attended]:
        """The attention to the sources of a few examples."""
        return ()

    def baselines(self, stage: str) -> list[Baseline]:
        """The baselines that the report itself has scored, on "val" or "test"."""
        return []

    def write(self, folder: Path) -> list[Path]:
        """Writes pictures and texts into a folder, and returns the paths of the pictures."""


def instance(value: object, kind: type[T]) -> T:
    """Returns a value whose class the caller knows but a type checker does not, such as an entry of a ModuleDict.

    Raises:
        TypeError: the value has another class.
    """
    if not isinstance(value, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(value).__name__}")
    return value


class ScoreBaselines(Protocol):
    """Scores simple answers to a corpus."""

    def __call__(self, data: Any, stage: str, *, quick: bool) -> Iterable[Baseline]:
        """The baselines of a datamodule of the recipe on a stage; `quick` leaves out what would take long."""


def no_baselines(data: Any, stage: str, *, quick: bool) -> Iterable[Baseline]:
    """The baselines of a recipe that defines none."""
    return ()


@dataclass(frozen=True)
class Recipe:
    """The parts of a command line that differ from recipe to recipe.

    Attributes:
        name: the name of the module in `recipes`.
        model: the class of the model.
        data: the class of the datamodule.
        defaults: defaults of flags that replace the defaults of the constructors.
        small_corpus: defaults of flags for a training split with fewer than `SMALL_CORPUS` examples. The command line
            and config files take precedence.
        report: makes the report of the evaluation that has just ended, from the model, the data and the stage ("val"
            or "test"). It is called on every process.
        predict: runs the command `predict`, given the recipe and the arguments that follow the command.
        links: properties of the data that are passed to the model as arguments.
        search: the dataclass of the model's attribute `search`. Its fields become flags of `validate`, `test` and
            `predict`. None if the model does not generate text.
        commands: further commands, by name; each is called as `predict` is.
        baselines: scores simple answers to a corpus, given the datamodule, the stage and whether to be quick.
        compare: computes the differences between two evaluations of the same split from their metrics. None if the
            task has no `--compare`.
    """

    name: str
    model: type[ZooModule]
    data: type[CorpusDataModule[Any, Any]]
    defaults: Mapping[str, object]
    # Called with an instance of `model` and one of `data`.
    report: Callable[[Any, Any, str], Report]
    predict: Callable[[Recipe, Sequence[str]], None]
    links: Sequence[str] = ("codec",)
    small_corpus: Mapping[str, object] = field(default_factory=dict)
    search: type | None = None
    commands: Mapping[str, Callable[[Recipe, Sequence[str]], None]] = field(default_factory=dict)
    baselines: ScoreBaselines = no_baselines
    # Called with two metrics of the task.
    compare: Callable[[Any, Any], Mapping[str, object]] | None = None

    @property
    def command(self) -> str:
        """The command that starts the recipe with this Python, which may not be on the PATH."""
        return f"{python_here()} -m recipes.{self.name}"


def python_here() -> str:
    """How to call this Python in a shell in this folder: `python` if the PATH leads to it, or else its own path."""
    if shutil.which("python") == sys.executable:
        return "python"
    path = Path(sys.executable)
    if path.is_relative_to(Path.cwd()):
        return shlex.quote(f"./{path.relative_to(Path.cwd())}")
    return shlex.quote(str(path))
