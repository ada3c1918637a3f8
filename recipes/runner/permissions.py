"""Permissions: flags that allow something for one command only.

Users copy, share and reuse the config of a run. Therefore a config neither keeps nor grants a permission.
"""

from __future__ import annotations

from jsonargparse import Namespace

from recipes.runner.wandb_modes import is_online
from zoo.errors import ZooError

# Two are not permissions, but are not saved either: a repeated run needs its own folder, and `quiet` is of one command.
UNSAVED = ("out", "quiet", "overwrite", "resume", "trust", "wandb")


def permissions(settings: Namespace) -> list[str]:
    """The flags in the settings that permit something: to delete, to resume, to run code or to publish."""
    given = [f"--{name}" for name in ("overwrite", "resume") if settings.get(name)]
    if settings.get("trust"):
        given.append(f"--trust {settings.trust}")
    if is_online(settings.get("wandb")):
        given.append("--wandb online")
    return given


def refuse_permissions(settings: Namespace, path: str) -> None:
    """Refuses a config file that contains a permission.

    Args:
        settings: the settings of the file, without the flags of the command line.
        path: the name of the file.

    Raises:
        ZooError: the file contains a permission.
    """
    if given := permissions(settings):
        names = " and ".join(flag.removeprefix("--").split()[0] for flag in given)
        raise ZooError(
            f"{path or '--config'}: {names} may only be given on the command line, never in a file: delete it there, "
            f"and if you want it, add {' '.join(given)} to the command"
        )


def without_permissions(settings: Namespace) -> Namespace:
    """The settings that the config of a run keeps: all settings except for the folder and the permissions."""
    kept = settings.clone()
    for name in UNSAVED:
        # "offline" and "disabled" permit nothing, and a repeated run keeps them.
        if name == "wandb" and not is_online(kept.get(name)):
            continue
        kept.pop(name, None)
    return kept
