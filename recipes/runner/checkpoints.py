"""Writes checkpoints atomically, and checks whether a recipe can resume from one."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from recipes.runner.recipe import Recipe
from zoo.errors import ZooError
from zoo.hub.checkpoints import read_checkpoint
from zoo.models.base import ZooModule

# The ending of a checkpoint that is not yet complete.
PART = ".part"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint to a new file, which then replaces the old one. One complete checkpoint always exists.

    Lightning alone overwrites the old file, so that a full disk or a killed process leaves a broken checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: object = None
    ) -> None:
        path = Path(path)
        part = path.with_name(path.name + PART)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            # The error of a full disk names no file.
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            part.unlink(missing_ok=True)


def check_resumable(path: Path, recipe: Recipe, model: ZooModule, max_epochs: int | None) -> None:
    """Refuses to resume a run with another model, or a run that is already past its last epoch.

    Args:
        path: the checkpoint to resume from.
        recipe: the recipe of the run.
        model: the model that the current flags describe.
        max_epochs: the last epoch of the training; None or -1 for no limit.

    Raises:
        ZooError: the file is not a checkpoint, or belongs to another model; hyperparameters differ, so that the weights
            would not fit or would have another meaning; or more epochs than `max_epochs` are already done.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint["model_class"] != recipe.model.__name__:
        raise wrong_model(path, checkpoint["model_class"], recipe)
    before, now = _flat(checkpoint["hyper_parameters"]), _flat(model.hparams)
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        reason = "give the values that the run began with"
        # A list is a vocabulary or an inventory of labels. These come from the data.
        if any(isinstance(now.get(name), list) for name in changed):
            reason = "the training data or their preprocessing have changed"
        raise ZooError(
            f"--resume continues with the model of {path}, which has other values of {', '.join(changed)}: {reason}. "
            "To start a new run, choose another folder with --out"
        )
    done = checkpoint["callbacks"]["Recorder"]["epochs"]
    if max_epochs is not None and 0 <= max_epochs < done:
        raise ZooError(
            f"--trainer.max_epochs {max_epochs} is less than the {done:.3g} finished epochs of {path}: give a larger "
            "number"
        )


def wrong_model(reference: str | Path, found: str, recipe: Recipe) -> ZooError:
    """The error for a model of another task than the recipe's."""
    return ZooError(
        f"{reference} holds a {found}, and python -m recipes.{recipe.name} needs a {recipe.model.__name__}: "
        "use the recipe that trained it"
    )


def _flat(arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments of a model by flag, such as `optimizer.learning_rate`, and the fields of its codec by name."""
    flat: dict[str, object] = {}
    for name, value in arguments.items():
        if not isinstance(value, Mapping):
            flat[name] = value
            continue
        prefix = "" if name == "codec" else f"{name}."
        flat |= {f"{prefix}{field}": each for field, each in value.items()}
    return flat
