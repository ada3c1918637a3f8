"""Signals that ask a run to stop: all processes of a training act on them at the same step."""

from __future__ import annotations

import signal
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

import torch
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from torch import Tensor, distributed

# Ctrl-C, what `kill`, a scheduler or a shutdown send before they force a process to end, and what SLURM sends before
# a job's time is over.
STOPS = ("SIGINT", "SIGTERM", "SIGUSR1")


def stop_signals() -> tuple[int, ...]:
    """The numbers of the signals in `STOPS` that this system has."""
    return tuple(int(getattr(signal, name)) for name in STOPS if hasattr(signal, name))


class StopSignals:
    """Notes the first signal that asks this process to stop. A second signal has its usual effect.

    Attributes:
        received: the number of the signal, or 0.
    """

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[int, Any] = {}

    def watch(self) -> None:
        """Replaces the handlers of the signals. Python allows this in the main thread only."""
        if current_thread() is main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in stop_signals()}

    def unwatch(self) -> None:
        """Restores the handlers that `watch` has replaced."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self.unwatch()


class Agreement:
    """Tells all processes of a training the largest number that any of them has sent, one exchange later.

    The processes exchange their numbers while they compute, so that none waits for another.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._pending: tuple[Tensor, Any] | None = None
        self._several = distributed.is_available() and distributed.is_initialized()
        if self._several and distributed.get_backend() != "gloo":
            # With the backend of GPUs, each exchange would wait for the GPU.
            self._group = distributed.new_group(backend="gloo")

    def exchange(self, number: int) -> int:
        """Sends a number, and returns the largest one of the previous exchange. A lone process gets its own number."""
        if not self._several:
            return number
        agreed = self._received()
        sent = torch.tensor(number)
        work = distributed.all_reduce(sent, distributed.ReduceOp.MAX, group=self._group, async_op=True)
        self._pending = (sent, work)
        return agreed

    def settle(self, number: int) -> int:
        """Sends a number, waits for those of all processes and returns the largest one."""
        before = self.exchange(number)
        return max(before, self._received()) if self._several else before

    def _received(self) -> int:
        if self._pending is None:
            return 0
        largest, work = self._pending
        work.wait()
        self._pending = None
        return int(largest)


class RunnerSignals(_SignalConnector):
    """Takes the place of Lightning's handling of signals in a Trainer.

    Lightning's own handler of SIGTERM makes processes wait for each other within the signal, some of them for ever. In
    a training, `StopSignals` handles signals instead. SIGTERM ends an evaluation at once.
    """

    def register_signal_handlers(self) -> None:
        if self.trainer.state.fn != "fit":
            # The base class restores these handlers when the evaluation ends.
            self._original_handlers = {signal.SIGTERM: signal.getsignal(signal.SIGTERM)}
            self._register_signal(signal.SIGTERM, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        launcher = self.trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher):
            launcher.kill(number)
        raise SystemExit(128 + number)
