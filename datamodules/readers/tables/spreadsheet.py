"""Spreadsheets of Excel (.xlsx), through the optional package openpyxl: the first sheet of a workbook.

A cell is read as the text that it has in a CSV file of the same sheet, whatever its kind. A formula has the value that
it had when the file was saved.
"""

from __future__ import annotations

import datetime
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile, ZipFile

from datamodules.errors import DataError
from zoo.errors import shown

# The largest number of bytes that a workbook unpacks to: openpyxl holds all of its distinct texts.
MAX_UNPACKED = 1 << 30
# What openpyxl raises for a file that is damaged or no workbook.
NOT_A_WORKBOOK = (
    ArithmeticError, AttributeError, BadZipFile, EOFError, LookupError, NotImplementedError, OSError, ParseError,
    RuntimeError, TypeError, ValueError, zlib.error,
)  # fmt: skip


def spreadsheet_cells(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that is not blank, with the number of the row.

    All rows have as many cells as the first one has up to its last one that is not empty.
    """
    width = 0
    for number, values in _rows(path):
        row = [_text(value) for value in values]
        while row and not row[-1]:
            row.pop()
        if not row:
            continue
        width = width or len(row)
        if len(row) > width:
            raise DataError(
                f"{path}:{number}: expected {width} columns as in the first row, got {shown(row[-1])} in column "
                f"{len(row)}: give each column a name in the first row, or empty the cell"
            )
        yield number, row + [""] * (width - len(row))


def _rows(path: str | Path) -> Iterator[tuple[int, tuple[object, ...]]]:
    """The values of each row, with the number of the row."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise DataError(f"{path}: .xlsx needs a package: pip install lstm-zoo[excel]; or save it as CSV") from error
    try:
        _check_size(path)
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            rows: Iterator[Any] = iter(book.worksheets[0].iter_rows(values_only=True))
            yield from enumerate(rows, 1)
        finally:
            book.close()
    except DataError:
        raise
    except NOT_A_WORKBOOK as error:
        reason = getattr(error, "strerror", None) or shown(str(error))
        raise DataError(f"{path}: expected a workbook (.xlsx), got: {reason}. Save it again, best as CSV") from error


def _check_size(path: str | Path) -> None:
    with ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > MAX_UNPACKED:
        raise DataError(
            f"{path}: expected a workbook of at most {MAX_UNPACKED:,} bytes when it is unpacked, got {size:,} from "
            f"{os.path.getsize(path):,}. Save the sheet as CSV"
        )


def _text(value: object) -> str:
    """A value as a CSV file has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime.datetime) and value.time() == datetime.time.min:
        return value.date().isoformat()
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    return str(value)
