"""The lines of CSV and TSV files, and the fields of their rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TextIO

from datamodules.errors import DataError
from datamodules.readers.text_files import LINE_END, first_line, numbered

SEPARATORS = (",", ";", "\t")
NAMED_SEPARATOR = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)
QUOTED_FIELD = re.compile(r'"(?:[^"]|"")*"')

csv.field_size_limit(2**31 - 1)  # a text may be a book


def equally_wide(
    rows: Iterable[tuple[int, list[str]]], path: str | Path, *, is_tsv: bool, width: int = 0, first: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The rows, all of which must have as many fields as the first, whose width and line may be known already."""
    for line, row in rows:
        if not width:
            width = len(row)
            first = line
        if len(row) != width:
            hint = "a text has no tab inside" if is_tsv else "quote a text with a separator inside"
            raise DataError(f"{path}:{line}: expected {width} columns as in line {first}, got {len(row)}: {hint}")
        yield line, row


class Lines:
    """The lines of a stream, which knows the line that was read last and can give it once more.

    Attributes:
        name: the name of the file.
        number: the number of the line that was read last.
        text: the last one of them.
        ended: whether the stream has ended.
    """

    def __init__(self, stream: TextIO, name: str):
        self.name = name
        self.number = first_line(stream) - 1
        self.text = ""
        self.ended = False
        self._lines = numbered(stream, name)

    def __iter__(self) -> Lines:
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


def csv_fields(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    for line in lines:
        if line.strip():
            if not NAMED_SEPARATOR.fullmatch(line.strip(LINE_END)):
                lines.put_back()
            yield from quoted_fields(lines, separator_of(line))


def separator_of(line: str) -> str:
    """The separator that the first line of a file names, or else the first of `SEPARATORS` that it has outside quotes.

    It is a comma if the line has none of them.
    """
    named = NAMED_SEPARATOR.fullmatch(line.strip(LINE_END))
    if named is not None:
        return named[1]
    # A carriage return inside a line is an error that `quoted_fields` raises, with the line's number.
    line = line.replace("\r", " ")
    for separator in SEPARATORS:
        if len(next(csv.reader([line], delimiter=separator), ())) > 1:
            return separator
    return ","


def quoted_fields(lines: Lines, separator: str) -> Iterator[tuple[int, list[str]]]:
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


def _not_csv(error: csv.Error, lines: Lines, start: int) -> DataError:
    if "\r" in lines.text.rstrip(LINE_END):
        problem = "a carriage return inside a line. Quote the field that it belongs to, or end lines with \\n"
    else:
        problem = "a quote that is opened here and never closed" if lines.ended else str(error)
        problem += ". A quote inside a quoted text is written twice"
    hint = "for fields between tabs, without quoting, choose --data.format tsv"
    return DataError(f"{lines.name}:{start}: expected CSV, got {problem}; {hint}")


def tsv_fields(lines: Lines, *, may_be_quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """The fields of TSV. If they may be quoted, the first field that begins with a quote decides."""
    width = 0
    for line in lines:
        content = line.rstrip(LINE_END)
        if not content.strip(" "):
            continue
        fields = content.split("\t")
        if may_be_quoted and any(field.startswith('"') for field in fields):
            if is_quoted(fields, width):
                lines.put_back()
                yield from quoted_fields(lines, "\t")
                return
            may_be_quoted = False
        width = width or len(fields)
        yield lines.number, fields


def is_quoted(fields: Sequence[str], width: int) -> bool:
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
