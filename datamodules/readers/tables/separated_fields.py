"""The lines of CSV and TSV files, and the fields of their rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TextIO

from datamodules.errors import DataError
from datamodules.readers.text_files import LINE_END, first_line, numbered

SEPARATORS = (",", ";", "\t", "|")
# In most tables a quote inside a quoted field is written twice; in some, a backslash stands before it.
ESCAPES = (None, "\\")
# The number of lines that decide on the dialect.
HEAD = 200
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

    def head(self, count: int) -> list[str]:
        """The next `count` lines, or all if they are fewer. They remain the next ones."""
        numbered_lines = list(islice(self._lines, count))
        self._lines = chain(numbered_lines, self._lines)
        return [text for _, text in numbered_lines]


class Dialect(NamedTuple):
    """How the fields of CSV are separated, and what stands before a quote inside a field that is not written twice."""

    separator: str
    escape: str | None = None


def csv_fields(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    dialect = read_dialect(lines)
    if dialect is not None:
        yield from quoted_fields(lines, dialect)


def read_dialect(lines: Lines) -> Dialect | None:
    """The dialect of a table, whose first row is then the next line; None for a table without a row."""
    for line in lines:
        if line.strip():
            named = NAMED_SEPARATOR.fullmatch(line.strip(LINE_END))
            if named is not None:
                return Dialect(named[1])
            lines.put_back()
            return _guess_dialect(lines.head(HEAD))
    return None


def _guess_dialect(head: Sequence[str]) -> Dialect:
    """The dialect of a table by its first lines.

    It is the first one in which all rows have the same number of fields, and more than one. If there is none, the first
    line decides alone.
    """
    for escape in ESCAPES:
        for separator in SEPARATORS:
            dialect = Dialect(separator, escape)
            widths = _widths(head, dialect)
            if len(widths) == 1 and widths != {1}:
                return dialect
    return Dialect(_guess_separator(head[0]))


def _widths(head: Sequence[str], dialect: Dialect) -> set[int]:
    """The numbers of fields of the rows in the first lines of a table; none if they do not follow this dialect."""
    reader = csv.reader(head, delimiter=dialect.separator, escapechar=dialect.escape, strict=True)
    widths = set()
    try:
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                widths.add(len(row))
    except csv.Error:
        # The last row may go on behind these lines.
        if len(head) < HEAD or reader.line_num < len(head):
            return set()
    return widths


def _guess_separator(line: str) -> str:
    """The first of `SEPARATORS` that a line has outside quotes; a comma if it has none."""
    # A carriage return inside a line is an error that `quoted_fields` raises, with the line's number.
    line = line.replace("\r", " ")
    for separator in SEPARATORS:
        if len(next(csv.reader([line], delimiter=separator), ())) > 1:
            return separator
    return ","


def quoted_fields(lines: Lines, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=dialect.separator, escapechar=dialect.escape, strict=True)
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
                yield from quoted_fields(lines, Dialect("\t"))
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
