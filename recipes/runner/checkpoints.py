"""Writes checkpoints atomically, keeps the newest ones, and checks whether a recipe can resume from one."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from recipes.runner.processes import is_first
from recipes.runner.recipe import Recipe
from recipes.runner.run_folder import RunFolder, step_of
from recipes.runner.whole_files import replacing, sync_folder
from zoo.errors import ZooError
from zoo.hub.checkpoints import read_checkpoint
from zoo.models.base import CHECKPOINT_FORMAT, ZooModule


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint to a new file, which then replaces the old one. One complete checkpoint always exists.

    Lightning itself overwrites the old file, so that a full disk or a killed process leaves a broken checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: object = None
    ) -> None:
        path = Path(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(content.getbuffer())


class BestCheckpoint(ModelCheckpoint):
    """Knows the best score of a run also when its folder has moved. Lightning alone would forget it."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        before = state_dict["dirpath"]

        def here(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.relpath(path, before)) if path else path

        paths = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


class CheckpointFiles:
    """The newest checkpoints of a run: `last.ckpt`, and the ones before it by their steps, `step-1200.ckpt`.

    Args:
        folder: the run's folder.
        keep: how many checkpoints are kept.
    """

    def __init__(self, folder: RunFolder, keep: int):
        self.folder = folder
        self.keep = keep

    def copy_best(self) -> None:
        """Makes the best checkpoint, which has just been written, the new one too."""
        self.folder.new.unlink(missing_ok=True)
        try:
            os.link(self.folder.best, self.folder.new)
        # Some file systems have no links.
        except OSError:
            with replacing(self.folder.new) as part:
                shutil.copyfile(self.folder.best, part)

    def commit(self, step: int) -> None:
        """Makes the new checkpoint, which is complete, the last one, and deletes those that are too old.

        Args:
            step: the optimizer steps of the new checkpoint.
        """
        before = _step(self.folder.last)
        if self.keep > 1 and before is not None and before < step:
            os.replace(self.folder.last, self.folder.older(before))
        os.replace(self.folder.new, self.folder.last)
        # Newer checkpoints are left from before the run resumed from an older one.
        kept = [path for path in self.folder.older_checkpoints() if step_of(path) < step][: self.keep - 1]
        for path in self.folder.older_checkpoints():
            if path not in kept:
                path.unlink(missing_ok=True)
        sync_folder(self.folder.checkpoints)

    def commit_left_over(self, step: int) -> None:
        """Makes the new checkpoint the last one if a run was killed just before it did so after its last step.

        Args:
            step: the optimizer steps of the training.
        """
        if _step(self.folder.new) == step:
            self.commit(step)


def _step(path: Path) -> int | None:
    """The optimizer steps of a checkpoint; None if it is missing or damaged."""
    try:
        # The weights stay on the disk.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return int(checkpoint["global_step"])
    # A damaged file can raise anything.
    except Exception:
        return None


def newest_checkpoint(folder: RunFolder) -> tuple[Path, dict[str, Any]]:
    """Reads the newest checkpoint of a run that is not damaged, and says which ones are.

    Raises:
        ZooError: all are damaged, or this process does not see any.
    """
    damaged: list[ZooError] = []
    for path in folder.resumable():
        try:
            checkpoint = read_checkpoint(path)
        except ZooError as error:
            damaged.append(error)
            continue
        if is_first():
            for problem in damaged:
                print(f"{problem}. The run resumes from {path}, which is older", file=sys.stderr)
        return path, checkpoint
    if not damaged:
        raise ZooError(f"there is no {folder.last}: to resume, all processes must see the folder of the run")
    raise damaged[0]


def check_resumable(
    path: Path, checkpoint: Mapping[str, Any], recipe: Recipe, model: ZooModule, max_epochs: int | None
) -> None:
    """Refuses to resume a run with another model, or a run that is already past its last epoch.

    Args:
        path: the checkpoint to resume from.
        checkpoint: what it contains.
        recipe: the recipe of the run.
        model: the model that the current flags describe.
        max_epochs: the last epoch of the training; None or -1 for no limit.

    Raises:
        ZooError: the checkpoint belongs to another model or another version; hyperparameters differ, so that the
            weights would not fit or would have another meaning; or more epochs than `max_epochs` are already done.
    """
    written = checkpoint.get("format", 0)
    if written != CHECKPOINT_FORMAT:
        newer = "a newer" if written > CHECKPOINT_FORMAT else "an older"
        raise ZooError(
            f"{path} was written by {newer} version of lstm-zoo: resume with that version, or start anew in another "
            "folder with --out"
        )
    if checkpoint["model_class"] != recipe.model.__name__:
        raise wrong_model(path, checkpoint["model_class"], recipe)
    before = _flat(checkpoint["hyper_parameters"])
    now = _flat(model.hparams)
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        reason = "give the values that the run began with"
        # A list is a vocabulary or an inventory of labels. These come from the data.
        if any(isinstance(now.get(name), list) for name in changed):
            reason = "the training data or their preprocessing have changed"
        raise ZooError(
            f"--resume continues with the model of {path}, which has other values of {', '.join(changed)}: {reason}. "
            "To start a new run, choose another folder with --out"
        )
    done = checkpoint["recorder"]["epochs"]
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
