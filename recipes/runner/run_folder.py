"""The folder of a run: what it holds, and when it may be written to."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from zoo.errors import ZooError
from zoo.hub.pretrained import IN_RUN as MODEL

CONFIG, METRICS, CHECKPOINTS = "config.yaml", "metrics.json", "checkpoints"
# All that a run of any recipe may write over, and so all that --overwrite may delete.
FILES = (
    CONFIG, METRICS, "scores.txt", "samples.txt", "outputs.jsonl", "mistakes.tsv",
    "learning-curve.csv", "learning-curve.png",
    "confusion.png", "mistakes.png", "reliability.png", "precision-recall.png",
    "attention-1.png", "attention-2.png", "attention-3.png",
    f"{CHECKPOINTS}/best.ckpt", f"{CHECKPOINTS}/last.ckpt",
    f"{CHECKPOINTS}/best.ckpt.part", f"{CHECKPOINTS}/last.ckpt.part",  # of a run that was killed while it wrote one
    f"{MODEL}/config.json", f"{MODEL}/codec.json", f"{MODEL}/model.safetensors", f"{MODEL}/card.json",
    "wandb/run-id",
)  # fmt: skip


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
    def curve(self) -> Path:
        return self.path / "learning-curve.csv"

    @property
    def model(self) -> Path:
        return self.path / MODEL

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Refuses a folder that a run may not have, before anything that takes time.

        Raises:
            ZooError: a file is where a folder must be, it has files that the run would replace and neither `resume` nor
                `overwrite` was asked for, or there is nothing to resume.
        """
        for folder in (self.checkpoints, self.model):
            nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
            if not nearest.is_dir():
                raise ZooError(f"expected a folder for --out {self.path}, got a file at {nearest}: choose another")
        if resume and overwrite:
            raise ZooError("--resume goes on with a run and --overwrite deletes it: give one of them")
        if resume and not self.last.is_file():
            raise ZooError(
                f"nothing to resume: there is no {self.last}. Give the folder of a run with --out, or leave --resume "
                "out to start a new one"
            )
        found = self._found()
        if found and not resume and not overwrite:
            what, way = "has files that a run would replace", "keep them elsewhere, add --overwrite to delete them"
            if self.last.is_file():
                what, way = "holds another run", "add --resume to go on with it, --overwrite to delete its files"
            names = ", ".join(found)
            raise ZooError(f"{self.path} {what} ({names}): {way}, or choose another folder with --out")

    def open(self, *, resume: bool, overwrite: bool) -> None:
        """Makes the folder ready for a run: without the files of an older one, unless it goes on; raises as `check`."""
        self.check(resume=resume, overwrite=overwrite)
        try:
            self._make(resume=resume)
        except OSError as error:
            raise ZooError(f"--out {self.path}: expected a folder that can be written, got: {error}") from error

    def _make(self, *, resume: bool) -> None:
        if not resume:
            for path in (self.path / name for name in self._found()):
                path.unlink()
                if path.parent != self.path:
                    with suppress(OSError):  # others' files are in it, and stay
                        path.parent.rmdir()
        self.checkpoints.mkdir(parents=True, exist_ok=True)

    def _found(self) -> list[str]:
        return [name for name in FILES if os.path.lexists(self.path / name)]


def run_folder(out: str | None, recipe: str) -> RunFolder:
    """The folder `out`, or a new one named after the recipe and the time, the same for all processes of a run."""
    if out is None:
        stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        # Lightning starts the other processes with this environment.
        out = os.environ.setdefault("LSTM_ZOO_RUN", str(Path("runs") / recipe / stamp))
    return RunFolder(Path(out))
