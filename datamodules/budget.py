"""The token budget of training batches: given, by the size of the training split, or as large as memory allows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device

from datamodules.errors import DataError
from datamodules.planning import EpochPlanner
from datamodules.sampler import BatchDataset
from zoo.batches.bucketing import Lengths, check_budget, sides_of
from zoo.batches.parts import undivided
from zoo.errors import ZooError

# The number of steps in an epoch if the user sets no budget: enough to learn from a small corpus.
STEPS = 170
SMALLEST_BUDGET = 100
# The fraction that is used of the largest budget that fits: memory is fragmented in the course of a training.
MARGIN = 0.9
# The search ends when the ratio of a budget that does not fit to one that fits is at most this.
PRECISION = 1.05

MaxTokens = int | Literal["by_size", "auto"]


class TokenBudget:
    """The largest number of tokens in a training batch of one process, padding included.

    Args:
        max_tokens: the number itself; "by_size" for a number with which an epoch has about 170 steps; or "auto" for the
            largest number that fits into the memory of a GPU, once `find` has found it.
        upper_limit: the largest number that "by_size" may choose.

    Raises:
        DataError: `max_tokens` is not a whole number from 1.
    """

    def __init__(self, max_tokens: MaxTokens, upper_limit: int):
        if max_tokens not in ("by_size", "auto"):
            try:
                check_budget(max_tokens)
            except ZooError as error:
                raise DataError(f"--data.max_tokens: {error}") from None
        self.max_tokens = max_tokens
        self.upper_limit = upper_limit
        self._found: int | None = None

    def of(self, tokens: int) -> int:
        """The budget of a training split, given the number of its tokens."""
        if not isinstance(self.max_tokens, str):
            return self.max_tokens
        if self._found is not None:
            return self._found
        return max(SMALLEST_BUDGET, min(self.upper_limit, tokens // STEPS))

    def keep(self, max_tokens: int) -> None:
        """Uses the budget that a resumed training has found. Another search could find another one."""
        if self.max_tokens == "auto":
            self._found = max_tokens

    def find(self, trainer: pl.Trainer, data: BatchDataset[object]) -> None:
        """Finds the budget of "auto": on a GPU the largest that the model can train on, elsewhere that of "by_size".

        Args:
            trainer: the Trainer whose model will be trained.
            data: the training split.

        Raises:
            DataError: the training has several processes.
        """
        if self.max_tokens == "auto" and self._found is None:
            self._found = self._search(trainer, data)

    def _search(self, trainer: pl.Trainer, data: BatchDataset[object]) -> int:
        default = self.of(int(np.sum(data.lengths)))
        if trainer.strategy.root_device.type != "cuda":
            print(f"--data.max_tokens auto: {default} tokens, the default, as no GPU limits them", file=sys.stderr)
            return default
        if trainer.world_size > 1:
            raise DataError(
                "--data.max_tokens auto tries batches on one device: find the number with --trainer.devices 1, and "
                "then give it, --data.max_tokens NUMBER"
            )
        found = largest_that_trains(trainer.lightning_module, data, trainer.strategy.root_device, default)
        print(f"--data.max_tokens auto: {found} tokens fit; --data.max_tokens {found} does the same", file=sys.stderr)
        return found


def largest(fits: Callable[[int], bool], smallest: int, highest: int) -> int:
    """The largest budget that fits, to within 5 %, by doubling and then bisection.

    Args:
        fits: whether a budget fits; if one fits, every smaller one fits too.
        smallest: the first budget to try. If it does not fit, smaller ones are tried.
        highest: the budget above which no batch becomes larger.

    Returns:
        The budget; 0 if not even a single token fits.
    """
    good = 0
    budget = min(smallest, highest)
    while budget > good and fits(budget):
        good = budget
        budget = min(2 * good, highest)
    # Now `budget` does not fit, unless it is the highest and does.
    bad = budget
    while bad > max(PRECISION * good, good + 1):
        budget = (good + bad) // 2
        if fits(budget):
            good = budget
        else:
            bad = budget
    return good


def largest_that_trains(
    model: pl.LightningModule, data: BatchDataset[object], device: torch.device, smallest: int
) -> int:
    """The largest budget whose batches the model can train on, less a margin.

    The largest batches of an epoch are tried, forward and backward, while the memory that AdamW needs is taken.
    Weights and random states do not change.

    Raises:
        torch.OutOfMemoryError: not even a batch of one row fits.
    """
    highest = int(sides_of(data.lengths).sum())

    def fits(budget: int) -> bool:
        try:
            for rows in _largest_batches(data.lengths, budget):
                _try_step(model, move_data_to_device(data.batch(rows), device), device)
        except torch.OutOfMemoryError:
            model.zero_grad()
        else:
            return True
        # This is outside of the handler, because the error keeps the tensors of the failed attempt.
        torch.cuda.empty_cache()
        return False

    found = largest(fits, smallest, highest)
    if not found:
        raise torch.OutOfMemoryError("not even one row fits into the memory of the device: use a smaller model")
    return max(1, int(MARGIN * found))


def _largest_batches(lengths: Lengths, budget: int) -> list[list[int]]:
    """The batches of an epoch with the most tokens, with the most rows and with the longest row."""
    batches = EpochPlanner(lengths, budget).batches(0)
    sides = sides_of(lengths)
    longest = np.array([sides[batches[index]].max(0).astype(np.int64).sum() for index in range(len(batches))])
    rows = batches.lengths
    chosen = {int((rows * longest).argmax()), int(rows.argmax()), int(longest.argmax())}
    return [batches[index].tolist() for index in sorted(chosen)]


def _try_step(model: pl.LightningModule, batch: object, device: torch.device) -> None:
    """One training step without an optimizer, in the precision of the Trainer."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), undivided(), model.trainer.precision_plugin.train_step_context():
        # The two averages of AdamW.
        averages = torch.empty(2 * weights, dtype=torch.uint8, device=device)
        outputs = model.training_step(batch, 0)
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if loss is not None:
            # A model of a user's own may skip a batch.
            loss.backward()
        del averages
    model.zero_grad()
