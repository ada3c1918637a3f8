"""Named columns of numbers in Arrow files, which are memory-mapped to be read."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.errors import DataError
from zoo.batches.ragged import Integers, Ragged, offsets_of

Column = Ragged | Integers
Columns = Mapping[str, Column]


class ArrowFile:
    """A file of `write_columns`.

    Args:
        path: the file.

    Attributes:
        columns: the columns, as views of the file.
    """

    def __init__(self, path: Path):
        arrow = import_arrow("a store")
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        batch = arrow.ipc.open_file(arrow.BufferReader(arrow.py_buffer(self._map))).get_batch(0)
        self.columns = {name: _view(batch.column(name)) for name in batch.schema.names}

    def release(self) -> None:
        """Lets the system count what was read of the file as free memory; it is read again where it is needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def write_columns(path: Path, columns: Columns, key: str) -> None:
    """Writes columns of equally many rows, each in the smallest type that holds it, and the key of their store."""
    arrow = import_arrow("a store")
    arrays = {}
    for name, column in columns.items():
        if isinstance(column, Ragged):
            values = arrow.array(smallest(column.values))
            arrays[name] = arrow.LargeListArray.from_arrays(offsets_of(column.lengths), values)
        elif column.ndim == 2:
            values = arrow.array(smallest(column).reshape(-1))
            arrays[name] = arrow.FixedSizeListArray.from_arrays(values, column.shape[1])
        else:
            arrays[name] = arrow.array(smallest(column))
    batch = arrow.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    schema = batch.schema.with_metadata({"key": key})
    with arrow.OSFile(str(path), "wb") as file, arrow.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def smallest(column: Integers) -> Integers:
    """A column of the smallest unsigned type that holds its values."""
    return np.ascontiguousarray(column, dtype=np.min_scalar_type(int(column.max(initial=0))))


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


def _view(array: Any) -> Column:
    """An Arrow array as a numpy view."""
    arrow = import_arrow("a store")
    if arrow.types.is_large_list(array.type):
        return Ragged(_numbers(array.values), _numbers(array.offsets))
    if arrow.types.is_fixed_size_list(array.type):
        return _numbers(array.values).reshape(-1, array.type.list_size)
    return _numbers(array)


def _numbers(array: Any) -> Integers:
    """A flat Arrow array as a numpy view. Arrow's own `to_numpy` imports pandas."""
    _, content = array.buffers()
    return np.frombuffer(content, dtype=str(array.type), count=len(array))
