"""Tables of separated fields: CSV and TSV.

CSV is what spreadsheets write: a field with a separator, quote or line end inside stands between double quotes. Fields
are separated by commas. If the first line has none, they are separated by semicolons, and if it has none of these
either, by tabs. A first line such as `sep=;` names the separator and is not a row.

TSV has no quotes: a quote is a character like any other. But pandas quotes fields in files with this ending too.
Therefore the first field that begins with a quote decides (`_is_quoted`), unless the format was given by name.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.readers.file_parts import FilePart, Parted
from datamodules.readers.tables.columns import Record, Row, check_names, place_of
from datamodules.readers.tables.separated_fields import (
    Lines,
    csv_fields,
    equally_wide,
    is_quoted,
    quoted_fields,
    separator_of,
    tsv_fields,
)
from datamodules.readers.text_files import LINE_END, numbered, open_text


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


def separated_parts(
    path: str | Path, columns: Sequence[str | int], format: str | None, *, named: bool
) -> Parted[Row] | None:
    """The same rows as `separated_rows`, in parts.

    None for a file without rows, and for one whose fields may be quoted: there a row may have several lines.
    """
    is_tsv = _is_tsv(path, format)
    first = next(_read_fields(path, format), None)
    if first is None:
        return None
    line, row = first
    if is_tsv:
        separator = "\t"
        has_quotes = format is None and _has_quoted_field(path, line, len(row))
    else:
        separator = _separator_of(path)
        has_quotes = _has_quote(path)
    if has_quotes:
        return None
    places = [place_of(column, row, f"{path}:{line}", named=named) for column in columns]
    # The lines before it are blank, or name the separator.
    first_row = line + 1 if named else line

    def read(part: FilePart) -> Iterator[Row]:
        with open_text(part) as stream:
            lines = Lines(stream, str(path))
            fields = tsv_fields(lines, may_be_quoted=False) if is_tsv else quoted_fields(lines, separator)
            rows = ((number, values) for number, values in fields if number >= first_row)
            for number, values in equally_wide(rows, path, is_tsv=is_tsv, width=len(row), first=line):
                yield Row(number, tuple(values[place] for place in places))

    return Parted.file(path, read, blank_lines=False)


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
        lines = Lines(stream, str(path))
        is_tsv = _is_tsv(path, format)
        rows = tsv_fields(lines, may_be_quoted=format is None) if is_tsv else csv_fields(lines)
        yield from equally_wide(rows, path, is_tsv=is_tsv)


def _is_tsv(path: str | Path, format: str | None) -> bool:
    return format == "tsv" or (format is None and str(path).lower().removesuffix(".gz").endswith(".tsv"))


def _separator_of(path: str | Path) -> str:
    """The separator of a CSV file that has a row."""
    with open_text(path) as stream:
        return separator_of(next(line for _, line in numbered(stream, str(path)) if line.strip()))


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
