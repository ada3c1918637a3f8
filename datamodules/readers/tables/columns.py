"""The columns of a table: how they are chosen, and the values of a row in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datamodules.errors import DataError
from zoo.errors import cut, shown

# The largest number of characters of a header in a message.
HEADER_SHOWN = 300
# Names that another character joins than those that are tried as separators.
JOINED = re.compile(r"\w([^\w\s,;|.'-])\w")


@dataclass(frozen=True, slots=True)
class Row:
    """The values of the chosen columns, in the chosen order, and their line number (in Parquet the row number)."""

    line: int
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """All columns by name, and their line number. Without a header, the names are "0", "1" and so on."""

    line: int
    fields: dict[str, object]


def is_number(column: str | int) -> bool:
    """Whether a column is given by its number, not by its name."""
    return isinstance(column, int) or column.removeprefix("-").isdecimal()


def place_of(column: str | int, header: Sequence[str], here: str, *, named: bool) -> int:
    """The index of a column that is given by its name or number.

    Args:
        column: the name or number.
        header: the first row.
        here: the file and line, for messages.
        named: whether the first row has the names of the columns.

    Raises:
        DataError: there is no such column, or there are two of that name.
    """
    if named and isinstance(column, str) and column in header:
        if header.count(column) > 1:
            raise _repeated(column, header, here)
        return header.index(column)
    if is_number(column) and -len(header) <= int(column) < len(header):
        return int(column)
    raise no_column(column, header, here)


def check_names(header: Sequence[str], here: str) -> None:
    """Checks that all names of columns differ.

    Raises:
        DataError: two columns have the same name.
    """
    for name, count in Counter(header).items():
        if count > 1:
            raise _repeated(name, header, here)


def require_text(value: object, column: str | int, here: str) -> str:
    """Returns the value of a column, which must be a text.

    Args:
        value: the value.
        column: the name or number of the column, for the message.
        here: the file and line, for the message.

    Raises:
        DataError: the value is not a string.
    """
    if isinstance(value, str):
        return value
    hint = "Leave the row out, or write an empty text"
    if isinstance(value, list):
        hint = "A text is one string: join the parts of the list"
    elif isinstance(value, Mapping):
        hint = "A text is one string; with pandas, write rows: to_json(orient='records')"
    raise DataError(f"{here}: expected a text in column {column}, got {shown(value)}. {hint}")


def no_column(column: str | int, header: Sequence[str], here: str) -> DataError:
    """The error for a column that is not in the header. It shows the header."""
    separator = JOINED.search(header[0]) if len(header) == 1 else None
    if separator is not None:
        return DataError(
            f"{here}: expected a column {column}, got the only column {_listed(header)}. If {separator[1]!r} separates "
            f"the fields of this CSV file, say so in a first line: sep={separator[1]}"
        )
    return DataError(
        f"{here}: expected a column {column}, got {_listed(header)}. Choose with --data.text_column and "
        "--data.label_column, --data.source and --data.target, or --data.word_column and --data.column: names, or "
        "numbers (0 the first, -1 the last). With numbers only, a CSV or TSV file is read as one without a header, "
        "unless you add --data.header true"
    )


def _repeated(name: str, header: Sequence[str], here: str) -> DataError:
    return DataError(f"{here}: expected one column {name}, got {_listed(header)}: rename the others")


def _listed(header: Sequence[str]) -> str:
    """The header for a message. Each field is cut, because without names the header may be a row of long texts."""
    return cut(", ".join(map(cut, header)), HEADER_SHOWN)
