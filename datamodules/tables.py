"""From a table to texts with what belongs to them, a label for example: CSV, TSV, JSON Lines and Parquet.

* CSV: fields separated by commas; a field with a comma, quote or line end inside stands between double quotes.
* TSV: fields separated by tabs, and nothing else: a quote is a character like any other.
* JSON Lines: an object a line.
* Parquet: with the package pyarrow, `pip install lstm-zoo[parquet]`.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from datamodules.text_files import LINE_END, DataError, numbered, open_text

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SEPARATED = ("csv", "tsv")
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
SEPARATOR = "|"  # between the labels of a text that has several
FEW = 10  # rows in which a label may well occur once

csv.field_size_limit(2**31 - 1)  # a text may be a book


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, its labels (one, unless the task is to find several), and its line or row in its file."""

    text: str
    labels: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """What a line has in two columns, and its number."""

    line: int
    text: object
    value: object


@dataclass(frozen=True, slots=True)
class Record:
    """All columns of a line by name, "0", "1", ... where no header names them, and its number."""

    line: int
    fields: dict[str, object]


def format_of(path: str | Path) -> str:
    """The format that a file's ending tells.

    Raises:
        DataError: it tells none.
    """
    ending = Path(path).suffix.lower()
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
        path: the file, in UTF-8 with or without a byte-order mark.
        text_column: where the text is: a name, or a number, 0 the first and -1 the last; in JSON Lines of the
            first object's keys.
        label_column: likewise the label.
        format: "csv", "tsv", "jsonl" or "parquet"; by default what the file's ending says.
        header: whether the first line names the columns (CSV, TSV); by default it does, unless both columns
            are numbers.
        multi_label: whether a text has any number of labels, with "|" between them, or a list in JSON Lines
            and Parquet.

    Raises:
        DataError: the file is missing, no UTF-8, not in its format, or without a row; there is no such column (the
            header is shown), or two of that name; a row has more or fewer columns than the first; a text is no text; a
            label is missing, or has a tab or line end inside; by its label, the first row looks like a header.
    """
    format = format or format_of(path)
    texts = []
    for row in read_rows(path, (text_column, label_column), format=format, header=header):
        if not isinstance(row.text, str):
            raise DataError(
                f"{path}:{row.line}: expected a text in column {text_column}, got {row.text!r}. "
                "Leave the row out, or write an empty text"
            )
        texts.append(LabelledText(row.text, _labels(row, path, label_column, multi_label), row.line))
    if not texts:
        raise DataError(f"{path}: expected texts with a label each, got none")
    if header is None and format in SEPARATED and not _has_header((text_column, label_column)):
        _refuse_header(texts, path)
    return texts


def read_rows(
    path: str | Path, columns: tuple[str | int, str | int], *, format: str | None = None, header: bool | None = None
) -> Iterator[Row]:
    """Two columns of a table, whatever is in them; arguments and errors as of `read_table`."""
    format = format or format_of(path)
    if format == "parquet":
        return _parquet_rows(path, columns)
    if format == "jsonl":
        return _json_rows(path, columns)
    return _separated_rows(path, columns, format, _has_header(columns) if header is None else header)


def read_records(path: str | Path, *, format: str | None = None, header: bool | None = None) -> Iterator[Record]:
    """All columns of a table, whatever is in them, a row at a time.

    Args:
        path, format: as of `read_table`.
        header: whether the first line names the columns (CSV, TSV); by default it does.

    Raises:
        DataError: the file is missing, no UTF-8 or not in its format; two columns have the same name; a row has more or
            fewer columns than the first.
    """
    format = format or format_of(path)
    if format == "parquet":
        return _parquet_records(path)
    if format == "jsonl":
        return (Record(number, row) for number, row in _json_objects(path, checked=True))
    return _separated_records(path, format, header is not False)


def _has_header(columns: tuple[str | int, str | int]) -> bool:
    """What is taken for granted of CSV and TSV where nobody says."""
    return not all(map(is_number, columns))


def _refuse_header(texts: Sequence[LabelledText], path: str | Path) -> None:
    first, *others = texts
    known = {label for text in others for label in text.labels}
    if len(others) >= FEW and first.labels and known.isdisjoint(first.labels):
        raise DataError(
            f"{path}:{first.line}: expected a label that other rows have too, got {', '.join(first.labels)}. If this "
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
            raise DataError(f"{path}:{row.line}: expected a label in column {column}, got {row.value!r}.{hint}")
        labels.append(name)
    return tuple(dict.fromkeys(labels))


def _separated_rows(path: str | Path, columns: Sequence[str | int], format: str, named: bool) -> Iterator[Row]:
    """Of CSV and TSV."""
    places: list[int] = []
    for line, row in _even_fields(path, format):
        if not places:
            places = [_place(column, row, f"{path}:{line}", named) for column in columns]
            if named:
                continue
        yield Row(line, *(row[place] for place in places))


def _separated_records(path: str | Path, format: str, named: bool) -> Iterator[Record]:
    names: list[str] = []
    for line, row in _even_fields(path, format):
        if not names:
            names = row if named else [str(place) for place in range(len(row))]
            _check_names(names, f"{path}:{line}")
            if named:
                continue
        yield Record(line, dict(zip(names, row, strict=True)))


def _even_fields(path: str | Path, format: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line, the same number in all."""
    with open_text(path) as stream:
        fields = _csv_fields(stream, str(path)) if format == "csv" else _tsv_fields(stream, str(path))
        width, first = 0, 0
        for line, row in fields:
            if not width:
                width, first = len(row), line
            if len(row) != width:
                hint = "quote a text with a comma inside" if format == "csv" else "a text has no tab inside"
                raise DataError(f"{path}:{line}: expected {width} columns as in line {first}, got {len(row)}: {hint}")
            yield line, row


def _csv_fields(stream: TextIO, name: str) -> Iterator[tuple[int, list[str]]]:
    lines = _Lines(stream, name)
    reader = csv.reader(lines, strict=True)
    while True:
        start = lines.number + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "\r" in lines.text.rstrip(LINE_END):
                problem = "a carriage return inside a line. Quote the field that it belongs to, or end lines with \\n"
            else:
                problem = "a quote that is opened here and never closed" if lines.ended else str(error)
                problem += ". A quote inside a quoted text is written twice"
            hint = "for fields between tabs, without quoting, choose --data.format tsv"
            raise DataError(f"{name}:{start}: expected CSV, got {problem}; {hint}") from error
        if row is None:
            return
        if len(row) > 1 or "".join(row).strip():
            yield start, row


class _Lines:
    """Lines that know how far they were read, and the last one."""

    def __init__(self, stream: TextIO, name: str):
        self.number, self.text, self.ended = 0, "", False
        self._lines = numbered(stream, name)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            self.number, self.text = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        return self.text


def _tsv_fields(stream: TextIO, name: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered(stream, name):
        if (content := line.rstrip(LINE_END)).strip(" "):
            yield number, content.split("\t")


def _json_rows(path: str | Path, columns: Sequence[str | int]) -> Iterator[Row]:
    names: list[str] = []
    for number, row in _json_objects(path):
        header, here = list(row), f"{path}:{number}"
        names = names or [header[_place(column, header, here, named=True)] for column in columns]
        for name in names:
            if name not in row:
                raise _no_column(name, header, here)
            _check_characters(row[name], name, here)
        yield Row(number, *(row[name] for name in names))


def _json_objects(path: str | Path, *, checked: bool = False) -> Iterator[tuple[int, dict[str, object]]]:
    """The object of each line; where `checked`, its texts are Unicode."""
    with open_text(path) as stream:
        for number, line in numbered(stream, str(path)):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_once)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: expected a JSON object a line, got: {error}") from error
            if not isinstance(row, Mapping):
                raise DataError(f"{path}:{number}: expected a JSON object a line, got {line.strip()[:60]}")
            if checked:
                for name, value in row.items():
                    _check_characters([name, value], name, f"{path}:{number}")
            yield number, row


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object, each of whose names means one value: of two, JSON does not say which."""
    row = dict(pairs)
    if len(row) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"an object with two values of {name!r}")
    return row


def _check_characters(value: object, column: str, here: str) -> None:
    """JSON can spell halves of characters, which no file can keep."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise DataError(
            f"{here}: expected Unicode text in column {column}, got {half!r}, half of a character that is written "
            "as two escapes. Its text was cut inside the character: remove this half, or put the other one back"
        ) from error


def _parquet_rows(path: str | Path, columns: Sequence[str | int]) -> Iterator[Row]:
    with _parquet_file(path) as file:
        header = file.schema_arrow.names
        places = [_place(column, header, str(path), named=True) for column in columns]
        for number, values in _parquet_values(file, places, path):
            yield Row(number, *values)


def _parquet_records(path: str | Path) -> Iterator[Record]:
    with _parquet_file(path) as file:
        header = file.schema_arrow.names
        _check_names(header, str(path))
        for number, values in _parquet_values(file, range(len(header)), path):
            yield Record(number, dict(zip(header, values, strict=True)))


@contextmanager
def _parquet_file(path: str | Path) -> Iterator[ParquetFile]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"{path}: Parquet needs a package: pip install lstm-zoo[parquet]") from error
    try:
        with ParquetFile(path) as file:
            yield file
    except (OSError, ArrowException) as error:
        raise DataError(f"{path}: expected a Parquet file, got: {error}") from error


def _parquet_values(file: ParquetFile, places: Sequence[int], path: str | Path) -> Iterator[tuple[int, tuple]]:
    """The number of each row from 1, and what it has in these columns."""
    header = file.schema_arrow.names
    names = [header[place] for place in places]
    repeated = any(header.count(name) > 1 for name in names)  # Arrow can then choose by number alone
    number = 0
    for batch in file.iter_batches(columns=None if repeated else names):
        chosen = (batch.column(column) for column in (places if repeated else names))
        try:
            rows = list(zip(*(column.to_pylist() for column in chosen), strict=True))
        except ValueError as error:  # bytes that are no UTF-8, a kind of time that Python lacks
            raise DataError(f"{path}: expected texts and labels after row {number}, got: {error}") from error
        yield from enumerate(rows, number + 1)
        number += len(rows)


def is_number(column: str | int) -> bool:
    """Whether a column is given by its number, and not by its name."""
    return isinstance(column, int) or column.removeprefix("-").isdecimal()


def _place(column: str | int, header: Sequence[str], here: str, named: bool) -> int:
    """The number of a column, given by its name or number."""
    if named and column in header:
        if header.count(column) > 1:
            raise DataError(f"{here}: expected one column {column}, got {', '.join(header)}: rename the others")
        return header.index(column)
    if is_number(column) and -len(header) <= int(column) < len(header):
        return int(column)
    raise _no_column(column, header, here)


def _check_names(header: Sequence[str], here: str) -> None:
    """Refuses two columns of one name."""
    name, count = Counter(header).most_common(1)[0] if header else ("", 0)
    if count > 1:
        raise DataError(f"{here}: expected one column {name}, got {', '.join(header)}: rename the others")


def _no_column(column: str | int, header: Sequence[str], here: str) -> DataError:
    return DataError(
        f"{here}: expected a column {column}, got {', '.join(header)}. Choose with --data.text_column and "
        "--data.label_column, or --data.source and --data.target: names, or numbers (0 the first, -1 the last), which "
        "mean that a CSV or TSV file has no header unless you add --data.header true"
    )
