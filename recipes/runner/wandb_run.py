"""Weights & Biases: used if the user asks for it or has set it up. Its failures never stop a training.

It is imported when a run starts, because the import takes longer than a wrong flag should take to answer.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger

from recipes.runner.run_folder import LOGGED_ROWS, RUN_ID
from zoo.errors import ZooError

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

Mode = Literal["online", "offline", "disabled", "unasked"]
# The mode for each value that W&B knows. "run" and "dryrun" are old names; "shared" lets several writers share a run.
MODES: dict[str, Mode] = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",
    "dryrun": "offline",
    "shared": "online",
}
# The user names no mode but has a key. Then the state that `wandb offline` or `wandb disabled` has set decides.
UNASKED: Literal["unasked"] = "unasked"
# How long a run waits for W&B's server before it continues offline.
START_SECONDS = 10


def is_online(asked: str | None) -> bool:
    """Whether the user's mode means that the run is published."""
    return asked is not None and MODES.get(asked) == "online"


def wandb_mode(asked: str | None) -> Mode:
    """The mode of a run: `asked`, else `$WANDB_MODE`, else `UNASKED` if there is a key, else "disabled".

    Raises:
        ZooError: the mode is unknown.
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


class CountingLogger(WandbLogger):
    """Logs each row of a run at once, and only once, however often the run is interrupted.

    A run that is killed has logged rows since its last checkpoint. The resumed run computes the same rows again, and
    leaves out as many as W&B already has.

    Args:
        experiment: the W&B run.
        logged: the file that keeps the number of rows that W&B has.

    Attributes:
        rows: the number of rows that the training has computed so far; checkpoints keep it.
    """

    def __init__(self, experiment: Run, logged: Path):
        super().__init__(experiment=experiment)
        self._logged = int(logged.read_text() or 0) if logged.is_file() else 0
        # A resumed run goes on after these rows, unless its checkpoint says otherwise.
        self.rows = self._logged
        self._file = logged.open("r+b" if logged.is_file() else "w+b", buffering=0)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows += 1
        if self.rows > self._logged:
            super().log_metrics(metrics, step)
            self._logged = self.rows
            # One write of a fixed length: a kill leaves the number before or this one.
            self._file.seek(0)
            self._file.write(f"{self._logged:12d}".encode())


def counting_logger(trainer: pl.Trainer) -> CountingLogger | None:
    """The logger of the W&B run, on the process that logs."""
    return next((logger for logger in trainer.loggers if isinstance(logger, CountingLogger)), None)


def wandb_logger(mode: Mode, folder: Path, project: str, config: dict[str, Any]) -> WandbLogger | None:
    """Starts a W&B run and returns its logger, or None if W&B is disabled or cannot be started.

    Args:
        mode: the mode of the run.
        folder: the folder of the run. W&B keeps its files in `folder/wandb`, with what a resumed run needs to know.
        project: the name of the W&B project.
        config: the settings that W&B shows.
    """
    if mode == "disabled":
        return None
    import wandb

    note = folder / RUN_ID
    run_id = note.read_text().strip() if note.is_file() else None
    attempts: list[Mode] = [mode] if mode == "offline" else [mode, "offline"]
    for attempt in attempts:
        try:
            (folder / "wandb").mkdir(parents=True, exist_ok=True)
            _find_cache(folder / "wandb")
            run = wandb.init(
                project=project,
                dir=folder,
                id=run_id,
                resume="allow" if run_id and attempt != "offline" else None,
                config=config,
                mode=None if attempt == UNASKED else attempt,
                settings=wandb.Settings(init_timeout=START_SECONDS, silent=True),
            )
            if run.disabled:
                return None
            if not run.offline:
                print(f"W&B shows this run at {run.url} (--wandb disabled keeps it here)", file=sys.stderr)
            note.write_text(run.id)
            return CountingLogger(run, folder / LOGGED_ROWS)
        # The training continues after any error of W&B.
        except Exception as error:
            warnings.warn(f"W&B could not start {attempt}: {error}. The training continues without it")
    return None


def log_pictures(logger: WandbLogger | None, pictures: list[Path]) -> None:
    """Adds pictures to the W&B run."""
    if logger is not None:
        import wandb

        logger.experiment.log({picture.stem: wandb.Image(str(picture)) for picture in pictures})


def finish(logger: WandbLogger | None, summary: Mapping[str, float]) -> None:
    """Writes the final scores into the summary of the W&B run, and ends it."""
    if logger is not None:
        logger.experiment.summary.update(summary)
        logger.experiment.finish()


def _find_cache(folder: Path) -> None:
    """Lets W&B keep its cache in a folder of the run if the user's home is missing or read-only."""
    from wandb.env import get_cache_dir

    try:
        get_cache_dir().mkdir(parents=True, exist_ok=True)
    except OSError:
        os.environ["WANDB_CACHE_DIR"] = str((folder / "cache").resolve())


def _has_key() -> bool:
    host = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    try:
        login = netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, NetrcParseError):
        login = None
    return bool(os.environ.get("WANDB_API_KEY") or login)
