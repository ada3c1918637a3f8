"""The folder of a run: what it holds, and when it may be written to."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from zoo.errors import ZooError

CONFIG, METRICS, CHECKPOINTS, MODEL = "config.yaml", "metrics.json", "checkpoints", "model"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run's folder."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def model(self) -> Path:
        return self.path / MODEL

    def open(self, *, resume: bool, overwrite: bool) -> None:
        """Makes the folder ready for a run.

        Raises:
            ZooError: it holds another run and neither `resume` nor `overwrite` was asked for, or there is
                nothing to resume.
        """
        if resume and overwrite:
            raise ZooError("--resume goes on with a run and --overwrite deletes it: give one of them")
        if resume and not self.last.is_file():
            raise ZooError(f"nothing to resume: there is no {self.last}. Leave --resume out to start a new run")
        if self.config.exists() and not resume:
            if not overwrite:
                raise ZooError(
                    f"{self.path} holds another run: add --resume to go on with it, --overwrite to delete it, "
                    "or choose another folder with --out"
                )
            for old in (CHECKPOINTS, MODEL):
                shutil.rmtree(self.path / old, ignore_errors=True)
            for old in (self.config, self.metrics):
                old.unlink(missing_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)


def run_folder(out: str | None, recipe: str) -> RunFolder:
    """The folder `out`, or a new one named after the recipe and the time, the same for all processes of a run."""
    if out is None:
        stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        # Lightning starts the other processes with this environment.
        out = os.environ.setdefault("LSTM_ZOO_RUN", str(Path("runs") / recipe / stamp))
    return RunFolder(Path(out))
