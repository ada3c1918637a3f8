"""What each process of a training keeps for itself in a checkpoint, such as the state of its random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


def of_all_processes(value: T) -> list[T]:
    """The values of all processes, by rank. Every process must call it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return [each for each in values if each is not None]


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's generators that a model on this device draws from, by the kind of their device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restores what `random_state` has returned. The state of a GPU is left out where there is none."""
    torch.set_rng_state(states["cpu"].cpu())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
