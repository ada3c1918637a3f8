"""Tables whose rows are cells without names: their first row may be a header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from datamodules.readers.tables.columns import Record, Row, check_names, place_of

# The cells of each row, with the number of its first line.
CellRows = Iterable[tuple[int, Sequence[str]]]


def rows_of(cells: CellRows, columns: Sequence[str | int], path: str | Path, *, named: bool) -> Iterator[Row]:
    """The values of `columns` in each row.

    Args:
        cells: all rows. They have the same number of cells.
        columns: names or numbers of columns.
        path: the file, for messages.
        named: whether the first row names the columns.
    """
    places: list[int] = []
    for line, row in cells:
        if not places:
            places = [place_of(column, row, f"{path}:{line}", named=named) for column in columns]
            if named:
                continue
        yield Row(line, tuple(row[place] for place in places))


def records_of(cells: CellRows, path: str | Path, *, named: bool) -> Iterator[Record]:
    """All columns of each row; the arguments are those of `rows_of`."""
    names: list[str] = []
    for line, row in cells:
        if not names:
            names = list(row) if named else [str(place) for place in range(len(row))]
            check_names(names, f"{path}:{line}")
            if named:
                continue
        yield Record(line, dict(zip(names, row, strict=True)))
