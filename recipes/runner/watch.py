"""The processes that Lightning starts on one machine watch each other: none of them outlives the others.

A process learns that another one has ended when it exchanges something with it. One that is still starting would wait
30 minutes for that, and on GPUs a process waits as long as the time limit of the strategy.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from subprocess import Popen
from threading import Thread

# The environment variable in which the first process of a machine tells its number to those that it starts.
FIRST = "LSTM_ZOO_FIRST_PROCESS"
# Seconds between two looks.
PAUSE = 1.0
# Seconds in which a process may still notice by itself that another one has ended. Then it can say how to resume.
PATIENCE = 10.0


@cache
def watch_first_process() -> None:
    """Ends this process soon after the one that has started it, or lets those watch this one that it starts."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        os.environ[FIRST] = str(os.getpid())
    elif FIRST in os.environ:
        first = int(os.environ[FIRST])
        _end_when(lambda: "the first process of this run has ended" if os.getppid() != first else None)


def watch_children(children: Sequence[Popen[bytes]]) -> None:
    """Ends this process soon after one that it has started has failed."""

    def failed() -> str | None:
        for rank, child in enumerate(children, start=1):
            if code := child.poll():
                return f"process {rank} of this run has ended with exit code {code}"
        return None

    _end_when(failed)


def _end_when(lost: Callable[[], str | None]) -> None:
    """Ends this process some seconds after `lost` has a reason for that."""

    def watch() -> None:
        while (reason := lost()) is None:
            time.sleep(PAUSE)
        time.sleep(PATIENCE)
        print(f"error: {reason}, so this one ends too: its last message says why", file=sys.stderr, flush=True)
        # The main thread may wait for ever.
        os._exit(2)

    Thread(target=watch, daemon=True).start()
