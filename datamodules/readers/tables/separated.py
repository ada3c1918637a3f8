"""Tables of separated fields: CSV and TSV.

CSV is what spreadsheets and databases write: a field with a separator, quote or line end inside stands between double
quotes. Fields are separated by commas, semicolons, tabs or vertical bars: by the first of these that gives all of the
first rows the same number of fields. A first line such as `sep=;` names the separator and is not a row. A quote inside
a quoted field is written twice, or if that does not fit, with a backslash before it.

TSV has no quotes: a quote is a character like any other. But pandas quotes fields in files with this ending too.
Therefore the first field that begins with a quote decides (`_is_quoted`), unless the format was given by name.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.readers.file_parts import FilePart, Parted
from datamodules.readers.tables.columns import Row, place_of
from datamodules.readers.tables.separated_fields import (
    Dialect,
    Lines,
    csv_fields,
    equally_wide,
    is_quoted,
    quoted_fields,
    read_dialect,
    tsv_fields,
)
from datamodules.readers.text_files import LINE_END, open_text


def separated_cells(path: str | Path, format: str | None) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row with the number of its first line.

    Args:
        path: the file.
        format: "csv" or "tsv"; None for TSV that pandas may have quoted.

    Raises:
        DataError: a row has more or fewer fields than the first.
    """
    with open_text(path) as stream:
        lines = Lines(stream, str(path))
        rows = csv_fields(lines) if format == "csv" else tsv_fields(lines, may_be_quoted=format is None)
        yield from equally_wide(rows, path, is_tsv=format != "csv")


def separated_parts(
    path: str | Path, columns: Sequence[str | int], format: str | None, *, named: bool
) -> Parted[Row] | None:
    """The values of `columns` in each row, in parts.

    None for a file without rows, and for one whose fields may be quoted: there a row may have several lines.

    Args:
        path, format: as for `separated_cells`.
        columns: their names or numbers.
        named: whether the first row names the columns.
    """
    is_tsv = format != "csv"
    first = next(separated_cells(path, format), None)
    dialect = Dialect("\t") if is_tsv else _dialect_of(path)
    if first is None or dialect is None:
        return None
    line, row = first
    may_have_quotes = format is None and _has_quoted_field(path, line, len(row)) if is_tsv else _has_quote(path)
    if may_have_quotes or dialect.escape is not None:
        return None
    places = [place_of(column, row, f"{path}:{line}", named=named) for column in columns]
    # The lines before it are blank, or name the separator.
    first_row = line + 1 if named else line

    def read(part: FilePart) -> Iterator[Row]:
        with open_text(part) as stream:
            lines = Lines(stream, str(path))
            fields = tsv_fields(lines, may_be_quoted=False) if is_tsv else quoted_fields(lines, dialect)
            rows = ((number, values) for number, values in fields if number >= first_row)
            for number, values in equally_wide(rows, path, is_tsv=is_tsv, width=len(row), first=line):
                yield Row(number, tuple(values[place] for place in places))

    return Parted.file(path, read, blank_lines=False)


def _dialect_of(path: str | Path) -> Dialect | None:
    """The dialect of a CSV file; None if it has no row."""
    with open_text(path) as stream:
        return read_dialect(Lines(stream, str(path)))


def _has_quote(path: str | Path) -> bool:
    """Whether there is a quote in a file."""
    with open(path, "rb") as file:
        return any(b'"' in line for line in file)


def _has_quoted_field(path: str | Path, first: int, width: int) -> bool:
    """Whether a TSV file has quoted fields, as its first field that begins with a quote decides.

    Args:
        path: the file.
        first: the line of the first row.
        width: the number of fields of that row.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if b'\t"' in line or line.removeprefix(codecs.BOM_UTF8).startswith(b'"'):
                fields = line.decode("utf-8-sig", errors="replace").rstrip(LINE_END).split("\t")
                return is_quoted(fields, width if number > first else 0)
    return False
