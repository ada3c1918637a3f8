"""How the systems of a benchmark take turns: one line of JSON in, one line of JSON out.

A worker computes only between a command and its reply, so that no system is measured while another one works. The
standard library is all that this file needs: workers run in environments of their own.
"""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter

WARM_UP = 5  # the first training steps, which allocate memory and build kernels, do not count


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
    """Cuts one training run into turns of like length, and measures each: `begin`, then `step` until it is True.

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

    def step(self, tokens: int) -> bool:
        """Counts a training step that is done; whether it was the last of the run.

        The last turn's measurement is left in `result`: the worker tidies up before it gives that away.
        """
        self.steps_done += 1
        self.tokens += tokens
        elapsed = perf_counter() - self.started
        done = self.steps_done / self.steps if self.steps else (self.seconds_done + elapsed) / self.seconds
        if done >= (self.round + 1) / self.rounds:
            self.round += 1
            self.seconds_done += elapsed
            self.result = {"seconds": elapsed, "tokens": self.tokens}
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
        self.tokens, self.started = 0, perf_counter()
