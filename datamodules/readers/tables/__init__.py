"""Tables in CSV, TSV, JSON, Parquet, Excel and fastText: chosen columns or all of them, a row at a time.

* CSV: fields separated by commas, semicolons, tabs or vertical bars, and quoted where necessary (`separated`).
* TSV: fields separated by tabs. A quote is a character like any other, except in files that pandas has quoted.
* JSON: an object a line (JSON Lines), or an array of objects (`json_objects`).
* Parquet: needs the package pyarrow, `pip install lstm-zoo[arrow]`.
* Excel: the first sheet of a workbook (`spreadsheet`); needs the package openpyxl, `pip install lstm-zoo[excel]`.
* fastText: a text a line, with its labels before it (`fasttext`). It has no ending of its own.

All but Parquet and Excel may be compressed, as `.csv.gz` for example (`datamodules.readers.compression`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from datamodules.errors import DataError
from datamodules.readers.compression import unpacked_name
from datamodules.readers.file_parts import Parted
from datamodules.readers.tables.cells import CellRows, records_of, rows_of
from datamodules.readers.tables.columns import Record, Row, is_number, require_text
from datamodules.readers.tables.fasttext import fasttext_records, fasttext_rows, is_fasttext
from datamodules.readers.tables.json_objects import json_parts, json_records, json_rows
from datamodules.readers.tables.parquet import parquet_records, parquet_rows
from datamodules.readers.tables.separated import separated_cells, separated_parts
from datamodules.readers.tables.spreadsheet import spreadsheet_cells
from datamodules.readers.text_files import can_be_cut

__all__ = ["CELL_FORMATS", "ENDINGS", "FORMATS", "Record", "Row"]
__all__ += ["format_of", "has_header", "is_number", "read_records", "read_rows", "require_text", "row_parts"]

# Formats whose first row may name the columns.
SEPARATED = ("csv", "tsv")
CELL_FORMATS = (*SEPARATED, "xlsx")
# Formats with a name for each value.
ROW_FORMATS: dict[str, Callable[[str | Path, Sequence[str | int]], Iterator[Row]]] = {
    "fasttext": fasttext_rows,
    "jsonl": json_rows,
    "parquet": parquet_rows,
}
RECORD_FORMATS: dict[str, Callable[[str | Path], Iterator[Record]]] = {
    "fasttext": fasttext_records,
    "jsonl": json_records,
    "parquet": parquet_records,
}
FORMATS = tuple(sorted([*CELL_FORMATS, *ROW_FORMATS]))
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}


def format_of(path: str | Path) -> str:
    """The format that the file's ending names, or "fasttext" if its first line begins with a label.

    >>> format_of("reviews.CSV.gz"), format_of("reviews.json")
    ('csv', 'jsonl')

    Raises:
        DataError: the ending is none of `ENDINGS`, and the file is not in the format of fastText.
    """
    ending = Path(unpacked_name(path)).suffix.lower()
    if ending in ENDINGS:
        return ENDINGS[ending]
    if Path(path).is_file() and is_fasttext(path):
        return "fasttext"
    known = ", ".join(ENDINGS)
    raise DataError(
        f"{path}: expected a file that ends in {known}, or lines that begin with __label__; or name its format with "
        "--data.format"
    )


def has_header(columns: Sequence[str | int]) -> bool:
    """Whether a table of cells has a header where nobody says: it has, unless all columns are given by numbers.

    >>> has_header(["text", "label"]), has_header(["text", 0]), has_header(["-1", 0])
    (True, True, False)
    """
    return not all(map(is_number, columns))


def read_rows(
    path: str | Path, columns: Sequence[str | int], *, format: str | None = None, header: bool | None = None
) -> Iterator[Row]:
    """The values of chosen columns, row by row. Blank lines are no rows.

    >>> from datamodules import locate
    >>> next(read_rows(locate("sample-topics")["dev"], ["text", "label"]))
    Row(line=2, values=('The team equalised in stoppage time and won on penalties.', 'sport'))

    Args:
        path: the file, in UTF-8 or, with a byte-order mark, in UTF-16.
        columns: a name, or a number, 0 the first and -1 the last, for each; in JSON numbers count the first object's
            keys.
        format: one of `FORMATS`, where "tsv" has no quotes; by default `format_of` the file.
        header: whether the first row of CSV, TSV and Excel names the columns; by default `has_header`.

    Raises:
        DataError: the file is missing, not UTF-8 or not in its format; there is no such column (the header is shown),
            or there are two of that name; a row has more or fewer columns than the first.
    """
    kind = format or format_of(path)
    if kind in ROW_FORMATS:
        return ROW_FORMATS[kind](path, columns)
    return rows_of(_cells(path, format), columns, path, named=has_header(columns) if header is None else header)


def row_parts(
    path: str | Path, columns: Sequence[str | int], *, format: str | None = None, header: bool | None = None
) -> Parted[Row] | None:
    """The same rows as `read_rows`, in parts. None for a file that cannot be cut, or has no row."""
    kind = format or format_of(path)
    if kind == "jsonl" and can_be_cut(path):
        return json_parts(path, columns)
    if kind in SEPARATED and can_be_cut(path):
        named = has_header(columns) if header is None else header
        return separated_parts(path, columns, _told(kind, format), named=named)
    return None


def read_records(path: str | Path, *, format: str | None = None, header: bool | None = None) -> Iterator[Record]:
    """All columns by name, row by row. Blank lines are no rows.

    >>> from datamodules import locate
    >>> next(read_records(locate("sample-topics")["dev"])).fields
    {'label': 'sport', 'text': 'The team equalised in stoppage time and won on penalties.'}

    Args:
        path, format: as in `read_rows`.
        header: whether the first row of CSV, TSV and Excel names the columns; by default it does.

    Raises:
        DataError: the file is missing, not UTF-8 or not in its format; two columns have the same name; a row has more
            or fewer columns than the first.
    """
    kind = format or format_of(path)
    if kind in RECORD_FORMATS:
        return RECORD_FORMATS[kind](path)
    return records_of(_cells(path, format), path, named=header is not False)


def _cells(path: str | Path, format: str | None) -> CellRows:
    """The cells of a table in one of `CELL_FORMATS`."""
    kind = format or format_of(path)
    return separated_cells(path, _told(kind, format)) if kind in SEPARATED else spreadsheet_cells(path)


def _told(kind: str, format: str | None) -> str | None:
    """The format to read a table of fields in; None if a file's ending says "tsv", which pandas may have quoted."""
    return format if kind == "tsv" else kind
