"""The average of the weights in the course of a training: `--ema`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """An exponential moving average whose decay grows during the training, so that short trainings benefit too.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), as in Tan & Le (2019).
    """

    def average(averaged: Tensor, current: Tensor, updates: Tensor) -> Tensor:
        # The computation uses the precision of the average. In bf16, small steps would be lost.
        weight = torch.clamp((1 + updates) / (10 + updates), max=decay).to(averaged.dtype)
        # Written in place: torch then need not copy the result to where it is already.
        return torch.lerp(current.to(averaged.dtype), averaged, weight, out=averaged)

    return average
