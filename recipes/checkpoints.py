"""Checkpoints of runs, read as tensors and plain values alone."""

from __future__ import annotations

from pathlib import Path

import torch

from recipes.recipe import Recipe
from zoo.base import ZooModule
from zoo.errors import ZooError

PARTS = {"model_class", "hyper_parameters", "state_dict"}


def read_checkpoint(path: Path, recipe: Recipe) -> dict:
    """A checkpoint of the recipe's model.

    Raises:
        ZooError: it cannot be read, is none of a run, or is of another model.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ZooError(f"{path}: expected a checkpoint of a run, got: {error.strerror}") from error
    except Exception as error:  # a damaged file can raise anything, and torch's advice would be to run its code
        raise ZooError(f"{path}: expected a checkpoint of a run, got a damaged file or one of another kind") from error
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= PARTS:
        raise ZooError(f"{path}: expected a checkpoint of a run, got a file without {', '.join(sorted(PARTS))}")
    if checkpoint["model_class"] != recipe.model.__name__:
        raise wrong_model(path, checkpoint["model_class"], recipe)
    return checkpoint


def check_resumable(path: Path, recipe: Recipe, model: ZooModule) -> None:
    """Refuses to go on with a run whose model is another one now: its weights would not fit, or mean something else.

    Raises:
        ZooError: as `read_checkpoint`, or hyperparameters differ: they are named.
    """
    before, now = read_checkpoint(path, recipe)["hyper_parameters"], model.hparams
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        reason = "give the values that the run began with"
        if any(isinstance(now.get(name), list) for name in changed):
            reason = "the training data, or how they are read, have changed"
        raise ZooError(
            f"--resume goes on with the model of {path}, which has other {', '.join(changed)}: {reason}. To begin anew "
            "choose another folder with --out"
        )


def wrong_model(reference: str | Path, found: str, recipe: Recipe) -> ZooError:
    """An error for a model that a recipe can do nothing with."""
    return ZooError(
        f"{reference} holds a {found}, and python -m recipes.{recipe.name} needs a {recipe.model.__name__}: "
        "use the recipe that trained it"
    )
