"""Tables of separated fields: CSV and TSV.

CSV is what spreadsheets write: a field with a separator, quote or line end inside stands between double quotes. Fields
are separated by commas. If the first line has none, they are separated by semicolons, and if it has none of these
either, by tabs. A first line such as `sep=;` names the separator and is not a row.

TSV has no quotes: a quote is a character like any other. But pandas quotes fields in files with this ending too.
Therefore the first field that begins with a quote decides (`_is_quoted`), unless the format was given by name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TextIO

from datamodules.errors import DataError
from datamodules.readers.tables.columns import Record, Row, check_names, place_of
from datamodules.readers.text_files import LINE_END, numbered, open_text

SEPARATORS = (",", ";", "\t")
NAMED_SEPARATOR = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)
QUOTED_FIELD = re.compile(r'"(?:[^"]|"")*"')

csv.field_size_limit(2**31 - 1)  # a text may be a book


def separated_rows(path: str | Path, columns: Sequence[str | int], format: str | None, *, named: bool) -> Iterator[Row]:
    """The values of `columns` in each row.

    Args:
        path: the file.
        columns: their names or numbers.
        format: "csv" or "tsv"; None leaves it to the file's ending and to its quotes.
        named: whether the first line names the columns.
    """
    places: list[int] = []
    for line, row in _read_fields(path, format):
        if not places:
            places = [place_of(column, row, f"{path}:{line}", named=named) for column in columns]
            if named:
                continue
        yield Row(line, tuple(row[place] for place in places))


def separated_records(path: str | Path, format: str | None, *, named: bool) -> Iterator[Record]:
    """All columns of each row; the arguments are those of `separated_rows`."""
    names: list[str] = []
    for line, row in _read_fields(path, format):
        if not names:
            names = row if named else [str(place) for place in range(len(row))]
            check_names(names, f"{path}:{line}")
            if named:
                continue
        yield Record(line, dict(zip(names, row, strict=True)))


def _read_fields(path: str | Path, format: str | None) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row with the number of its first line.

    Raises:
        DataError: a row has more or fewer fields than the first.
    """
    with open_text(path) as stream:
        lines = _Lines(stream, str(path))
        is_tsv = format == "tsv" or (format is None and str(path).lower().removesuffix(".gz").endswith(".tsv"))
        rows = _tsv_fields(lines, may_be_quoted=format is None) if is_tsv else _csv_fields(lines)
        width = 0
        first = 0
        for line, row in rows:
            if not width:
                width = len(row)
                first = line
            if len(row) != width:
                hint = "a text has no tab inside" if is_tsv else "quote a text with a separator inside"
                raise DataError(f"{path}:{line}: expected {width} columns as in line {first}, got {len(row)}: {hint}")
            yield line, row


class _Lines:
    """The lines of a stream, which knows the line that was read last and can give it once more.

    Attributes:
        name: the name of the file.
        number: how many lines were read.
        text: the last one of them.
        ended: whether the stream has ended.
    """

    def __init__(self, stream: TextIO, name: str):
        self.name = name
        self.number = 0
        self.text = ""
        self.ended = False
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

    def put_back(self) -> None:
        """Makes the last line the next one again."""
        self._lines = chain([(self.number, self.text)], self._lines)
        self.number -= 1


def _csv_fields(lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    for line in lines:
        if line.strip():
            named = NAMED_SEPARATOR.fullmatch(line.strip(LINE_END))
            if named is None:
                lines.put_back()
            yield from _quoted_fields(lines, named[1] if named else _guess_separator(line))


def _guess_separator(line: str) -> str:
    """The first of `SEPARATORS` that a line has outside quotes; a comma if it has none."""
    # A carriage return inside a line is an error that `_quoted_fields` raises, with the line's number.
    line = line.replace("\r", " ")
    for separator in SEPARATORS:
        if len(next(csv.reader([line], delimiter=separator), ())) > 1:
            return separator
    return ","


def _quoted_fields(lines: _Lines, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        start = lines.number + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _not_csv(error, lines, start) from error
        if row is None:
            return
        if len(row) > 1 or "".join(row).strip():
            yield start, row


def _not_csv(error: csv.Error, lines: _Lines, start: int) -> DataError:
    if "\r" in lines.text.rstrip(LINE_END):
        problem = "a carriage return inside a line. Quote the field that it belongs to, or end lines with \\n"
    else:
        problem = "a quote that is opened here and never closed" if lines.ended else str(error)
        problem += ". A quote inside a quoted text is written twice"
    hint = "for fields between tabs, without quoting, choose --data.format tsv"
    return DataError(f"{lines.name}:{start}: expected CSV, got {problem}; {hint}")


def _tsv_fields(lines: _Lines, *, may_be_quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """The fields of TSV. If they may be quoted, the first field that begins with a quote decides."""
    width = 0
    for line in lines:
        content = line.rstrip(LINE_END)
        if not content.strip(" "):
            continue
        fields = content.split("\t")
        if may_be_quoted and any(field.startswith('"') for field in fields):
            if _is_quoted(fields, width):
                lines.put_back()
                yield from _quoted_fields(lines, "\t")
                return
            may_be_quoted = False
        width = width or len(fields)
        yield lines.number, fields


def _is_quoted(fields: Sequence[str], width: int) -> bool:
    """Whether pandas has quoted a line. If not, its quotes belong to the texts.

    pandas has quoted it if all fields are quoted; or if a quoted field has a quote inside, written twice, or a
    carriage return; or if a quoted field has a tab or line end inside, so that the line has another number of fields
    than those before when it is read without quoting.

    Args:
        fields: the line, split at its tabs.
        width: the number of fields in the lines before; 0 for the first line.
    """
    quoted = [field for field in fields if QUOTED_FIELD.fullmatch(field)]
    if len(quoted) == len(fields) or any('""' in field[1:-1] or "\r" in field for field in quoted):
        return True
    return width > 0 and len(fields) != width
