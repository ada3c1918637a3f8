"""Tables of separated fields: CSV and TSV.

CSV is what spreadsheets write: a field with a separator, quote or line end inside stands between double quotes. Fields
are separated by commas; where the first line has none, by semicolons, and where it has none of these either, by tabs.
A first line such as `sep=;` names the separator, and is no row.

TSV has no quotes: one is a character like any other. But pandas quotes fields in files of this ending too. So the
first field that begins with a quote decides, unless the format was named: see `_is_quoted`.
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

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
NAMED_SEPARATOR = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)
QUOTED_FIELD = re.compile(r'"(?:[^"]|"")*"')

csv.field_size_limit(2**31 - 1)  # a text may be a book


def separated_rows(path: str | Path, columns: Sequence[str | int], format: str | None, *, named: bool) -> Iterator[Row]:
    """Two columns; without a format (CSV or TSV) the file's ending and its quotes tell it."""
    places: list[int] = []
    for line, row in _even_fields(path, format):
        if not places:
            places = [place_of(column, row, f"{path}:{line}", named=named) for column in columns]
            if named:
                continue
        yield Row(line, tuple(row[place] for place in places))


def separated_records(path: str | Path, format: str | None, *, named: bool) -> Iterator[Record]:
    """All columns; likewise."""
    names: list[str] = []
    for line, row in _even_fields(path, format):
        if not names:
            names = row if named else [str(place) for place in range(len(row))]
            check_names(names, f"{path}:{line}")
            if named:
                continue
        yield Record(line, dict(zip(names, row, strict=True)))


def _even_fields(path: str | Path, format: str | None) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row, the same number in all."""
    with open_text(path) as stream:
        lines = _Lines(stream, str(path))
        plain = format == "tsv" or (format is None and str(path).lower().removesuffix(".gz").endswith(".tsv"))
        fields = _tsv_fields(lines, decided=format is not None) if plain else _csv_fields(lines)
        width, first = 0, 0
        for line, row in fields:
            if not width:
                width, first = len(row), line
            if len(row) != width:
                hint = "a text has no tab inside" if plain else "quote a text with a separator inside"
                raise DataError(f"{path}:{line}: expected {width} columns as in line {first}, got {len(row)}: {hint}")
            yield line, row


class _Lines:
    """Lines that know how far they were read, and the last one; a line can be put back."""

    def __init__(self, stream: TextIO, name: str):
        self.name, self.number, self.text, self.ended = name, 0, "", False
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
        """The last line comes again."""
        self._lines = chain([(self.number, self.text)], self._lines)
        self.number -= 1


def _csv_fields(lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    for line in lines:
        if line.strip():
            told = NAMED_SEPARATOR.fullmatch(line.strip(LINE_END))
            if told is None:
                lines.put_back()
            yield from _quoted_fields(lines, told[1] if told else _separator(line))


def _separator(line: str) -> str:
    """The first separator that a line has outside quotes; a comma if it has none."""
    line = line.replace("\r", " ")  # one inside is an error of its own, which comes with its line
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
            if "\r" in lines.text.rstrip(LINE_END):
                problem = "a carriage return inside a line. Quote the field that it belongs to, or end lines with \\n"
            else:
                problem = "a quote that is opened here and never closed" if lines.ended else str(error)
                problem += ". A quote inside a quoted text is written twice"
            hint = "for fields between tabs, without quoting, choose --data.format tsv"
            raise DataError(f"{lines.name}:{start}: expected CSV, got {problem}; {hint}") from error
        if row is None:
            return
        if len(row) > 1 or "".join(row).strip():
            yield start, row


def _tsv_fields(lines: _Lines, *, decided: bool) -> Iterator[tuple[int, list[str]]]:
    """Fields of TSV; unless it is `decided` that there are no quotes, the first that begins with one decides."""
    width = 0
    for line in lines:
        content = line.rstrip(LINE_END)
        if not content.strip(" "):
            continue
        fields = content.split("\t")
        if not decided and any(field.startswith('"') for field in fields):
            if _is_quoted(fields, width):
                lines.put_back()
                yield from _quoted_fields(lines, "\t")
                return
            decided = True
        width = width or len(fields)
        yield lines.number, fields


def _is_quoted(fields: Sequence[str], width: int) -> bool:
    """Whether a line is quoted as pandas does it, and not a line of texts with quotes of their own.

    It is if all of its fields are quoted; if one is that has quotes inside, each written twice, or a carriage return;
    or if a quoted field has a tab or a line end inside, so that without quoting the line has another width than those
    before.
    """
    quoted = [field for field in fields if QUOTED_FIELD.fullmatch(field)]
    if len(quoted) == len(fields) or any('""' in field[1:-1] or "\r" in field for field in quoted):
        return True
    return width > 0 and len(fields) != width
