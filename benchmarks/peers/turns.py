"""How the systems of a benchmark take turns: one line of JSON in, one line of JSON out.

A worker computes only between a command and its reply: no system is measured while another one works. This
file needs nothing but the standard library, for peers run in an environment of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

WARM_UP = 5  # the first training steps, which allocate memory and build kernels, do not count


class Worker:
    """The benchmark's end of the line: a process that runs `script` in the environment of `python`."""

    def __init__(self, python: str, script: Path):
        self.script = script
        offline = os.environ | {"HF_HUB_OFFLINE": "1"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([python, script], env=offline, stdin=pipe, stdout=pipe, text=True)

    def turn(self, **command) -> dict:
        """Sends a command and waits for the reply."""
        try:
            print(json.dumps(command), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            raise SystemExit(f"{self.script} has ended without a reply; its error is above") from None


class Turns:
    """A worker's end of the line."""

    def __init__(self):
        self._replies = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever a library prints must not look like a reply

    def take(self) -> dict:
        """Waits for the next command; where there will be none, the process ends."""
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        return json.loads(line)

    def give(self, **reply) -> None:
        """Answers the command."""
        print(json.dumps(reply), file=self._replies, flush=True)


class Pace:
    """Cuts a training run into turns of like length and measures each: `begin`, then `step` until it is True.

    Args:
        turns: where commands to go on come from, and where measurements go.
        rounds: how many turns the run is cut into.
        steps: the length of the run in training steps,
        seconds: or in seconds of training.
    """

    def __init__(self, turns: Turns, rounds: int, *, steps: int | None = None, seconds: float | None = None):
        self.turns, self.rounds, self.steps, self.seconds = turns, rounds, steps, seconds
        self.round, self.steps_done, self.seconds_done = 0, 0, 0.0
        self.result: dict = {}

    def begin(self) -> None:
        """Waits for this worker's turn."""
        self.turns.take()
        self._start_clock()

    def step(self, count: int) -> bool:
        """Counts a training step of so many tokens or texts that is done; whether it was the last of the run.

        The last turn's measurement is left in `result`: the worker tidies up before it gives that away.
        """
        self.steps_done += 1
        self.count += count
        elapsed = perf_counter() - self.started
        done = self.steps_done / self.steps if self.steps else (self.seconds_done + elapsed) / self.seconds
        if done >= (self.round + 1) / self.rounds:
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
        """Takes what was no training, such as an evaluation, off the clock."""
        self.started += seconds

    def _start_clock(self) -> None:
        self.count, self.started = 0, perf_counter()
