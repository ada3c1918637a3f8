"""How checkpoints are written, and whether one is what a recipe can go on with."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from recipes.runner.recipe import Recipe
from zoo.errors import ZooError
from zoo.hub.checkpoints import read_checkpoint
from zoo.models.base import ZooModule

PART = ".part"  # the ending of a checkpoint that is not whole yet


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the one of before and then puts it in its place, so that one of them is always whole.

    Lightning writes into the file itself: a full disk, or an end of the process, would leave half of a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict, path: str | Path, storage_options: object = None) -> None:
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
            raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk names no file
        finally:
            part.unlink(missing_ok=True)


def check_resumable(path: Path, recipe: Recipe, model: ZooModule, max_epochs: int | None) -> None:
    """Refuses to go on with a run whose model is another one now, or that is already past its end.

    Raises:
        ZooError: it is no checkpoint, or one of another model; or hyperparameters differ, so that the weights would not
            fit or mean something else: they are named; or the run has more epochs behind it than `max_epochs`.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint["model_class"] != recipe.model.__name__:
        raise wrong_model(path, checkpoint["model_class"], recipe)
    before, now = _flat(checkpoint["hyper_parameters"]), _flat(model.hparams)
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        reason = "give the values that the run began with"
        if any(isinstance(now.get(name), list) for name in changed):
            reason = "the training data, or how they are read, have changed"
        raise ZooError(
            f"--resume goes on with the model of {path}, which has other {', '.join(changed)}: {reason}. To begin anew "
            "choose another folder with --out"
        )
    done = checkpoint["callbacks"]["Recorder"]["epochs"]
    if max_epochs is not None and 0 <= max_epochs < done:
        raise ZooError(
            f"--trainer.max_epochs {max_epochs} is less than the {done:.3g} epochs that {path} has behind it: give more"
        )


def wrong_model(reference: str | Path, found: str, recipe: Recipe) -> ZooError:
    """An error for a model that a recipe can do nothing with."""
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
