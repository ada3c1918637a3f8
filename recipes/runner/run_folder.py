"""The folder of a run: the files that it may have, and when a run may write them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile

from recipes.runner.claim import Claim
from recipes.runner.whole_files import PART
from zoo.errors import ZooError
from zoo.hub.sources import IN_RUN

CONFIG = "config.yaml"
METRICS = "metrics.json"
EXAMPLES = "examples.jsonl"
ATTENTION = "attention.json"
PAGE = "report.html"
CHECKPOINTS = "checkpoints"
MODEL = IN_RUN
RUN_ID = "wandb/run-id"
LOGGED_ROWS = "wandb/logged-rows"
# All files that a run of any recipe may write. --overwrite deletes no other files. A * stands for a number.
FILES = (
    CONFIG, METRICS, "scores.txt", "samples.txt", EXAMPLES, ATTENTION, PAGE,
    "learning-curve.csv", "learning-curve.png",
    "confusion.png", "mistakes.png", "reliability.png", "precision-recall.png",
    "attention-1.png", "attention-2.png", "attention-3.png",
    f"{CHECKPOINTS}/best.ckpt", f"{CHECKPOINTS}/last.ckpt", f"{CHECKPOINTS}/step-*.ckpt",
    # A run that was killed while writing leaves these files behind.
    f"{CONFIG}{PART}", f"{METRICS}{PART}", f"{EXAMPLES}{PART}", f"{ATTENTION}{PART}", f"{PAGE}{PART}",
    f"learning-curve.csv{PART}",
    f"{CHECKPOINTS}/new.ckpt", f"{CHECKPOINTS}/new.ckpt{PART}", f"{CHECKPOINTS}/best.ckpt{PART}",
    f"{MODEL}/config.json", f"{MODEL}/codec.json", f"{MODEL}/model.safetensors", f"{MODEL}/card.json",
    f"{MODEL}/README.md",
    RUN_ID, LOGGED_ROWS,
)  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """The paths of the files in the folder of a run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @property
    def examples(self) -> Path:
        return self.path / EXAMPLES

    @property
    def attention(self) -> Path:
        return self.path / ATTENTION

    @property
    def page(self) -> Path:
        return self.path / PAGE

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
    def new(self) -> Path:
        """The newest checkpoint before it replaces the last one."""
        return self.checkpoints / "new.ckpt"

    def older(self, step: int) -> Path:
        """The checkpoint of an optimizer step after another one has replaced it as the last one."""
        return self.checkpoints / f"step-{step}.ckpt"

    def older_checkpoints(self) -> list[Path]:
        """All checkpoints that others have replaced as the last one, the newest first."""
        return sorted(self._matching(f"{CHECKPOINTS}/step-*.ckpt"), key=step_of, reverse=True)

    def resumable(self) -> list[Path]:
        """The checkpoints that a run can resume from, the newest first."""
        return [path for path in (self.new, self.last, *self.older_checkpoints()) if path.is_file()]

    def is_begun(self) -> bool:
        """Whether the folder has only files that a run writes before its first checkpoint."""
        parts = {f"{CONFIG}{PART}", f"{CHECKPOINTS}/new.ckpt{PART}", f"{CHECKPOINTS}/best.ckpt{PART}"}
        return set(self._found()) <= {CONFIG, RUN_ID, LOGGED_ROWS, *parts}

    @property
    def curve(self) -> Path:
        return self.path / "learning-curve.csv"

    @property
    def model(self) -> Path:
        return self.path / MODEL

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Refuses a folder that the run must not use. This check is fast and comes first.

        Args:
            resume: whether to continue the run in the folder.
            overwrite: whether to delete the files of the run in the folder.

        Raises:
            ZooError: a file has the name of a needed folder; another run is writing into the folder; the folder has
                files that the run would replace, and neither `resume` nor `overwrite` is given; or there is nothing to
                resume.
        """
        self._check_places()
        if self.path.is_dir():
            Claim(self.path).release()
        self._check_files(resume=resume, overwrite=overwrite)

    def open(self, *, resume: bool, overwrite: bool) -> Claim:
        """Creates the folder, or deletes the files of an older run unless it is resumed.

        Returns:
            The claim on the folder, to release as the run ends.

        Raises:
            ZooError: as `check`; or nothing can be written into the folder.
        """
        self._check_places()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            claim = Claim(self.path)
            self._check_files(resume=resume, overwrite=overwrite)
            self._make(resume=resume)
            TemporaryFile(dir=self.checkpoints).close()
        except OSError as error:
            raise ZooError(f"--out {self.path}: expected a folder with write permission, got: {error}") from error
        return claim

    def _check_places(self) -> None:
        for folder in (self.checkpoints, self.model):
            nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
            if not nearest.is_dir():
                raise ZooError(f"--out {self.path}: expected a folder, got a file at {nearest}: choose another folder")

    def _check_files(self, *, resume: bool, overwrite: bool) -> None:
        if resume and overwrite:
            raise ZooError("--resume continues a run and --overwrite deletes it: give one of them")
        if resume and not self.resumable():
            raise ZooError(
                f"nothing to resume: there is no {self.last}. Give the folder of a run with --out, or leave out "
                "--resume to start a new run"
            )
        found = self._found()
        if found and not resume and not overwrite:
            what = "has files that a run would replace"
            way = "move them, add --overwrite to delete them"
            if self.resumable():
                what = "holds another run"
                way = "add --resume to continue it, --overwrite to delete its files"
            names = ", ".join(found)
            raise ZooError(f"{self.path} {what} ({names}): {way}, or choose another folder with --out")

    def _make(self, *, resume: bool) -> None:
        if not resume:
            for path in (self.path / name for name in self._found()):
                path.unlink()
                if path.parent != self.path:
                    # A folder that has other files is kept.
                    with suppress(OSError):
                        path.parent.rmdir()
        self.checkpoints.mkdir(parents=True, exist_ok=True)

    def _found(self) -> list[str]:
        return [path.relative_to(self.path).as_posix() for name in FILES for path in self._matching(name)]

    def _matching(self, name: str) -> list[Path]:
        """The files of a name, in which * stands for a number."""
        if "*" not in name:
            return [self.path / name] if os.path.lexists(self.path / name) else []
        form = re.compile(re.escape(Path(name).name).replace(r"\*", r"\d+"))
        return [path for path in (self.path / name).parent.glob("*") if form.fullmatch(path.name)]


def step_of(path: Path) -> int:
    """The optimizer step in the name of a checkpoint that another one has replaced as the last one."""
    return int(path.stem.removeprefix("step-"))


def run_folder(out: str | None, recipe: str) -> RunFolder:
    """The folder `out`, or by default a folder named after the recipe and the time."""
    if out is None:
        return RunFolder(Path("runs") / recipe / datetime.now().strftime("%Y-%m-%d-%H%M%S"))
    return RunFolder(Path(out))
