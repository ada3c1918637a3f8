"""What a run does that is a trial of a search: it reports its dev scores, and ends when the search has ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from threading import Thread

from pytorch_lightning.callbacks import Callback

from recipes.runner.callbacks import Recorder

# The environment variable in which a search tells a run that it is a trial.
VARIABLE = "LSTM_ZOO_TRIAL"
# Seconds between two looks at the search.
PAUSE = 1.0
# Seconds in which a trial whose search has ended may save its state.
PATIENCE = 30.0


@dataclass(frozen=True)
class TrialAddress:
    """Where a trial finds its search.

    Attributes:
        storage: the address of the database.
        study: the name of the study in the database.
        trial_id: the id of the trial in the database.
        pruning: whether the trial is stopped if its scores are low.
        process: the id of the search's process.
    """

    storage: str
    study: str
    trial_id: int
    pruning: bool
    process: int

    def environment(self) -> dict[str, str]:
        """The environment variable that tells this address to a run."""
        return {VARIABLE: json.dumps(asdict(self))}


def callbacks_of_trial(recorder: Recorder) -> list[Callback]:
    """The callbacks of a run that is a trial, which from now on ends with its search; none for any other run.

    Args:
        recorder: knows the dev scores of the run.
    """
    if VARIABLE not in os.environ:
        return []
    # Only a trial needs Optuna.
    from recipes.search.pruning import Pruning

    address = TrialAddress(**json.loads(os.environ[VARIABLE]))
    # The other processes of a run end with their first one.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        Thread(target=_end_after, args=(address.process,), daemon=True).start()
    return [Pruning(address, recorder)]


def _end_after(process: int) -> None:
    """Ends this run soon after the process of the search that has started it."""
    while os.getppid() == process:
        time.sleep(PAUSE)
    print("the search has ended, so this trial ends too", file=sys.stderr, flush=True)
    # A training saves its state on this signal.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(128 + signal.SIGTERM)
