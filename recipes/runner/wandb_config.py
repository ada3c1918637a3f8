"""The config of a W&B run: its settings by the names of their flags, and the files of its data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from datamodules.base import CorpusDataModule
from recipes.runner.hardware import hardware
from recipes.runner.init_from import flat
from recipes.runner.recipe import Recipe
from zoo.models.base import ZooModule

# What a run is, is in its other settings.
LEFT_OUT = ("config", "resume", "overwrite", "trust", "quiet", "wandb")


def run_config(
    recipe: Recipe, settings: Namespace, data: CorpusDataModule[Any, Any], model: ZooModule, *, processes: int
) -> dict[str, object]:
    """The config of a run. A sweep names its parameters as the config does: `model.cell`, as the flag is called.

    Args:
        recipe: the recipe of the run.
        settings: the value of each flag, without the codec.
        data: the data of the run, set up.
        model: the model of the run.
        processes: the number of processes that train.
    """
    # A setting that is None is left out, which compares as W&B shows a setting that a run lacks.
    given = {name: value for name, value in flat(settings.as_dict()).items() if value is not None}
    chosen = {name: value for name, value in given.items() if name not in LEFT_OUT}
    return {
        **chosen,
        "recipe": recipe.name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "batch_tokens": data.budget,
        "training_examples": data.training_examples,
        "processes": processes,
        "hardware": hardware(),
        **corpus_files(data),
    }


def corpus_files(data: CorpusDataModule[Any, Any]) -> dict[str, str]:
    """The name and the sha256 of each file of a corpus: `corpus.train.0.file`, `corpus.train.0.sha256`, and so on."""
    found = {}
    for split in data.splits:
        for number, path in enumerate(data.paths(split)):
            with open(path, "rb") as file:
                found[f"corpus.{split}.{number}.file"] = Path(path).name
                found[f"corpus.{split}.{number}.sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def corpus_name(config: Mapping[str, object]) -> str:
    """The name of a run's corpus: that of the catalog, or of the file to train on."""
    if config.get("data.train"):
        return str(config["corpus.train.0.file"])
    return str(config["data.dataset"])
