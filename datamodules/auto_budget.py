"""The largest token budget whose batches a device can train on: `--data.max_tokens auto`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device

from datamodules.planning import EpochPlanner
from datamodules.sampler import BatchDataset
from zoo.batches.bucketing import Lengths, sides_of
from zoo.batches.parts import undivided

# The share of the budget that fits which is used: memory is fragmented in the course of a training.
MARGIN = 0.9
# The search ends where the budgets that fit and do not fit differ by less.
PRECISION = 1.05


def largest(fits: Callable[[int], bool], smallest: int, highest: int) -> int:
    """The largest budget that fits, to within 5 %, by doubling and then bisection.

    Args:
        fits: whether a budget does; if one does, every smaller one does too.
        smallest: the first budget to try. If it does not fit, smaller ones are tried.
        highest: where more tokens make no larger batch.

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

    The largest batches of an epoch are tried, forward and backward, beside the memory that AdamW will take. Neither the
    weights nor any random state changes.

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
        # Outside of the handler, as the error keeps the tensors of the failed attempt.
        torch.cuda.empty_cache()
        return False

    found = largest(fits, smallest, highest)
    if not found:
        raise torch.OutOfMemoryError("not even one row fits into the memory of the device: use a smaller model")
    return max(1, int(MARGIN * found))


def _largest_batches(lengths: Lengths, budget: int) -> list[list[int]]:
    """Of the batches of an epoch the one with the most tokens, the most rows and the longest row."""
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
