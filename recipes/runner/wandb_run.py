"""Weights & Biases: on where it was asked for or set up, and never the reason why a training stops."""

from __future__ import annotations

import os
import sys
import warnings
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlparse

import wandb
from pytorch_lightning.loggers import WandbLogger

from zoo.errors import ZooError

# What we do in each mode that W&B knows: "run" and "dryrun" are old names, "shared" is for several writers to one run.
MODES = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",
    "dryrun": "offline",
    "shared": "online",
}
UNASKED = "unasked"  # there is a key, and the mode is what `wandb offline` or `wandb disabled` have left, else online


def is_online(asked: str | None) -> bool:
    """Whether a mode asks to publish."""
    return MODES.get(asked) == "online"


def wandb_mode(asked: str | None) -> str:
    """The mode asked for, else `$WANDB_MODE`, else `UNASKED` where there is a key, else disabled.

    Raises:
        ZooError: an unknown mode.
    """
    word = asked or os.environ.get("WANDB_MODE")
    if not word:
        return UNASKED if _has_key() else "disabled"
    if word not in MODES:
        raise ZooError(f"unknown W&B mode {word!r}: known are {', '.join(MODES)}")
    mode = MODES[word]
    if mode == "online" and not _has_key():
        warnings.warn("no W&B key: the run is kept offline. Type `wandb login`, then `wandb sync FOLDER`")
        return "offline"
    return mode


def wandb_logger(mode: str, folder: Path, project: str, config: dict) -> WandbLogger | None:
    """A logger for one run, or None where it is disabled or cannot be started at all.

    Args:
        mode: "online", "offline", "disabled" or `UNASKED`.
        folder: the run's folder; W&B keeps its files in `folder/wandb`, and a resumed run its id.
        project: the project's name there.
        config: what to show of the run's settings.
    """
    if mode == "disabled":
        return None
    note = folder / "wandb" / "run-id"
    run_id = note.read_text().strip() if note.is_file() else None
    for attempt in dict.fromkeys((mode, "offline")):
        try:
            (folder / "wandb").mkdir(parents=True, exist_ok=True)
            run = wandb.init(
                project=project,
                dir=folder,
                id=run_id,
                resume="allow" if run_id and attempt != "offline" else None,
                config=config,
                mode=None if attempt == UNASKED else attempt,
                settings=wandb.Settings(init_timeout=10, silent=True),
            )
            if run.disabled:
                return None
            if not run.offline:
                print(f"W&B shows this run at {run.url} (--wandb disabled keeps it here)", file=sys.stderr)
            note.write_text(run.id)
            return WandbLogger(experiment=run)
        except Exception as error:  # whatever goes wrong there, the training goes on
            warnings.warn(f"W&B could not start {attempt}: {error}. The training goes on without it")
    return None


def log_pictures(logger: WandbLogger | None, pictures: list[Path]) -> None:
    """Adds pictures to the run."""
    if logger is not None:
        logger.experiment.log({picture.stem: wandb.Image(str(picture)) for picture in pictures})


def finish(logger: WandbLogger | None, summary: dict) -> None:
    """Writes the final numbers into the run's summary, and ends the run."""
    if logger is not None:
        logger.experiment.summary.update(summary)
        logger.experiment.finish()


def _has_key() -> bool:
    host = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    try:
        login = netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, NetrcParseError):
        login = None
    return bool(os.environ.get("WANDB_API_KEY") or login)
