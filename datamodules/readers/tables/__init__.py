"""From a table to texts with what belongs to them, a label for example: CSV, TSV, JSON and Parquet.

* CSV: fields separated by commas, semicolons or tabs, quoted where need be (`separated`).
* TSV: fields separated by tabs; a quote is a character like any other, except in files that pandas quoted.
* JSON: an object a line (JSON Lines), or an array of objects (`json_objects`).
* Parquet: with the package pyarrow, `pip install lstm-zoo[parquet]`.

All but Parquet may be compressed with gzip, as `.csv.gz` for example.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.readers.tables.columns import Record, Row, is_number
from datamodules.readers.tables.json_objects import json_records, json_rows
from datamodules.readers.tables.parquet import parquet_records, parquet_rows
from datamodules.readers.tables.separated import separated_records, separated_rows
from datamodules.readers.text_files import DataError
from zoo.errors import cut, shown

__all__ = ["FORMATS", "SEPARATOR", "LabelledText", "Record", "Row", "format_of", "is_number", "read_records"]
__all__ += ["read_rows", "read_table", "require_text"]

SEPARATED = ("csv", "tsv")
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
SEPARATOR = "|"  # between the labels of a text that has several
FEW = 10  # rows in which a label may well occur once


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, its labels (one, unless the task is to find several), and its line or row in its file."""

    text: str
    labels: tuple[str, ...]
    line: int


def format_of(path: str | Path) -> str:
    """The format that a file's ending tells.

    Raises:
        DataError: it tells none.
    """
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    if ending not in FORMATS:
        known = ", ".join(FORMATS)
        raise DataError(f"{path}: expected a file that ends in {known}; or name its format with --data.format")
    return FORMATS[ending]


def read_table(
    path: str | Path,
    text_column: str | int = "text",
    label_column: str | int = "label",
    *,
    format: str | None = None,
    header: bool | None = None,
    multi_label: bool = False,
) -> list[LabelledText]:
    """The rows of a table. Blank lines are no rows; a row without a text is an empty text.

    Args:
        path: the file, in UTF-8 or, with a byte-order mark, in UTF-16.
        text_column: where the text is: a name, or a number, 0 the first and -1 the last; in JSON Lines of the
            first object's keys.
        label_column: likewise the label.
        format: "csv", "tsv" (without quotes), "jsonl" or "parquet"; by default what the file's ending says.
        header: whether the first line names the columns (CSV, TSV); by default it does, unless both columns
            are numbers.
        multi_label: whether a text has any number of labels, with "|" between them, or a list in JSON Lines
            and Parquet.

    Raises:
        DataError: the file is missing, no UTF-8, not in its format, or without a row; there is no such column (the
            header is shown), or two of that name; a row has more or fewer columns than the first; a text is no text; a
            label is missing, or has a tab or line end inside; by its label, the first row looks like a header.
    """
    texts = []
    for row in read_rows(path, (text_column, label_column), format=format, header=header):
        text = require_text(row.text, text_column, f"{path}:{row.line}")
        texts.append(LabelledText(text, _labels(row, path, label_column, multi_label), row.line))
    if not texts:
        raise DataError(f"{path}: expected texts with a label each, got none")
    if header is None and (format or format_of(path)) in SEPARATED and not _has_header((text_column, label_column)):
        _refuse_header(texts, path)
    return texts


def read_rows(
    path: str | Path, columns: tuple[str | int, str | int], *, format: str | None = None, header: bool | None = None
) -> Iterator[Row]:
    """Two columns of a table, whatever is in them; arguments and errors as of `read_table`."""
    kind = format or format_of(path)
    if kind == "parquet":
        return parquet_rows(path, columns)
    if kind == "jsonl":
        return json_rows(path, columns)
    return separated_rows(path, columns, format, named=_has_header(columns) if header is None else header)


def read_records(path: str | Path, *, format: str | None = None, header: bool | None = None) -> Iterator[Record]:
    """All columns of a table, whatever is in them, a row at a time.

    Args:
        path, format: as of `read_table`.
        header: whether the first line names the columns (CSV, TSV); by default it does.

    Raises:
        DataError: the file is missing, no UTF-8 or not in its format; two columns have the same name; a row has more or
            fewer columns than the first.
    """
    kind = format or format_of(path)
    if kind == "parquet":
        return parquet_records(path)
    if kind == "jsonl":
        return json_records(path)
    return separated_records(path, format, named=header is not False)


def require_text(value: object, column: str | int, here: str) -> str:
    """What stands in a column, if it is a text; `here` is its file and line.

    Raises:
        DataError: it is none.
    """
    if isinstance(value, str):
        return value
    hint = "Leave the row out, or write an empty text"
    if isinstance(value, list):
        hint = "A text is one string: join the parts of the list"
    elif isinstance(value, Mapping):
        hint = "A text is one string; of pandas, write rows: to_json(orient='records')"
    raise DataError(f"{here}: expected a text in column {column}, got {shown(value)}. {hint}")


def _has_header(columns: tuple[str | int, str | int]) -> bool:
    """What is taken for granted of CSV and TSV where nobody says."""
    return not all(map(is_number, columns))


def _refuse_header(texts: Sequence[LabelledText], path: str | Path) -> None:
    first, *others = texts
    known = {label for text in others for label in text.labels}
    if len(others) >= FEW and first.labels and known.isdisjoint(first.labels):
        labels = cut(", ".join(first.labels))
        raise DataError(
            f"{path}:{first.line}: expected a label that other rows have too, got {labels}. If this "
            "line names the columns, choose them by these names or add --data.header true; if not, --data.header false"
        )


def _labels(row: Row, path: str | Path, column: str | int, multi_label: bool) -> tuple[str, ...]:
    values = row.value
    if multi_label and isinstance(values, str):
        values = [part for part in values.split(SEPARATOR) if part.strip()]
    elif not (multi_label and isinstance(values, list)):
        values = [values]
    labels = []
    for value in values:
        # Whole numbers are labels too; True and False are instances of int, and named as JSON does.
        name = value.strip() if isinstance(value, str) else json.dumps(value) if isinstance(value, int) else ""
        if not name or re.search(r"[\t\r\n]", name):
            hint = " A label is a text without tabs and line ends, or a whole number"
            if isinstance(row.value, list) and not multi_label:
                hint = " For several labels a text: --data.multi_label true"
            elif isinstance(value, float):
                hint += ": convert the column, 1.0 to 1 for example"
            raise DataError(f"{path}:{row.line}: expected a label in column {column}, got {shown(row.value)}.{hint}")
        labels.append(name)
    return tuple(dict.fromkeys(labels))
