"""What a run does that is a trial of a search: it reports its dev scores, and ends when the search has ended."""

from __future__ import annotations

import os
import signal
import sys
import time
from threading import Thread

from pytorch_lightning.callbacks import Callback

from recipes.runner.callbacks import Recorder
from recipes.search.address import own_address

# Seconds between two looks at the search.
PAUSE = 1.0
# Seconds in which a trial whose search has ended may save its state.
PATIENCE = 30.0


def callbacks_of_trial(recorder: Recorder) -> list[Callback]:
    """The callbacks of a run that is a trial, which from now on ends with its search; none for any other run.

    Args:
        recorder: knows the dev scores of the run.
    """
    address = own_address()
    if address is None:
        return []
    # Only a trial needs Optuna.
    from recipes.search.pruning import Pruning

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
