"""Batches side by side, a thread each.

The steps of a recurrent network are small: threads that share one wait for each other, threads of their own do not.

`torch.set_num_threads` sets a number for the thread that calls it, and for all that begin later. So the threads here
are begun once and kept: callers that predict at the same time share them, and none sees the number of another.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item, Result = TypeVar("Item"), TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> list[Result]:
    """`work` of each item, in their order, without gradients and under the autocast that is in force.

    On a CPU as many items are in work as torch has threads, those of other callers included, and memory grows with
    that; elsewhere it is one. `work` must not call this function itself.
    """
    threads = torch.get_num_threads()
    together = min(threads, len(items))
    if device.type != "cpu" or together < 2:
        with torch.no_grad():
            return [work(item) for item in items]
    autocast = {"dtype": torch.get_autocast_dtype("cpu"), "enabled": torch.is_autocast_enabled("cpu")}

    def alone(item: Item) -> Result:
        with torch.no_grad(), torch.autocast("cpu", **autocast):  # another thread has neither
            return work(item)

    # Where an item fails, or an interrupt comes, `map` cancels those that nobody has begun.
    return list(_WORKERS.pool(threads, threads // together).map(alone, items))


class _Workers:
    """Pools of threads, made when they are first asked for."""

    def __init__(self):
        self._pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
        self._making = threading.Lock()

    def pool(self, threads: int, each: int) -> ThreadPoolExecutor:
        """So many workers that they have `threads` threads of torch together, `each` its share."""
        with self._making:
            if (threads, each) not in self._pools:
                self._pools[threads, each] = _pool(threads // each, each)
            return self._pools[threads, each]


def _pool(workers: int, each: int) -> ThreadPoolExecutor:
    threads = torch.get_num_threads()
    all_begun = threading.Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first question sets this thread's number to that of all: later it would undo ours
        torch.set_num_threads(each)
        all_begun.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="side-by-side")
    try:
        for _ in range(workers):
            pool.submit(begin)  # no thread is idle before all have begun: each of these makes one
        all_begun.wait()
    except BaseException:
        all_begun.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        torch.set_num_threads(threads)
    return pool


_WORKERS = _Workers()
if hasattr(os, "register_at_fork"):  # a forked process has no threads but one, and makes its own
    os.register_at_fork(after_in_child=_WORKERS.__init__)
