"""Processes several batches at once, each in a thread of its own.

The operations of a recurrent network are small. Threads that share one operation wait for each other, but threads that
process different batches do not.

`torch.set_num_threads` sets the number of threads of the calling thread, and of all threads that start later. Therefore
the workers start once and are kept: concurrent callers share them, and no caller sees another one's number.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> list[Result]:
    """Applies `work` to each item, without gradients and under the autocast that is active.

    On a CPU, as many items are processed at once as torch has threads, counted over all callers; memory grows with that
    number. On other devices, items are processed one after the other.

    Args:
        work: a function of one item, which must not call `map_in_threads` itself.
        items: the arguments of `work`.
        device: the device on which `work` computes.

    Returns:
        The results, in the order of the items.
    """
    threads = torch.get_num_threads()
    at_once = min(threads, len(items))
    if device.type != "cpu" or at_once < 2:
        with torch.no_grad():
            return [work(item) for item in items]
    dtype = torch.get_autocast_dtype("cpu")
    enabled = torch.is_autocast_enabled("cpu")

    def work_in_context(item: Item) -> Result:
        # A thread does not inherit these two from the thread that started it.
        with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=enabled):
            return work(item)

    # After an error or an interrupt, `map` cancels the items that have not started.
    return list(_WORKERS.pool(threads, threads_each=threads // at_once).map(work_in_context, items))


class _Workers:
    """Pools of threads, each made when it is first needed."""

    def __init__(self) -> None:
        self._pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
        self._lock = threading.Lock()

    def pool(self, threads: int, threads_each: int) -> ThreadPoolExecutor:
        """A pool whose workers use `threads` threads of torch in total, `threads_each` of them each."""
        key = (threads, threads_each)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = _start_pool(threads // threads_each, threads_each)
            return self._pools[key]

    def forget(self) -> None:
        """Drops all pools without waiting for their threads."""
        self._pools = {}
        self._lock = threading.Lock()


def _start_pool(workers: int, threads_each: int) -> ThreadPoolExecutor:
    threads = torch.get_num_threads()
    all_started = threading.Barrier(workers + 1)

    def initialize() -> None:
        # A thread's first call copies the global number: a later first call would undo the setting below.
        torch.get_num_threads()
        torch.set_num_threads(threads_each)
        all_started.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="map-in-threads")
    try:
        # Each task holds its thread until all have started, so each task starts a thread of its own.
        for _ in range(workers):
            pool.submit(initialize)
        all_started.wait()
    except BaseException:
        all_started.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        torch.set_num_threads(threads)
    return pool


_WORKERS = _Workers()
# A forked process inherits no thread but the one that forked, so it starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WORKERS.forget)
