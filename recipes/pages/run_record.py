"""What a finished run has left in its folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from recipes.reports.examples import ScoredExample, read_examples
from recipes.reports.scores.resampling import Interval, Score, intervals, values_of
from recipes.reports.scores.tasks import scores_of
from recipes.runner.run_folder import RunFolder
from zoo.batches.predictions import Attended
from zoo.errors import ZooError

# A score that is computed from the examples again is that of the run up to this.
TOLERANCE = 1e-4
# A page is made of so many examples, which need about a gigabyte if they are long.
READ = 100_000
NEEDED = ("scores", "best_dev", "task", "split", "recipe")


@dataclass(frozen=True)
class RunRecord:
    """The files of a finished run, read."""

    path: Path
    settings: Mapping[str, object]
    """All flags by their dotted names."""
    facts: Mapping[str, Any]
    """What is in `metrics.json`."""
    curve: list[dict[str, float]]
    """A row for each validation."""
    examples: list[ScoredExample]
    """The first `READ` examples."""
    num_examples: int
    """The number of all of them."""
    attention: list[Attended]

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Reads the folder of a run.

        Raises:
            ZooError: there is no such folder, no run in it, or an unfinished one; or a file is damaged.
        """
        folder = RunFolder(path)
        if not path.is_dir():
            raise ZooError(
                f"expected the folder of a run, got {path}, which {'is a file' if path.exists() else 'is not there'}"
            )
        if not folder.config.is_file():
            raise ZooError(f"{path}: expected the folder of a run, but it has no {folder.config.name}")
        if not folder.metrics.is_file() or not folder.examples.is_file():
            missing = (folder.examples if folder.metrics.is_file() else folder.metrics).name
            raise ZooError(
                f"{path}: expected a finished run, but it has no {missing}: finish the run with --resume, or train "
                "again if it has no checkpoint"
            )
        facts = _facts(folder.metrics)
        return cls(
            path=path,
            settings=dict(_flat(_config(folder.config))),
            facts=facts,
            curve=_curve(folder.curve),
            examples=list(islice(read_examples(folder.examples), READ)),
            num_examples=_lines(folder.examples),
            attention=_attention(folder.attention),
        )

    @property
    def name(self) -> str:
        """The last part of the path, or the whole path where that says nothing."""
        return self.path.name or str(self.path)

    @property
    def kind(self) -> str:
        """The task, a key of `recipes.reports.scores.tasks.KINDS`; empty for a task of a user's own."""
        return str(self.task.get("kind", ""))

    @property
    def task(self) -> Mapping[str, Any]:
        task: Mapping[str, Any] = self.facts["task"]
        return task

    @cached_property
    def scores(self) -> dict[str, float]:
        """The scores of the run by their names without the stage."""
        return {name.rpartition("/")[2]: _number(value) for name, value in self.facts["scores"].items()}

    @cached_property
    def resampled(self) -> dict[str, Score]:
        """The scores that follow from the examples.

        Of the scores of the run, these are all that the examples yield again; a loss with label smoothing is not.
        """
        # Some examples of many do not yield the scores of all. Their intervals would be narrow anyway.
        if not self.examples or not self.kind or len(self.examples) < self.num_examples:
            return {}
        found = scores_of(self.examples, self.task)
        values = values_of(found, len(self.examples))
        return {
            name: score
            for name, score in found.items()
            if name not in self.scores or bool(np.isclose(values[name], self.scores[name], atol=TOLERANCE))
        }

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Of the scores in `resampled`."""
        return intervals(self.resampled, len(self.examples)) if self.resampled else {}


def _lines(path: Path) -> int:
    """The number of lines of a file, which may be larger than the memory."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _number(value: object) -> float:
    # JSON has no NaN.
    return float("nan") if value is None else float(str(value))


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ZooError(f"{path}: expected the facts of a run as JSON: {error}") from error
    missing = [name for name in NEEDED if not isinstance(facts, dict) or name not in facts]
    if missing:
        raise ZooError(f"{path}: expected the facts of a run, but there is no {', '.join(missing)}: run it again")
    return dict(facts)


def _config(path: Path) -> Mapping[str, object]:
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise ZooError(f"{path}: expected the settings of a run as YAML: {error}") from error
    if not isinstance(config, dict):
        raise ZooError(f"{path}: expected the settings of a run, got {str(config)[:40]!r}")
    return config


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Settings by dotted names."""
    found: list[tuple[str, object]] = []
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _curve(path: Path) -> list[dict[str, float]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ZooError(f"{path}: expected a table of numbers, a line for each validation: {error}") from error


def _attention(path: Path) -> list[Attended]:
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text("utf-8"))
        return [Attended(row["source"], row["target"], torch.tensor(row["weights"])) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise ZooError(f"{path}: expected lists of source, target and weights: {error}") from error
