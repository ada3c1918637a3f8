"""Batches side by side, a thread each.

The steps of a recurrent network are small: threads that share one wait for each other, threads of their own do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item, Result = TypeVar("Item"), TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> list[Result]:
    """`work` of each item, in their order, without gradients and under the autocast that is in force.

    On a CPU as many items are in work as torch has threads, and memory grows with that; elsewhere it is one.
    """
    threads = torch.get_num_threads()
    together = min(threads, len(items))
    if device.type != "cpu" or together < 2:
        with torch.no_grad():
            return [work(item) for item in items]
    autocast = {"dtype": torch.get_autocast_dtype("cpu"), "enabled": torch.is_autocast_enabled("cpu")}

    def alone(item: Item) -> Result:
        with torch.no_grad(), torch.autocast("cpu", **autocast):  # a new thread has neither
            return work(item)

    try:
        with ThreadPoolExecutor(together, initializer=torch.set_num_threads, initargs=(threads // together,)) as pool:
            return list(pool.map(alone, items))
    finally:
        torch.set_num_threads(threads)  # what a thread sets holds in part for all
