"""Encodes a large corpus into a store, in parallel: examples are read one after the other, and never all held.

The first pass splits the texts of the examples and counts what the codec is fitted on; what it has split waits in
files. The second pass turns that into ids.
"""

from __future__ import annotations

import marshal
import multiprocessing
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from datamodules.errors import DataError
from datamodules.store import SHARD_ROWS, Columns, StoreWriter
from zoo.batches.ragged import Integers

# Texts of a large corpus that a sentencepiece model is trained on.
SAMPLE = 500_000

Example = TypeVar("Example")
Counts = TypeVar("Counts")
Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Encoder(Protocol[Example, Counts]):
    """What a task does with its examples. All but `examples`, `fit` and `tables` runs in other processes."""

    def examples(self) -> Iterator[Example]:
        """The examples of the split, one after the other."""

    def prepare(self, examples: list[Example]) -> tuple[list[Any], Counts]:
        """Splits examples into plain lists, tuples, strings and numbers, and counts them."""

    def merge(self, counts: Counts, more: Counts) -> None:
        """Adds the counts of the next examples to those of the first."""

    def fit(self, counts: Counts) -> None:
        """Takes the counts of all examples: afterwards `encode` can be called."""

    def encode(self, prepared: list[Any]) -> Columns:
        """The columns of prepared examples."""

    def tables(self) -> dict[str, Columns]:
        """Columns with other rows than the examples."""

    def facts(self) -> dict[str, object]:
        """Plain values to keep."""


class StoreBuilder(Generic[Example, Counts]):
    """Builds a store out of the examples of an encoder.

    Args:
        encoder: what the task does with them.
        name: of the split, for the progress bar.
    """

    def __init__(self, encoder: Encoder[Example, Counts], name: str):
        self.encoder = encoder
        self.name = name

    def __call__(self, writer: StoreWriter) -> None:
        with progress_bar() as bar:
            task = bar.add_task(f"reading {self.name}", total=None)
            counts: Counts | None = None
            rows: list[int] = []
            chunks = enumerate(chunked(self.encoder.examples(), SHARD_ROWS))
            prepare = _Prepare(self.encoder, writer.folder)
            for size, more in in_processes(prepare, chunks):
                rows.append(size)
                bar.advance(task, size)
                if counts is None:
                    counts = more
                else:
                    self.encoder.merge(counts, more)
            if counts is None:
                raise DataError(f"{self.name}: expected examples, got none")
            self.encoder.fit(counts)
            bar.remove_task(task)
            task = bar.add_task(f"encoding {self.name}", total=sum(rows))
            index: list[dict[str, Integers]] = []
            for size, flat in in_processes(_Encode(self.encoder, writer), enumerate(rows)):
                index.append(flat)
                bar.advance(task, size)
            for name, columns in self.encoder.tables().items():
                writer.write_table(name, columns)
        joined = {name: np.concatenate([flat[name] for flat in index]) for name in index[0]}
        writer.finish(joined, self.encoder.facts())


class _Prepare(Generic[Example, Counts]):
    """The first pass over one chunk of examples; its prepared examples go into a file."""

    def __init__(self, encoder: Encoder[Example, Counts], folder: Path):
        self.encoder = encoder
        self.folder = folder

    def __call__(self, item: tuple[int, list[Example]]) -> tuple[int, Counts]:
        number, examples = item
        prepared, counts = self.encoder.prepare(examples)
        _prepared_file(self.folder, number).write_bytes(marshal.dumps(prepared))
        return len(examples), counts


class _Encode(Generic[Example, Counts]):
    """The second pass over one chunk of examples: its columns become a shard."""

    def __init__(self, encoder: Encoder[Example, Counts], writer: StoreWriter):
        self.encoder = encoder
        self.writer = writer

    def __call__(self, item: tuple[int, int]) -> tuple[int, dict[str, Integers]]:
        number, size = item
        path = _prepared_file(self.writer.folder, number)
        columns = self.encoder.encode(marshal.loads(path.read_bytes()))
        path.unlink()
        return size, self.writer.write_shard(number, columns)


def _prepared_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.prepared"


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items each; the last one may have fewer.

    >>> list(chunked("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def sampled(items: Iterable[Item], size: int = SAMPLE) -> list[Item]:
    """So many of the items, or all if they are fewer, each with the same probability; the same ones each time."""
    generator = random.Random(0)
    sample: list[Item] = []
    for seen, item in enumerate(items):
        if seen < size:
            sample.append(item)
        elif (place := generator.randrange(seen + 1)) < size:
            sample[place] = item
    return sample


def in_processes(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results of `work` in the order of the items, from as many processes as there are cores.

    The processes are forked, so that `work` may be any object. Where the system cannot fork, all is done in this
    process.

    Raises:
        DataError: a process was killed.
    """
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers == 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_take_up, initargs=(work,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(_do, item))
                # More would only fill the memory.
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "expected the processes that encode a corpus to live, got one that was killed, perhaps for want of "
                "memory. Start again on fewer cores (taskset), or with more memory"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


# What this process, if it belongs to a pool, does with each item.
_work: Callable[[Any], Any]


def _take_up(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work


def _do(item: Any) -> Any:
    return _work(item)


def progress_bar() -> Progress:
    """A bar on the error stream, with the number of examples."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"))
    return Progress(*columns, TaskProgressColumn(), TimeElapsedColumn(), console=Console(stderr=True))
