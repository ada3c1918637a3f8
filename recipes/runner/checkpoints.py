"""How checkpoints are written, and whether a recipe can resume from one."""

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

PART = ".part"  # the ending of a checkpoint that is not yet complete


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint to a new file, which then replaces the old one: one of the two is always complete.

    Lightning writes into the old file: a full disk, or a process that is killed, would leave half a checkpoint.
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
    """Refuses to resume a run with another model, or one that is already past its last epoch.

    Args:
        path: the checkpoint to resume from.
        recipe: whose run it is.
        model: the model that the flags describe now.
        max_epochs: where the training is to end; None or -1 for no end.

    Raises:
        ZooError: the file is no checkpoint, or one of another model; or hyperparameters differ, so that the weights
            would not fit or would mean something else; or more epochs than `max_epochs` are done.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint["model_class"] != recipe.model.__name__:
        raise wrong_model(path, checkpoint["model_class"], recipe)
    before, now = _flat(checkpoint["hyper_parameters"]), _flat(model.hparams)
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        reason = "give the values that the run began with"
        # A list is a vocabulary or an inventory of labels, which comes from the data.
        if any(isinstance(now.get(name), list) for name in changed):
            reason = "the training data, or how they are read, have changed"
        raise ZooError(
            f"--resume continues with the model of {path}, which has other {', '.join(changed)}: {reason}. To start "
            "anew, choose another folder with --out"
        )
    done = checkpoint["callbacks"]["Recorder"]["epochs"]
    if max_epochs is not None and 0 <= max_epochs < done:
        raise ZooError(
            f"--trainer.max_epochs {max_epochs} is less than the {done:.3g} epochs that are done in {path}: give more"
        )


def wrong_model(reference: str | Path, found: str, recipe: Recipe) -> ZooError:
    """The error for a model of another task than the recipe's."""
    return ZooError(
        f"{reference} holds a {found}, and python -m recipes.{recipe.name} needs a {recipe.model.__name__}: "
        "use the recipe that trained it"
    )


def _flat(arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments of a model by their flags: `optimizer.learning_rate`; the fields of its codec by their names."""
    flat: dict[str, object] = {}
    for name, value in arguments.items():
        if not isinstance(value, Mapping):
            flat[name] = value
            continue
        prefix = "" if name == "codec" else f"{name}."
        flat |= {f"{prefix}{field}": each for field, each in value.items()}
    return flat
