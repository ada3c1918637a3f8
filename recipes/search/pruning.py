"""Reports the dev scores of a trial to its search, and stops a trial that is worse than others were at its age."""

from __future__ import annotations

import math
import sys

import pytorch_lightning as pl
from optuna import Trial, load_study
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import RDBStorage
from pytorch_lightning.callbacks import Callback

from recipes.runner.callbacks import Recorder
from recipes.search.address import TrialAddress

# Trials that finish before any is stopped, and validations of each before it may be stopped.
STARTUP_TRIALS = 5
WARMUP_VALIDATIONS = 3
# The attribute of a trial that was stopped: the number of its validations.
STOPPED = "stopped"
# Seconds that a process waits for others that write into the database.
DATABASE_PATIENCE = 60


class Pruning(Callback):
    """Reports the dev score after each validation, and stops a trial whose best score is below the median.

    That is the median of the scores of all other trials after as many validations (Golovin et al. 2017).

    Args:
        address: where the search is.
        recorder: keeps the dev scores. It must come before this callback.
    """

    def __init__(self, address: TrialAddress, recorder: Recorder):
        self.address = address
        self.recorder = recorder
        self._trial: Trial | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.is_global_zero:
            self._trial = open_trial(self.address)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        stop = self._trial is not None and self._reported(self._trial)
        if trainer.strategy.broadcast(stop):
            trainer.should_stop = True

    def _reported(self, trial: Trial) -> bool:
        """Reports the newest score. Returns whether the trial is to stop."""
        age = len(self.recorder.rows)
        score = self.recorder.rows[-1][self.recorder.monitor]
        # A trial that was killed and tried again has reported some of its scores before.
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        if frozen.state.is_finished():
            # The search was suspended for so long that another process tries this trial again.
            return False
        if age not in frozen.intermediate_values and not math.isnan(score):
            trial.report(score, step=age)
        stop = trial.should_prune()
        if stop:
            trial.set_user_attr(STOPPED, age)
            print("this trial is worse than others were at its age: it stops", file=sys.stderr, flush=True)
        return stop


def open_trial(address: TrialAddress) -> Trial:
    """The trial at an address."""
    storage = RDBStorage(address.storage, engine_kwargs={"connect_args": {"timeout": DATABASE_PATIENCE}})
    pruner = MedianPruner(STARTUP_TRIALS, WARMUP_VALIDATIONS) if address.pruning else NopPruner()
    return Trial(load_study(study_name=address.study, storage=storage, pruner=pruner), address.trial_id)
