"""Which column is meant, and what a row has in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.readers.text_files import DataError
from zoo.errors import cut

NAMES = 300  # characters of a header that a message shows


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


def is_number(column: str | int) -> bool:
    """Whether a column is given by its number, and not by its name."""
    return isinstance(column, int) or column.removeprefix("-").isdecimal()


def place_of(column: str | int, header: Sequence[str], here: str, *, named: bool) -> int:
    """The number of a column, given by its name or number.

    Args:
        column: the name or number.
        header: the first row.
        here: its file and line, for messages.
        named: whether the header has names.

    Raises:
        DataError: there is none, or two of that name.
    """
    if named and column in header:
        if header.count(column) > 1:
            raise DataError(f"{here}: expected one column {column}, got {_listed(header)}: rename the others")
        return header.index(column)
    if is_number(column) and -len(header) <= int(column) < len(header):
        return int(column)
    raise no_column(column, header, here)


def check_names(header: Sequence[str], here: str) -> None:
    """Refuses two columns of one name.

    Raises:
        DataError: there are some.
    """
    name, count = Counter(header).most_common(1)[0] if header else ("", 0)
    if count > 1:
        raise DataError(f"{here}: expected one column {name}, got {_listed(header)}: rename the others")


def no_column(column: str | int, header: Sequence[str], here: str) -> DataError:
    """An error for a column that is not in the header, which it shows."""
    return DataError(
        f"{here}: expected a column {column}, got {_listed(header)}. Choose with --data.text_column and "
        "--data.label_column, or --data.source and --data.target: names, or numbers (0 the first, -1 the last), which "
        "mean that a CSV or TSV file has no header unless you add --data.header true"
    )


def _listed(header: Sequence[str]) -> str:
    """The header as a message shows it; without names it may be a row of long texts."""
    return cut(", ".join(map(cut, header)), NAMES)
