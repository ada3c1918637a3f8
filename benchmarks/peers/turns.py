"""How the systems of a benchmark take turns: a command and its reply are one line of JSON each.

A worker computes only between a command and its reply, so no system is measured while another one works. This file
imports only the standard library, because the peers run in an environment of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

# What a line of JSON holds.
Message = dict[str, Any]
# The number of first training steps that are not measured. They allocate memory and build kernels.
WARM_UP = 5


class Worker:
    """The benchmark's side: a process that runs `script` with the interpreter `python`."""

    def __init__(self, python: str, script: Path):
        self.script = script
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [python, script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def turn(self, **command: Any) -> Message:
        """Sends a command and waits for the reply.

        Raises:
            SystemExit: the worker has ended.
        """
        commands = self._process.stdin
        replies = self._process.stdout
        if commands is None or replies is None:
            raise SystemExit(f"{self.script} was started without pipes")
        try:
            print(json.dumps(command), file=commands, flush=True)
            reply: Message = json.loads(replies.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            raise SystemExit(f"{self.script} has ended without a reply; its error is above") from None
        return reply

    def close(self) -> None:
        """Ends the worker: it finds no further command."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


class Turns:
    """The worker's side."""

    def __init__(self) -> None:
        self._replies = os.fdopen(os.dup(1), "w")
        # Libraries print to file descriptor 1. It becomes stderr, so that their output is not taken for a reply.
        os.dup2(2, 1)

    def take(self) -> Message:
        """Waits for the next command. If the benchmark has ended, so does this process."""
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        command: Message = json.loads(line)
        return command

    def give(self, **reply: Any) -> None:
        """Replies to the command."""
        print(json.dumps(reply), file=self._replies, flush=True)


class Pace:
    """Cuts a training run into turns of equal length and measures each. Call `begin`, then `step` until it is True.

    Args:
        turns: receives commands and sends measurements.
        rounds: the number of turns.
        steps: the length of the run in training steps. None: its length is in seconds.
        seconds: the length of the run in seconds of training, if it has no number of steps.
    """

    def __init__(self, turns: Turns, rounds: int, *, steps: int | None = None, seconds: float | None = None):
        self.turns = turns
        self.rounds = rounds
        self.steps = steps
        self.seconds = seconds
        self.round = 0
        self.steps_done = 0
        self.seconds_done = 0.0
        self.result: Message = {}

    def begin(self) -> None:
        """Waits for this worker's turn."""
        self.turns.take()
        self._start_clock()

    def step(self, count: int) -> bool:
        """Records a training step on `count` tokens or texts. Returns True after the last step of the run.

        The measurement of the last turn stays in `result`: the worker sends it once it has finished its training.
        """
        self.steps_done += 1
        self.count += count
        elapsed = perf_counter() - self.started
        if self._fraction_done(elapsed) >= (self.round + 1) / self.rounds:
            self.round += 1
            self.seconds_done += elapsed
            self.result = {"seconds": elapsed, "count": self.count}
            if self.round == self.rounds:
                return True
            self.turns.give(**self.result)
            self.begin()
        elif self.steps_done == WARM_UP:
            self.seconds_done += elapsed
            self._start_clock()
        return False

    def leave_out(self, seconds: float) -> None:
        """Subtracts time that was not training, such as an evaluation, from this turn."""
        self.started += seconds

    def _fraction_done(self, elapsed: float) -> float:
        """The finished fraction of the run, `elapsed` seconds after this turn began."""
        if self.steps is not None:
            return self.steps_done / self.steps
        if self.seconds is not None:
            return (self.seconds_done + elapsed) / self.seconds
        raise ValueError("expected the length of a training run in steps or in seconds, got neither")

    def _start_clock(self) -> None:
        self.count = 0
        self.started = perf_counter()
