"""Tables in CSV, TSV, JSON and Parquet: chosen columns or all of them, a row at a time.

* CSV: fields separated by commas, semicolons or tabs, and quoted where necessary (`separated`).
* TSV: fields separated by tabs. A quote is a character like any other, except in files that pandas has quoted.
* JSON: an object a line (JSON Lines), or an array of objects (`json_objects`).
* Parquet: needs the package pyarrow, `pip install lstm-zoo[arrow]`.

All but Parquet may be compressed with gzip, as `.csv.gz` for example.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.errors import DataError
from datamodules.readers.file_parts import Parted
from datamodules.readers.tables.columns import Record, Row, is_number, require_text
from datamodules.readers.tables.json_objects import json_parts, json_records, json_rows
from datamodules.readers.tables.parquet import parquet_records, parquet_rows
from datamodules.readers.tables.separated import separated_parts, separated_records, separated_rows
from datamodules.readers.text_files import can_be_cut

__all__ = ["ENDINGS", "FORMATS", "SEPARATED_FORMATS", "Record", "Row"]
__all__ += ["format_of", "has_header", "is_number", "read_records", "read_rows", "require_text", "row_parts"]

FORMATS = ("csv", "jsonl", "parquet", "tsv")
SEPARATED_FORMATS = ("csv", "tsv")
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


def format_of(path: str | Path) -> str:
    """The format that the file's ending names.

    >>> format_of("reviews.CSV.gz"), format_of("reviews.json")
    ('csv', 'jsonl')

    Raises:
        DataError: the ending is none of `ENDINGS`.
    """
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    if ending not in ENDINGS:
        known = ", ".join(ENDINGS)
        raise DataError(f"{path}: expected a file that ends in {known}; or name its format with --data.format")
    return ENDINGS[ending]


def has_header(columns: Sequence[str | int]) -> bool:
    """Whether a CSV or TSV file has a header where nobody says: it has, unless all columns are given by numbers.

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
        format: one of `FORMATS`, where "tsv" has no quotes; by default what the file's ending says.
        header: whether the first line of CSV and TSV names the columns; by default `has_header`.

    Raises:
        DataError: the file is missing, not UTF-8 or not in its format; there is no such column (the header is shown),
            or there are two of that name; a row has more or fewer columns than the first.
    """
    kind = format or format_of(path)
    if kind == "parquet":
        return parquet_rows(path, columns)
    if kind == "jsonl":
        return json_rows(path, columns)
    return separated_rows(path, columns, format, named=has_header(columns) if header is None else header)


def row_parts(
    path: str | Path, columns: Sequence[str | int], *, format: str | None = None, header: bool | None = None
) -> Parted[Row] | None:
    """The same rows as `read_rows`, in parts. None for a file that cannot be cut, or has no row."""
    kind = format or format_of(path)
    if kind == "parquet" or not can_be_cut(path):
        return None
    if kind == "jsonl":
        return json_parts(path, columns)
    return separated_parts(path, columns, format, named=has_header(columns) if header is None else header)


def read_records(path: str | Path, *, format: str | None = None, header: bool | None = None) -> Iterator[Record]:
    """All columns by name, row by row. Blank lines are no rows.

    >>> from datamodules import locate
    >>> next(read_records(locate("sample-topics")["dev"])).fields
    {'label': 'sport', 'text': 'The team equalised in stoppage time and won on penalties.'}

    Args:
        path, format: as in `read_rows`.
        header: whether the first line of CSV and TSV names the columns; by default it does.

    Raises:
        DataError: the file is missing, not UTF-8 or not in its format; two columns have the same name; a row has more
            or fewer columns than the first.
    """
    kind = format or format_of(path)
    if kind == "parquet":
        return parquet_records(path)
    if kind == "jsonl":
        return json_records(path)
    return separated_records(path, format, named=header is not False)
