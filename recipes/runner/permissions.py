"""Permissions: flags that allow something once, to the command that they are given to.

A run's config is copied, shared and used again, so it neither keeps a permission nor grants one.
"""

from __future__ import annotations

from jsonargparse import Namespace

from recipes.runner.wandb_run import is_online
from zoo.errors import ZooError

# A run's folder is no permission, but no setting either: a repeated run needs a folder of its own.
UNSAVED = ("out", "overwrite", "resume", "trust", "wandb")


def permissions(settings: Namespace) -> list[str]:
    """The flags among the settings that allow something: to delete, to resume, to run code, to publish."""
    given = [f"--{name}" for name in ("overwrite", "resume") if settings.get(name)]
    if settings.get("trust"):
        given.append(f"--trust {settings.trust}")
    if is_online(settings.get("wandb")):
        given.append("--wandb online")
    return given


def refuse_permissions(settings: Namespace, path: str) -> None:
    """Refuses a config file that contains a permission.

    Args:
        settings: those of the file only, without the flags of the command line.
        path: its name.

    Raises:
        ZooError: it contains one.
    """
    if given := permissions(settings):
        names = " and ".join(flag.removeprefix("--").split()[0] for flag in given)
        raise ZooError(
            f"{path or '--config'}: {names} is allowed by a command and never by a file: delete it there, and if you "
            f"mean it add {' '.join(given)} to the command"
        )


def without_permissions(settings: Namespace) -> Namespace:
    """The settings that a run's config keeps: all but its folder and its permissions."""
    kept = settings.clone()
    for name in UNSAVED:
        # "offline" and "disabled" allow nothing, and hold for a repeated run too.
        if name == "wandb" and not is_online(kept.get(name)):
            continue
        kept.pop(name, None)
    return kept
