"""Tables in Parquet, through the optional package pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.errors import DataError
from datamodules.readers.tables.columns import Record, Row, check_names, place_of

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile


def parquet_rows(path: str | Path, columns: Sequence[str | int]) -> Iterator[Row]:
    """The values of `columns` in each row. Only these columns are read."""
    with _parquet_file(path) as file:
        header = file.schema_arrow.names
        places = [place_of(column, header, str(path), named=True) for column in columns]
        for number, values in _parquet_values(file, places, path):
            yield Row(number, values)


def parquet_records(path: str | Path) -> Iterator[Record]:
    """All columns of each row."""
    with _parquet_file(path) as file:
        header = file.schema_arrow.names
        check_names(header, str(path))
        for number, values in _parquet_values(file, range(len(header)), path):
            yield Record(number, dict(zip(header, values, strict=True)))


@contextmanager
def _parquet_file(path: str | Path) -> Iterator[ParquetFile]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"{path}: Parquet needs a package: pip install lstm-zoo[arrow]") from error
    try:
        with ParquetFile(path) as file:
            yield file
    # UnicodeDecodeError: the name of a column is not UTF-8.
    except (OSError, ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a Parquet file, got: {error}") from error


def _parquet_values(
    file: ParquetFile, places: Sequence[int], path: str | Path
) -> Iterator[tuple[int, tuple[object, ...]]]:
    """The number of each row from 1, and its values in the columns at `places`."""
    header = file.schema_arrow.names
    names = [header[place] for place in places]
    # Arrow can choose among columns of one name by their numbers only, after all columns are read.
    repeated = any(header.count(name) > 1 for name in names)
    number = 0
    for batch in file.iter_batches(columns=None if repeated else names):
        chosen = (batch.column(column) for column in (places if repeated else names))
        try:
            rows = list(zip(*(column.to_pylist() for column in chosen), strict=True))
        # Bytes that are not UTF-8, or a kind of time that Python does not have.
        except ValueError as error:
            raise DataError(f"{path}: expected texts and labels after row {number}, got: {error}") from error
        yield from enumerate(rows, number + 1)
        number += len(rows)
