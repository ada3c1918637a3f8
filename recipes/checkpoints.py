"""Whether a checkpoint is one that a recipe can go on with."""

from __future__ import annotations

from pathlib import Path

from recipes.recipe import Recipe
from zoo.base import ZooModule
from zoo.checkpoints import read_checkpoint
from zoo.errors import ZooError


def check_resumable(path: Path, recipe: Recipe, model: ZooModule) -> None:
    """Refuses to go on with a run whose model is another one now: its weights would not fit, or mean something else.

    Raises:
        ZooError: it is no checkpoint, or one of another model; or hyperparameters differ: they are named.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint["model_class"] != recipe.model.__name__:
        raise wrong_model(path, checkpoint["model_class"], recipe)
    before, now = checkpoint["hyper_parameters"], model.hparams
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
