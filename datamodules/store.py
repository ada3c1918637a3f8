"""A split on disk: named columns of numbers in memory-mapped Arrow files, shared by all processes of a machine.

A store is a folder. Each of its shards has the ragged columns of some rows; its index has a flat column or the lengths
of a ragged one for all rows; its facts are plain values, such as a codec's state. The store knows nothing else of what
it holds.

A store is built under another name and then renamed, so that under its own name it is whole. While one process builds
it, others wait.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from datamodules.arrow_files import ArrowFile, Column, Columns, smallest, write_columns
from datamodules.errors import DataError
from datamodules.store_manifest import DamagedError, check_manifest, write_manifest
from zoo.batches.ragged import Integers, Ragged, ShardedRagged

FACTS = "facts.json"
INDEX = "index.arrow"
# Ends the name of a store that is not finished.
BUILDING = ".building"
# Rows to read before the memory of the files is released. A row brings up to 64 kB around it into memory.
RELEASE = 128


class StoreWriter:
    """Writes the files of a store into a folder that no other process uses.

    Args:
        folder: an empty folder.
        key: identifies the store.
    """

    def __init__(self, folder: Path, key: str):
        self.folder = folder
        self.key = key

    def write_shard(self, number: int, columns: Columns) -> dict[str, Integers]:
        """Writes the ragged columns of a number of rows, which follow those of the shard before.

        Returns:
            What belongs into the index: the flat columns, and the lengths of the ragged ones.
        """
        ragged = {name: column for name, column in columns.items() if isinstance(column, Ragged)}
        write_columns(_shard_file(self.folder, number), ragged, self.key)
        flat = {name: column for name, column in columns.items() if not isinstance(column, Ragged)}
        flat |= {f"{name}.lengths": column.lengths for name, column in ragged.items()}
        return {name: smallest(column) for name, column in flat.items()}

    def write_table(self, name: str, columns: Columns) -> None:
        """Writes a table of its own, whose columns have other rows than those of the shards."""
        write_columns(self.folder / f"{name}.arrow", columns, self.key)

    def finish(self, index: Mapping[str, Integers], facts: Mapping[str, object]) -> None:
        """Writes the index of all shards, the facts, and what the store consists of."""
        write_columns(self.folder / INDEX, index, self.key)
        (self.folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
        write_manifest(self.folder, self.key)
        for path in self.folder.iterdir():
            _flush(path)


class Store:
    """Reads a store. Its columns are views of memory-mapped files.

    Args:
        folder: the store.
        key: identifies it.

    Raises:
        DataError: a newer version has written it.
    """

    def __init__(self, folder: Path, key: str):
        self.folder = folder
        self.key = key
        names = check_manifest(folder, key)
        self.index = ArrowFile(folder / INDEX).columns
        self.facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        shards = sorted(int(Path(name).stem) for name in names if Path(name).stem.isdecimal())
        self._shards = [ArrowFile(_shard_file(folder, number)) for number in shards]
        self._read_rows = 0

    def flat(self, name: str) -> Integers:
        """A flat column of all rows."""
        column = self.index[name]
        if isinstance(column, Ragged):
            raise KeyError(name)
        return column

    def ragged(self, name: str) -> Ragged:
        """A ragged column of all rows."""
        parts = [cast(Ragged, shard.columns[name]) for shard in self._shards]
        return ShardedRagged(parts, self.flat(f"{name}.lengths"), on_take=self._release)

    def has(self, name: str) -> bool:
        """Whether there is such a ragged column."""
        return name in self._shards[0].columns

    def table(self, name: str) -> dict[str, Column]:
        """A table that was written by `StoreWriter.write_table`."""
        return ArrowFile(self.folder / f"{name}.arrow").columns

    def _release(self, rows: int) -> None:
        """Keeps the resident memory small. It is called with the number of rows that were read of a column.

        Without it, a training would seem to take as much memory as the store has bytes.
        """
        self._read_rows += rows
        if self._read_rows > RELEASE:
            self._read_rows = 0
            for shard in self._shards:
                shard.release()


def open_store(folder: Path, key: str, build: Callable[[StoreWriter], None]) -> Store:
    """Opens a store, which is built first where there is none, or only a damaged one.

    Args:
        folder: the folder of all stores.
        key: identifies the store: a hash of all that it is made of.
        build: writes a new store, `finish` last.

    Raises:
        DataError: a newer version has written it, or the folder cannot be written to.
    """
    own = folder / key
    try:
        return Store(own, key)
    except (DamagedError, OSError):
        pass
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(_lock_file(folder, key)):
            return _open_or_build(own, key, build)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: expected to write an encoded corpus there, got: {error.strerror or error}. "
            "Make room, set XDG_CACHE_HOME to another folder, or encode it in memory with --data.store false"
        ) from error


def _open_or_build(own: Path, key: str, build: Callable[[StoreWriter], None]) -> Store:
    """As `open_store`, in a process that has the lock: another one may have built it in the meantime."""
    try:
        return Store(own, key)
    except DamagedError as error:
        if own.exists():
            warnings.warn(f"{own} is damaged and built anew: {error}")
    building = own.with_name(f"{key}{BUILDING}")
    # A killed process may have left them.
    _remove(own)
    _remove(building)
    _remove_leftovers(own.parent)
    building.mkdir()
    build(StoreWriter(building, key))
    _flush(building)
    building.rename(own)
    _flush(own.parent)
    return Store(own, key)


def _remove_leftovers(folder: Path) -> None:
    """Removes what processes have left that were killed while they built other stores."""
    for building in folder.glob(f"*{BUILDING}"):
        try:
            with FileLock(_lock_file(folder, building.name.removesuffix(BUILDING)), timeout=0):
                _remove(building)
        except Timeout:
            # It is being built.
            continue


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _lock_file(folder: Path, key: str) -> Path:
    return folder / f"{key}.lock"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock of a store, once it is free. The system frees it if its process is killed."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process encodes this corpus: waiting for it", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _shard_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.arrow"


def _flush(path: Path) -> None:
    """Makes sure that a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
