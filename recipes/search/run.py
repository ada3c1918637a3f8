"""The run of a trial: a process of the recipe's own command line, with a folder and a log of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from recipes.runner.run_folder import RunFolder

TRIALS = "trials"
# The most lines of a log that a message shows.
LINES = 12


class TrialRun:
    """A run that has been started. It resumes if its folder has a checkpoint.

    Args:
        recipe: the name of the recipe.
        flags: its flags, without those of the folder.
        folder: the folder of the run. Its log is beside it.
        environment: variables that the run needs beside those of this process.
    """

    def __init__(self, recipe: str, flags: Sequence[str], folder: Path, environment: Mapping[str, str]):
        self.folder = RunFolder(folder)
        self.log = folder.with_suffix(".log")
        self.started = time.perf_counter()
        folder.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", f"recipes.{recipe}", "fit", *flags, f"--out={folder}", *self._continuation()]
        with self.log.open("ab") as log:
            # A process group of its own keeps Ctrl-C away, which the search passes on.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | environment, process_group=0
            )

    def _continuation(self) -> list[str]:
        if self.folder.resumable():
            return ["--resume"]
        return ["--overwrite"] if self.folder.path.exists() else []

    @property
    def seconds(self) -> float:
        """Seconds since this run was started."""
        return time.perf_counter() - self.started

    def code(self) -> int | None:
        """The exit code; None if the run has not ended."""
        return self.process.poll()

    def interrupt(self) -> None:
        """Asks the run to save its state and to end."""
        # It may have ended meanwhile.
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)

    def end(self, seconds: float) -> None:
        """Waits for the end of the run, and kills all its processes if they take longer."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def best_score(self) -> float:
        """The best dev score of a run that has ended well."""
        (score,) = json.loads(self.folder.metrics.read_text("utf-8"))["best_dev"].values()
        return float(score)

    def delete_checkpoints(self) -> None:
        """Deletes what only a resumed run needs. The folder keeps the model, which is many times smaller."""
        shutil.rmtree(self.folder.checkpoints, ignore_errors=True)

    def last_lines(self) -> str:
        """The end of the log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-LINES:])


def was_killed(code: int) -> bool:
    """Whether a run with this exit code was ended from outside, so that it may end otherwise the next time."""
    return code < 0 or code in (128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGKILL)


def share_of_machine(slot: int, jobs: int, gpus: Sequence[str]) -> dict[str, str]:
    """Environment variables that give one of several runs its part of the processors and of the GPUs.

    Args:
        slot: the place of the run among those that run at once, from 0.
        jobs: how many run at once.
        gpus: the names of the GPUs.
    """
    if jobs == 1:
        return {}
    threads = max(1, len(os.sched_getaffinity(0)) // jobs) if hasattr(os, "sched_getaffinity") else 1
    share = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    if gpus:
        share["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return share
