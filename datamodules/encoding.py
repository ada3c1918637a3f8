"""Encodes a large corpus into a store, part by part, in as many processes as there are cores.

The first pass reads the examples of a part, splits their texts and counts what the codec is fitted on; what it has
split waits in files. The second pass turns that into ids. The result does not depend on the number of processes.
"""

from __future__ import annotations

import marshal
import multiprocessing
import os
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from threading import Thread
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from datamodules.arrow_files import Columns, smallest
from datamodules.errors import DataError
from datamodules.readers.file_parts import Parted
from datamodules.store import StoreWriter
from zoo.batches.ragged import Integers

# Texts of a large corpus that a sentencepiece model is trained on.
SAMPLE = 500_000

# The type of integers, and their bytes.
Packed = tuple[str, bytes]

Example = TypeVar("Example")
Counts = TypeVar("Counts")
Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Encoder(Protocol[Example, Counts]):
    """What a task does with its examples. `prepare` and `encode` run in other processes."""

    source: Parted[Example]
    """The examples of the split."""

    def prepare(self, examples: list[Example]) -> tuple[Any, Counts]:
        """Splits examples into plain lists, tuples, strings, bytes and numbers, and counts them."""

    def merge(self, counts: Counts, more: Counts) -> None:
        """Adds the counts of the next examples to those of the first."""

    def fit(self, counts: Counts) -> None:
        """Takes the counts of all examples: afterwards `encode` can be called."""

    def encode(self, prepared: Any) -> Columns:
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
            parts, counts = self._prepare(writer, bar)
            self.encoder.fit(counts)
            index = self._encode(writer, parts, bar)
            for name, columns in self.encoder.tables().items():
                writer.write_table(name, columns)
        writer.finish(index, self.encoder.facts())

    def _prepare(self, writer: StoreWriter, bar: Progress) -> tuple[list[_Prepared], Counts]:
        """The parts that have examples, whose counts are added up in order."""
        source = self.encoder.source
        unit = "examples" if source.size is None else "bytes"
        task = bar.add_task(f"reading {self.name}", total=source.size, unit=unit)
        counts: Counts | None = None
        parts = []
        for part, more in in_processes(_Prepare(self.encoder, writer.folder), enumerate(source.parts())):
            bar.advance(task, part.size)
            if not part.examples:
                continue
            parts.append(part)
            if counts is None:
                counts = more
            else:
                self.encoder.merge(counts, more)
        if counts is None:
            raise DataError(f"{self.name}: expected examples, got none")
        bar.remove_task(task)
        return parts, counts

    def _encode(self, writer: StoreWriter, parts: list[_Prepared], bar: Progress) -> dict[str, Integers]:
        """The index of all parts, each of which becomes a shard."""
        total = sum(part.examples for part in parts)
        task = bar.add_task(f"encoding {self.name}", total=total, unit="examples")
        index: list[dict[str, Integers]] = []
        for part, flat in zip(parts, in_processes(_Encode(self.encoder, writer), enumerate(parts)), strict=True):
            index.append(flat)
            bar.advance(task, part.examples)
        return {name: np.concatenate([flat[name] for flat in index]) for name in index[0]}


class _Prepared(NamedTuple):
    """A part after the first pass."""

    number: int
    size: int
    examples: int


class _Prepare(Generic[Example, Counts]):
    """The first pass over one part; its prepared examples go into a file."""

    def __init__(self, encoder: Encoder[Example, Counts], folder: Path):
        self.encoder = encoder
        self.folder = folder

    def __call__(self, item: tuple[int, Any]) -> tuple[_Prepared, Counts]:
        number, part = item
        source = self.encoder.source
        examples = list(source.read(part))
        prepared, counts = self.encoder.prepare(examples)
        _prepared_file(self.folder, number).write_bytes(marshal.dumps(prepared))
        return _Prepared(number, source.size_of(part), len(examples)), counts


class _Encode(Generic[Example, Counts]):
    """The second pass over one part: its columns become a shard."""

    def __init__(self, encoder: Encoder[Example, Counts], writer: StoreWriter):
        self.encoder = encoder
        self.writer = writer

    def __call__(self, item: tuple[int, _Prepared]) -> dict[str, Integers]:
        shard, part = item
        path = _prepared_file(self.writer.folder, part.number)
        columns = self.encoder.encode(marshal.loads(path.read_bytes()))
        path.unlink()
        return self.writer.write_shard(shard, columns)


def _prepared_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.prepared"


def numbered(strings: Iterable[str]) -> tuple[list[str], NDArray[np.int32]]:
    """The distinct strings in the order in which they first occur, and for each string its position among them.

    >>> distinct, ids = numbered(["b", "a", "b"])
    >>> distinct, ids.tolist()
    (['b', 'a'], [0, 1, 0])
    """
    places: defaultdict[str, int] = defaultdict()
    places.default_factory = places.__len__
    ids = np.fromiter(map(places.__getitem__, strings), dtype=np.int32)
    return list(places), ids


def packed(values: Integers) -> Packed:
    """Integers from 0 as plain values that take little room."""
    values = smallest(values)
    return values.dtype.str, values.tobytes()


def unpacked(values: Packed) -> Integers:
    """The integers of `packed`."""
    kind, content = values
    return np.frombuffer(content, dtype=kind)


def counter(distinct: list[str], ids: NDArray[np.int32]) -> Counter[str]:
    """How often each of the distinct strings occurs."""
    return Counter(dict(zip(distinct, np.bincount(ids).tolist(), strict=True)))


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
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the one that has started it is gone. A killed one cannot end it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(item: Any) -> Any:
    return _work(item)


def progress_bar() -> Progress:
    """A bar on the error stream; each task has a `unit`."""
    done = TextColumn("{task.completed:,.0f} {task.fields[unit]}")
    columns = (TextColumn("{task.description}"), BarColumn(), done)
    return Progress(*columns, TaskProgressColumn(), TimeElapsedColumn(), console=Console(stderr=True))
