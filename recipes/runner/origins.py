"""Finds the corpus that a model was trained on, so that an evaluation uses this corpus by default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from datamodules.corpus_files import SPLITS
from recipes.runner.run_folder import CHECKPOINTS, CONFIG, MODEL
from zoo.errors import ZooError
from zoo.hub.pretrained import list_pretrained
from zoo.model_folder import CARD


@dataclass(frozen=True)
class Origin:
    """The arguments of the datamodule in a training, and the precision of the training if it is known."""

    data: Mapping[str, object] = field(default_factory=dict)
    precision: str | None = None

    @property
    def own_files(self) -> bool:
        """Whether the model was trained on own files, not on a corpus of the catalog."""
        return any(self.data.get(split) for split in SPLITS)

    def settings(self, dataset: str | None, files: Mapping[str, str]) -> dict[str, object]:
        """Defaults of the flags of an evaluation.

        Every corpus has its own columns. If the flags name another corpus, the arguments of this one do not apply.

        Args:
            dataset: the corpus that the flags name.
            files: own files that the flags name, by split.
        """
        another = dataset is not None and (self.own_files or dataset != self.data.get("dataset"))
        another = another or (bool(files) and not self.own_files)
        settings = {} if another else {f"data.{name}": value for name, value in self.data.items()}
        return settings if self.precision is None else {**settings, "trainer.precision": self.precision}


def origin_of(reference: str) -> Origin:
    """The data of a model's training, from the run that the model is in or from its card; empty if both are missing.

    Args:
        reference: the name of a bundled model, a run folder, a model folder or a checkpoint.

    Raises:
        ZooError: the settings of a run or the card are damaged.
    """
    run = _run_folder(Path(reference))
    if run is not None:
        return _of_run(run / CONFIG)
    card = Path(reference) / CARD
    if card.is_file():
        return _of_card(card)
    described = list_pretrained().get(reference)
    return Origin(described["data"]) if described else Origin()


def _run_folder(path: Path) -> Path | None:
    """The run folder that the path names or that the model folder or checkpoint is in; None if there is none."""
    path = path.resolve()
    if path.is_dir():
        folder = path.parent if path.name == MODEL and not (path / CONFIG).is_file() else path
    else:
        folder = path.parent.parent if path.parent.name == CHECKPOINTS else path.parent
    return folder if (folder / CONFIG).is_file() else None


def _of_run(config: Path) -> Origin:
    try:
        settings = yaml.safe_load(config.read_text("utf-8"))
        return Origin(dict(settings["data"]), settings["trainer"]["precision"])
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, KeyError) as error:
        raise ZooError(
            f"{config}: expected the settings of a run, got other content: move the model/ folder out of this folder, "
            "and name its corpus with --data.dataset or --data.test"
        ) from error


def _of_card(path: Path) -> Origin:
    try:
        data = json.loads(path.read_text("utf-8")).get("data", {})
        return Origin(dict(data))
    except (UnicodeDecodeError, AttributeError, TypeError, ValueError) as error:
        raise ZooError(f'{path}: expected a card whose "data" maps names to values, got: {error}') from error
