"""Runs the trials of a search, several at once, and keeps its results up to date."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import optuna
import torch

from recipes.runner.recipe import Recipe
from recipes.runner.signals import StopSignals
from recipes.search.progress import SearchProgress
from recipes.search.results import Results
from recipes.search.run import TRIALS, TrialRun, share_of_machine, was_killed
from recipes.search.space import flag_of
from recipes.search.study import BEAT, REASON, Study, number_of
from zoo.errors import ZooError

# Seconds between two looks at the running trials.
PAUSE = 0.5
# Seconds in which an interrupted trial may save its state.
PATIENCE = 60.0
# The search ends if so many trials have failed and none has a score.
MOST_FAILURES = 3
# How many characters of a log the database keeps.
MOST_CHARACTERS = 2000


@dataclass
class Job:
    """A trial that this process runs."""

    trial: optuna.Trial
    number: int
    run: TrialRun
    last_beat: float = field(default_factory=time.monotonic)


class Conductor:
    """Runs trials until a study has enough of them.

    Args:
        study: the trials.
        recipe: the recipe that they run.
        flags: the flags that all trials have.
        trials: how many trials the search has.
        jobs: how many run at once.
        results: writes the files of the search.
        progress: tells what happens.
    """

    def __init__(
        self,
        study: Study,
        recipe: Recipe,
        flags: Sequence[str],
        *,
        trials: int,
        jobs: int,
        results: Results,
        progress: SearchProgress,
    ):
        self.study = study
        self.recipe = recipe
        self.flags = list(flags)
        self.trials = trials
        self.results = results
        self.progress = progress
        self.slots: list[Job | None] = [None] * jobs
        self.gpus = visible_gpus()

    def run(self) -> None:
        """Runs the trials.

        Raises:
            ZooError: all trials fail.
            SystemExit: a signal has stopped the search, and all its trials.
        """
        signals = StopSignals()
        signals.watch()
        try:
            while not signals.received:
                self._settle()
                if self._is_done():
                    break
                self._fill()
                self.progress.update(len(self.study.finished()), len(self._jobs()), self.results.best_score())
                time.sleep(PAUSE)
            self._stop()
        finally:
            signals.unwatch()
            self._kill()
        if signals.received:
            self.progress.tell("the same command continues this search")
            raise SystemExit(128 + signals.received)

    def _jobs(self) -> list[Job]:
        return [job for job in self.slots if job is not None]

    def _is_done(self) -> bool:
        """Whether all trials are finished, in this process and in others."""
        finished = self.study.finished()
        failed = [trial for trial in finished if REASON in trial.user_attrs]
        if len(failed) == len(finished) >= min(MOST_FAILURES, self.trials):
            number = number_of(failed[-1])
            log = self.study.folder / TRIALS / f"{number:04d}.log"
            raise ZooError(
                f"all trials so far, {len(failed)} of them, have failed. The last one, {log}, ends with:\n"
                f"{failed[-1].user_attrs[REASON]}\n"
                "Correct the flags, and choose another folder with --out"
            )
        return len(finished) >= self.trials and not self._jobs()

    def _fill(self) -> None:
        """Begins trials in the free slots."""
        for slot, job in enumerate(self.slots):
            if job is None and (trial := self.study.claim(self.trials)) is not None:
                self.slots[slot] = self._start(trial, slot)

    def _start(self, trial: optuna.Trial, slot: int) -> Job:
        number = self.study.number_of(trial)
        environment = {
            **self.study.address(trial, os.getpid()).environment(),
            **share_of_machine(slot, len(self.slots), self.gpus),
            # W&B shows the trials of a search as one group.
            "WANDB_RUN_GROUP": os.environ.get("WANDB_RUN_GROUP", self.study.folder.name),
        }
        flags = [*self.flags, *(flag_of(name, value) for name, value in trial.params.items())]
        run = TrialRun(self.recipe.name, flags, self.study.folder / TRIALS / f"{number:04d}", environment)
        return Job(trial, number, run)

    def _settle(self) -> None:
        """Records which trials have ended, and that the others are running."""
        for slot, job in enumerate(self.slots):
            if job is None:
                continue
            code = job.run.code()
            if code is not None:
                self.slots[slot] = None
                self._record(job, code)
            elif time.monotonic() - job.last_beat >= BEAT:
                self.study.beat(job.trial)
                job.last_beat = time.monotonic()

    def _record(self, job: Job, code: int) -> None:
        """Records the end of a trial's run.

        Args:
            job: the trial.
            code: the exit code of its run.
        """
        score = job.run.best_score() if code == 0 else math.nan
        if not math.isnan(score):
            self.study.finish(job.trial, score, job.run.seconds)
            job.run.delete_checkpoints()
        elif was_killed(code):
            if self.study.free_killed(job.trial, f"its process was killed (exit code {code})"):
                self.progress.tell(f"trial {job.number} was killed (exit code {code}): it is tried again")
        else:
            self.study.fail(job.trial, job.run.last_lines()[-MOST_CHARACTERS:] or f"exit code {code}, and no message")
        self.results.write()
        for trial in self.study.finished():
            if trial.number == job.trial.number:
                self.progress.tell(self.results.line(trial))

    def _stop(self) -> None:
        """Interrupts the trials that still run, and puts them into the queue again."""
        jobs = self._jobs()
        if jobs:
            self.progress.tell(f"stopping: {len(jobs)} running trials save their state (Ctrl-C again kills them)")
        for job in jobs:
            job.run.interrupt()
        deadline = time.monotonic() + PATIENCE
        for job in jobs:
            job.run.end(max(0.0, deadline - time.monotonic()))
            self.study.free(job.trial)

    def _kill(self) -> None:
        """Kills the trials that still run. Another process, or this command again, tries them again."""
        for job in self._jobs():
            job.run.end(0.0)


def visible_gpus() -> list[str]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]
