"""The study of a search: Optuna's database in the folder of the search, in which nothing that finished is ever lost.

Several processes may work on one study. A process that runs a trial says every few seconds that it lives. After some
silence, any other process puts that trial into the queue again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.exceptions import OptunaError
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from recipes.search.address import TrialAddress
from recipes.search.identity import Identity
from recipes.search.pruning import DATABASE_PATIENCE, STOPPED
from recipes.search.space import Value
from zoo.errors import ZooError

DATABASE = "search.db"
LOCK = "search.lock"
NAME = "search"
# Seconds between two signs of life of a running trial, and of silence after which it counts as killed. A trial whose
# search was killed has then ended too (recipes/runner/trial.py).
BEAT = 10
SILENCE = 60
# A trial that is killed so often while its search lives needs too much memory, perhaps.
MOST_KILLS = 3
# The attribute of a study that says what it searches.
IDENTITY = "identity"
# The attributes of a trial: that it has the defaults, its number once its process has claimed it, its number once its
# run has failed, the kills of its run, and why it failed.
DEFAULTS = "defaults"
CLAIMED = "claimed"
FAILED = "failed"
KILLS = "kills"
REASON = "reason"
SECONDS = "seconds"


class Study:
    """The trials of a search.

    Args:
        folder: the folder of the search. It must exist.
        identity: what is searched.
        pruning: whether trials are stopped if their scores are low.

    Raises:
        ZooError: the folder has the database of another search, or a file of its name that is none.
    """

    def __init__(self, folder: Path, identity: Identity, *, pruning: bool):
        self.folder = folder
        self.identity = identity
        self.pruning = pruning
        self._lock = FileLock(folder / LOCK)
        self._retry = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
        self._url = f"sqlite:///{(folder / DATABASE).absolute()}"
        try:
            with self._lock:
                self._storage = RDBStorage(
                    self._url,
                    engine_kwargs={"connect_args": {"timeout": DATABASE_PATIENCE}},
                    heartbeat_interval=BEAT,
                    grace_period=SILENCE,
                    heartbeat_stale_trial_callback=self._retry,
                )
        except (SQLAlchemyError, OptunaError, RuntimeError) as error:
            raise ZooError(
                f"{folder / DATABASE} is no database of a search, or one of another version of Optuna: choose another "
                f"folder with --out ({str(error).splitlines()[0][:200]})"
            ) from error
        if self.is_begun:
            self._check_identity()

    @property
    def is_begun(self) -> bool:
        """Whether the database has a study."""
        return NAME in optuna.get_all_study_names(self._storage)

    def begin(self, defaults: Mapping[str, Value], *, higher_is_better: bool) -> None:
        """Opens the study; the first process creates it, with the defaults as its first trial.

        Args:
            defaults: the values of the first trial.
            higher_is_better: whether the search looks for a high score or a low one.

        Raises:
            ZooError: another process has meanwhile created the study of another search.
        """
        with self._lock:
            self._study = optuna.create_study(
                study_name=NAME,
                storage=self._storage,
                direction=StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE,
                load_if_exists=True,
            )
            if IDENTITY not in self._study.user_attrs:
                self._study.set_user_attr(IDENTITY, self.identity.text())
            self._check_identity()
            if not self._study.get_trials(deepcopy=False):
                self._study.enqueue_trial(dict(defaults), user_attrs={DEFAULTS: True})

    def _check_identity(self) -> None:
        study = optuna.load_study(study_name=NAME, storage=self._storage)
        # A process that was killed while it created the study has not entered its identity.
        difference = self.identity.difference(study.user_attrs.get(IDENTITY, self.identity.text()))
        if difference is not None:
            raise ZooError(
                f"{self.folder} holds a search with {difference}: give the same command to continue it, or choose "
                "another folder with --out"
            )

    def alone(self) -> FileLock:
        """Keeps the other processes of the search from its files while it is held."""
        return self._lock

    def claim(self, trials: int) -> optuna.Trial | None:
        """Begins the next trial.

        Args:
            trials: how many the search has in all.

        Returns:
            The trial; None if all are finished or running.
        """
        with self._lock:
            self._free_silent_trials()
            if len(self.finished()) + len(self.running()) >= trials:
                return None
            # Several processes, and one that continues after another, must not draw the same random numbers.
            number = len(self._study.get_trials(deepcopy=False))
            self._study.sampler = TPESampler(seed=number, constant_liar=True)
            trial = self._study.ask(dict(self.identity.space))
            self.beat(trial)
            trial.set_user_attr(CLAIMED, trial.number)
            return trial

    def _free_silent_trials(self) -> None:
        """Puts trials into the queue whose process was killed."""
        for trial in self.running():
            # Its process was killed before the first sign of life, or it would hold the lock. Optuna ignores such ones.
            if trial.user_attrs.get(CLAIMED) != trial.number:
                self._free(trial.number)
        fail_stale_trials(self._study)

    def beat(self, trial: optuna.Trial) -> None:
        """Says that a trial is running."""
        self._storage.record_heartbeat(trial._trial_id)

    def address(self, trial: optuna.Trial, process: int) -> TrialAddress:
        """Where a run finds its trial.

        Args:
            trial: the trial.
            process: the id of the process that runs the search.
        """
        return TrialAddress(self._url, NAME, trial._trial_id, pruning=self.pruning, process=process)

    def finish(self, trial: optuna.Trial, score: float, seconds: float) -> None:
        """Records the best dev score of a trial that has ended by itself, or that was stopped."""
        with self._lock:
            if self._is_running(trial):
                trial.set_user_attr(SECONDS, round(seconds, 1))
                stopped = STOPPED in self._frozen(trial.number).user_attrs
                state = TrialState.PRUNED if stopped else TrialState.COMPLETE
                self._study.tell(trial.number, None if stopped else score, state=state)

    def fail(self, trial: optuna.Trial, reason: str) -> None:
        """Records that the run of a trial has failed. It would fail again."""
        with self._lock:
            if self._is_running(trial):
                trial.set_user_attr(REASON, reason)
                trial.set_user_attr(FAILED, trial.number)
                self._study.tell(trial.number, state=TrialState.FAIL)

    def free(self, trial: optuna.Trial) -> None:
        """Puts a trial that was interrupted into the queue again."""
        with self._lock:
            if self._is_running(trial):
                self._free(trial.number)

    def free_killed(self, trial: optuna.Trial, reason: str) -> bool:
        """Puts a trial into the queue again whose run was killed; too many kills are a failure.

        Returns:
            Whether the trial will be tried again.
        """
        kills = self._frozen(trial.number).user_attrs.get(KILLS, 0) + 1
        if kills >= MOST_KILLS:
            self.fail(trial, f"{reason}, {kills} times: perhaps the memory is full")
            return False
        with self._lock:
            if self._is_running(trial):
                trial.set_user_attr(KILLS, kills)
                self._free(trial.number)
        return True

    def _is_running(self, trial: optuna.Trial) -> bool:
        """Whether this process still has a trial. One that was silent, such as a suspended one, has lost it."""
        return self._frozen(trial.number).state == TrialState.RUNNING

    def _free(self, number: int) -> None:
        self._study.tell(number, state=TrialState.FAIL)
        self._retry(self._study, self._frozen(number))

    def finished(self) -> list[FrozenTrial]:
        """The trials that will not be tried again, in the order of their numbers."""
        return sorted((trial for trial in self._study.get_trials(deepcopy=False) if is_finished(trial)), key=number_of)

    def running(self) -> list[FrozenTrial]:
        """The trials that run now, in this process or another one, or whose process was just killed."""
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def complete(self) -> list[FrozenTrial]:
        """The trials that ran to their end."""
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the best score; None if there is none with a score yet."""
        return self._study.best_trial if self.complete() else None

    def importances(self) -> dict[str, float]:
        """How much each flag matters for a score in the best tenth (Watanabe et al. 2023), in falling order."""
        return optuna.importance.get_param_importances(self._study)

    def number_of(self, trial: optuna.Trial) -> int:
        """The number under which people know a trial that runs."""
        return number_of(self._frozen(trial.number))

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]


def is_finished(trial: FrozenTrial) -> bool:
    """Whether a trial will not be tried again: it has ended, was stopped, or has failed by itself."""
    failed = trial.state == TrialState.FAIL and trial.user_attrs.get(FAILED) == trial.number
    return failed or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def number_of(trial: FrozenTrial) -> int:
    """The number under which people know a trial: it keeps the first one when it is tried again."""
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else first


def silence_optuna() -> None:
    """Hides messages of Optuna that are of no use to a user."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    # This happens if many trials have equal scores.
    warnings.filterwarnings("ignore", message="Target and region quantiles select the same set of trials")
    # Our own loop records heartbeats.
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with Study.optimize")
