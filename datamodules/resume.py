"""The position at which an interrupted training continues, as its checkpoint contains it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl

from datamodules.remainder import Part, Remainder
from datamodules.sampler import Position, continue_from, next_position
from zoo.batches.bucketing import Lengths


class Plan(NamedTuple):
    """What the batches of an epoch depend on, beside the lengths of the rows and the seed."""

    processes: int
    max_tokens: int


class TrainingPosition:
    """The position of a training in its epochs.

    A checkpoint contains it, because Lightning saves the state of a loader but does not restore it if a schedule asks
    for the number of steps before the checkpoint is read (its issue 20550).
    """

    def __init__(self) -> None:
        self._resumed: Position | None = None
        self._is_replanned = False

    def forget(self) -> None:
        """Forgets the position of an earlier training. If a training resumes another one, `restore` comes later."""
        self._resumed = None
        self._is_replanned = False

    def start_of_pass(self, trainer: pl.Trainer) -> Position:
        """The position at which a pass over the training split begins."""
        resumed = self._resumed
        # Lightning begins the first pass before it restores its own count of epochs.
        if resumed is not None and resumed.epoch >= trainer.current_epoch:
            return resumed
        return Position(trainer.current_epoch, 0)

    def state(self, trainer: pl.Trainer, *, max_tokens: int) -> dict[str, Any]:
        """What a checkpoint contains, in plain types."""
        position = next_position(trainer)
        resumed = self._resumed
        parts = resumed.parts if resumed is not None and resumed.epoch == position.epoch else ()
        return {
            "epoch": position.epoch,
            "done": position.done,
            "parts": [list(part) for part in parts],
            "processes": trainer.world_size,
            "max_tokens": max_tokens,
        }

    def restore(
        self, state: Mapping[str, Any], trainer: pl.Trainer, *, max_tokens: int, lengths: Lengths, seed: int
    ) -> None:
        """Continues at a saved position.

        If the training was interrupted on another number of processes, or with another budget, the rows that its epoch
        has left over are planned anew.

        Args:
            state: what `state` has returned.
            trainer: the Trainer that goes on.
            max_tokens: its token budget.
            lengths: the number of tokens in each row of the training split, or in each side of it.
            seed: the seed of the order of the batches.
        """
        parts = [Part(*part) for part in state["parts"]]
        position = Position(state["epoch"], state["done"], tuple(parts))
        before = Plan(state["processes"], state["max_tokens"])
        now = Plan(trainer.world_size, max_tokens)
        self._is_replanned = now != before
        if self._is_replanned:
            position = _replanned(position, before=before, now=now, lengths=lengths, seed=seed)
            if trainer.is_global_zero:
                print(
                    f"resuming with steps of {now.processes} x {now.max_tokens} tokens (processes x budget) instead of "
                    f"{before.processes} x {before.max_tokens}: each example of the epoch is trained once, but in "
                    "other batches and with other random numbers, so the result is not that of the uninterrupted "
                    "training",
                    file=sys.stderr,
                )
        self._resumed = position

    def continue_in_loops(self, trainer: pl.Trainer) -> None:
        """Lets the Trainer count the batches of a changed plan. It is called in `on_train_start`."""
        if self._is_replanned and self._resumed is not None:
            continue_from(trainer, self._resumed)
            self._is_replanned = False


def _replanned(position: Position, *, before: Plan, now: Plan, lengths: Lengths, seed: int) -> Position:
    """The position after a change of the plan."""
    if position.done == 0:
        return position._replace(parts=())
    epoch, done, parts = position

    def batches_before(plan: Plan, parts: Sequence[Part]) -> int:
        """How many batches of a whole epoch count as done when the rest begins."""
        rest = Remainder(lengths, parts, epoch=epoch, seed=seed).num_steps(plan.max_tokens, plan.processes)
        whole = Remainder(lengths, (), epoch=epoch, seed=seed).num_steps(plan.max_tokens, plan.processes)
        return whole - rest

    steps = done - batches_before(before, parts)
    parts = (*parts, Part(before.processes, before.max_tokens, steps))
    return Position(epoch, batches_before(now, parts), parts)
