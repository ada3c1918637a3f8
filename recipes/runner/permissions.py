"""Permissions: flags that allow something once, to the command at hand.

A run's config is copied, shared and used again, so a permission is neither saved in one nor read from one.
"""

from __future__ import annotations

from jsonargparse import Namespace

from recipes.runner.wandb_run import is_online
from zoo.errors import ZooError

# A run's folder is no permission, but it is not a setting either: whoever repeats a run wants another one.
UNSAVED = ("out", "overwrite", "resume", "trust", "wandb")


def permissions(settings: Namespace) -> list[str]:
    """The flags among the settings that allow something: to delete, to go on, to run code, to publish."""
    given = [f"--{name}" for name in ("overwrite", "resume") if settings.get(name)]
    if settings.get("trust"):
        given.append(f"--trust {settings.trust}")
    if is_online(settings.get("wandb")):
        given.append("--wandb online")
    return given


def refuse_permissions(settings: Namespace, path: str) -> None:
    """Refuses a config file that allows something in the name of whoever uses it.

    Args:
        settings: those of the file alone.
        path: its name.

    Raises:
        ZooError: it does.
    """
    if given := permissions(settings):
        names = " and ".join(flag.removeprefix("--").split()[0] for flag in given)
        raise ZooError(
            f"{path or '--config'}: {names} is allowed by a command and never by a file: delete it there, and add "
            f"{' '.join(given)} to the command if you mean it"
        )


def without_permissions(settings: Namespace) -> Namespace:
    """The settings that a run's config keeps: what the run is, not where it is nor what it was allowed."""
    kept = settings.clone()
    for name in UNSAVED:
        if name == "wandb" and not is_online(kept.get(name)):
            continue  # "offline" and "disabled" allow nothing, and hold for whoever repeats the run
        kept.pop(name, None)
    return kept
