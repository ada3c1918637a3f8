"""A split on disk: named columns of numbers in memory-mapped Arrow files, shared by all processes of a machine.

A store is a folder. Its shards have the ragged columns, a fixed number of rows each; its index has a flat column or the
lengths of a ragged one for all rows; its facts are plain values, such as a codec's state. The store knows nothing else
of what it holds.

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

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from datamodules.errors import DataError
from zoo.batches.ragged import Integers, Ragged, ShardedRagged, offsets_of

FORMAT = "lstm-zoo store"
# A store of an older version is built anew, and one of a newer version is refused.
VERSION = 1
MANIFEST = "manifest.json"
FACTS = "facts.json"
INDEX = "index.arrow"
# Rows of every shard but the last.
SHARD_ROWS = 1 << 15

Column = Ragged | Integers
Columns = Mapping[str, Column]


class _DamagedError(Exception):
    """What is under the name of a store is not a whole store of this version."""


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
        """Writes the ragged columns of `SHARD_ROWS` rows, or of fewer in the last shard.

        Returns:
            What belongs into the index: the flat columns, and the lengths of the ragged ones.
        """
        ragged = {name: column for name, column in columns.items() if isinstance(column, Ragged)}
        _write(self.folder / f"{number:05}.arrow", ragged, self.key)
        flat = {name: column for name, column in columns.items() if not isinstance(column, Ragged)}
        return {**flat, **{f"{name}.lengths": column.lengths for name, column in ragged.items()}}

    def write_table(self, name: str, columns: Columns) -> None:
        """Writes a table of its own, whose columns have other rows than those of the shards."""
        _write(self.folder / f"{name}.arrow", columns, self.key)

    def finish(self, index: Mapping[str, Integers], facts: Mapping[str, object]) -> None:
        """Writes the index of all shards, the facts, and what the store consists of."""
        smallest = {name: column.astype(_smallest_type(column)) for name, column in index.items()}
        _write(self.folder / INDEX, smallest, self.key)
        (self.folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
        files = {path.name: path.stat().st_size for path in sorted(self.folder.iterdir())}
        manifest = {"format": FORMAT, "version": VERSION, "key": self.key, "files": files}
        (self.folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
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
        self._files = _checked_manifest(folder, key)
        self.index = _read(folder / INDEX, key)
        self.facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        shards = sorted(name for name in self._files if name.removesuffix(".arrow").isdecimal())
        self._shards = [_read(folder / name, key) for name in shards]

    def flat(self, name: str) -> Integers:
        """A flat column of all rows."""
        column = self.index[name]
        if isinstance(column, Ragged):
            raise KeyError(name)
        return column

    def ragged(self, name: str) -> Ragged:
        """A ragged column of all rows."""
        parts = [cast(Ragged, shard[name]) for shard in self._shards]
        return ShardedRagged(parts, SHARD_ROWS, self.flat(f"{name}.lengths"))

    def has(self, name: str) -> bool:
        """Whether there is such a ragged column."""
        return name in self._shards[0]

    def table(self, name: str) -> dict[str, Column]:
        """A table that was written by `StoreWriter.write_table`."""
        return _read(self.folder / f"{name}.arrow", self.key)


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
    except (_DamagedError, OSError):
        pass
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key}.lock"):
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
    except _DamagedError as error:
        if own.exists():
            warnings.warn(f"{own} is damaged and built anew: {error}")
    building = own.with_name(f"{key}.building")
    # A killed process has left them.
    for leftover in (own, building):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
    building.mkdir()
    build(StoreWriter(building, key))
    _flush(building)
    building.rename(own)
    _flush(own.parent)
    return Store(own, key)


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


def _checked_manifest(folder: Path, key: str) -> dict[str, int]:
    """The files of a store and their sizes.

    Raises:
        _DamagedError: it is no store, another one, one of an older version, or one whose files are not whole.
        DataError: a newer version has written it.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        format, version, files = manifest["format"], manifest["version"], dict(manifest["files"])
        sizes = {name: (folder / name).stat().st_size for name in files}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _DamagedError(str(error)) from error
    if format == FORMAT and version > VERSION:
        raise DataError(
            f"{folder}: a newer lstm-zoo has encoded this corpus (version {version}, this one reads {VERSION}). Update "
            "lstm-zoo, or remove the folder"
        )
    if format != FORMAT or version < VERSION or manifest["key"] != key:
        raise _DamagedError("it is of an older version, or no store of this corpus")
    for name, size in files.items():
        if sizes[name] != size:
            raise _DamagedError(f"{name} has {sizes[name]} bytes of {size}")
    return files


def _write(path: Path, columns: Columns, key: str) -> None:
    """Writes columns of equally many rows as an Arrow file of one batch."""
    arrow = import_arrow("a store")
    arrays = {}
    for name, column in columns.items():
        if isinstance(column, Ragged):
            offsets = offsets_of(column.lengths)
            arrays[name] = arrow.LargeListArray.from_arrays(offsets, arrow.array(np.asarray(column.values)))
        elif column.ndim == 2:
            flat = arrow.array(np.ascontiguousarray(column).reshape(-1))
            arrays[name] = arrow.FixedSizeListArray.from_arrays(flat, column.shape[1])
        else:
            arrays[name] = arrow.array(column)
    batch = arrow.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    schema = batch.schema.with_metadata({"key": key})
    with arrow.OSFile(str(path), "wb") as file, arrow.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def _read(path: Path, key: str) -> dict[str, Column]:
    """The columns of a file as views of it, without a copy.

    Raises:
        _DamagedError: it is not such a file.
    """
    arrow = import_arrow("a store")
    try:
        batch = arrow.ipc.open_file(arrow.memory_map(str(path))).get_batch(0)
    except (OSError, arrow.ArrowInvalid, IndexError) as error:
        raise _DamagedError(f"{path.name}: {error}") from error
    if (batch.schema.metadata or {}).get(b"key") != key.encode():
        raise _DamagedError(f"{path.name} belongs to another store")
    return {name: _view(batch.column(name)) for name in batch.schema.names}


def _view(array: Any) -> Column:
    """An Arrow array as a numpy view."""
    arrow = import_arrow("a store")
    if arrow.types.is_large_list(array.type):
        return Ragged(array.values.to_numpy(), array.offsets.to_numpy())
    if arrow.types.is_fixed_size_list(array.type):
        flat: NDArray[Any] = array.values.to_numpy()
        return flat.reshape(-1, array.type.list_size)
    view: NDArray[Any] = array.to_numpy()
    return view


def import_arrow(use: str) -> Any:
    """The package pyarrow, which is optional.

    Raises:
        DataError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise DataError(f"{use} needs a package: pip install lstm-zoo[arrow]") from error
    return pyarrow


def _smallest_type(column: Integers) -> np.dtype[Any]:
    """The smallest unsigned type that holds the values of a column."""
    return np.min_scalar_type(int(column.max(initial=0)))


def _flush(path: Path) -> None:
    """Makes sure that a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
