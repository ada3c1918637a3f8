"""The run in Weights & Biases: used if the user asks for it or has set it up. Its failures never stop a training.

W&B is imported when a run starts, because the import takes longer than a wrong flag should take to answer.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger

from recipes.runner.run_folder import LOGGED_ROWS, RUN_ID
from recipes.runner.wandb_flags import RunNames
from recipes.runner.wandb_modes import UNASKED, Mode

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

# The axis of all charts: the number of optimizer steps, as Lightning calls it.
STEPS = "trainer/global_step"
# How long a run waits for W&B's server before it continues offline.
START_SECONDS = 10
# How long a run that has ended waits until all is uploaded. The folder keeps the rest for `wandb sync`.
FINISH_SECONDS = 600


class CountingLogger(WandbLogger):
    """Logs each row of a run at once, and only once, however often the run is interrupted.

    A run that is killed has logged rows since its last checkpoint. The resumed run computes the same rows again, and
    leaves out as many as W&B already has.

    An error of W&B ends the logging with a warning.

    Args:
        experiment: the W&B run.
        logged: the file that keeps the number of rows that W&B has, and that of its own steps.

    Attributes:
        rows: the number of rows that the training has computed so far; checkpoints keep it.
        failed: whether an error has ended the logging.
    """

    def __init__(self, experiment: Run, logged: Path):
        super().__init__(experiment=experiment)
        counts = [int(count) for count in logged.read_text().split()] if logged.is_file() else []
        self._logged = counts[0] if counts else 0
        # W&B numbers what it gets. A part of a run that was kept offline would begin at 0 again.
        self._wandb_steps = counts[1] if counts else 0
        # A resumed run goes on after these rows, unless its checkpoint says otherwise.
        self.rows = self._logged
        self.failed = False
        self._file = logged.open("r+b" if logged.is_file() else "w+b", buffering=0)

    def log_hyperparams(self, params: Any) -> None:
        """Logs nothing: the config of the run has the settings of the command line, by the names of their flags."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows += 1
        if self.rows > self._logged:
            self._logged = self.rows
            self._log({**metrics, STEPS: step})

    def log_media(self, media: Mapping[str, object]) -> None:
        """Logs pictures and tables, which are of no step."""
        self._log(media)

    def _log(self, values: Mapping[str, object]) -> None:
        if self.failed:
            return
        self.failed = True
        with harmless("log this run any more"):
            self.experiment.log(dict(values), step=self._wandb_steps, commit=True)
            self._wandb_steps += 1
            # One write of a fixed length: a kill leaves the numbers before or these.
            self._file.seek(0)
            self._file.write(f"{self._logged:12d} {self._wandb_steps:12d}".encode())
            self.failed = False


@contextmanager
def harmless(action: str) -> Iterator[None]:
    """A block in which an error of W&B becomes a warning.

    Args:
        action: what W&B is to do, for the warning.
    """
    try:
        yield
    # W&B raises errors of many kinds.
    except Exception as error:
        warnings.warn(f"W&B cannot {action}: {error or type(error).__name__}. The run continues without it")


def counting_logger(trainer: pl.Trainer) -> CountingLogger | None:
    """The logger of the W&B run, on the process that logs."""
    return next((logger for logger in trainer.loggers if isinstance(logger, CountingLogger)), None)


def start_run(mode: Mode, folder: Path, names: RunNames, config: Mapping[str, object]) -> CountingLogger | None:
    """Starts a W&B run and returns its logger; None if W&B cannot be started, or `wandb disabled` has been typed.

    Args:
        mode: the mode of the run, which is not disabled.
        folder: the folder of the run. W&B keeps its files in `folder/wandb`, with what a resumed run needs to know.
        names: where W&B lists the run.
        config: the settings that W&B shows.
    """
    import wandb

    note = folder / RUN_ID
    run_id = note.read_text().strip() if note.is_file() else None
    attempts: list[Mode] = [mode] if mode == "offline" else [mode, "offline"]
    for attempt in attempts:
        with harmless(f"start {attempt}"):
            (folder / "wandb").mkdir(parents=True, exist_ok=True)
            _find_cache(folder / "wandb")
            run = wandb.init(
                project=names.project,
                group=names.group,
                tags=names.tags,
                job_type=names.job_type,
                dir=folder,
                id=run_id,
                # Other writers decide how a shared run begins.
                resume="allow" if run_id and attempt not in ("offline", "shared") else None,
                config=dict(config),
                mode=None if attempt == UNASKED else attempt,
                settings=wandb.Settings(init_timeout=START_SECONDS, finish_timeout=FINISH_SECONDS, silent=True),
            )
            if run.disabled:
                return None
            if not run.offline:
                print(f"W&B shows this run at {run.url} (--wandb disabled keeps it here)", file=sys.stderr)
            note.write_text(run.id)
            run.define_metric(STEPS)
            run.define_metric("*", step_metric=STEPS, step_sync=True)
            return CountingLogger(run, folder / LOGGED_ROWS)
    return None


def _find_cache(folder: Path) -> None:
    """Lets W&B keep its cache in a folder of the run if the user's home is missing or read-only."""
    from wandb.env import get_cache_dir

    try:
        get_cache_dir().mkdir(parents=True, exist_ok=True)
    except OSError:
        os.environ["WANDB_CACHE_DIR"] = str((folder / "cache").resolve())
