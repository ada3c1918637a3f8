"""Texts with their labels, from two columns of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from datamodules.errors import DataError
from datamodules.examples import LabelledText
from datamodules.readers.file_parts import Parted
from datamodules.readers.tables import (
    CELL_FORMATS,
    Row,
    format_of,
    has_header,
    read_rows,
    require_text,
    row_parts,
)
from zoo.errors import cut, shown

# Separates several labels of a text.
SEPARATOR = "|"
# In a table with fewer rows, a label that occurs only in the first row does not make that row a header.
MIN_ROWS_TO_GUESS_HEADER = 10
# Rows whose labels are compared with that of the first row.
HEAD = 20_000


def read_labelled_texts(
    path: str | Path,
    text_column: str | int = "text",
    label_column: str | int = "label",
    *,
    format: str | None = None,
    header: bool | None = None,
    multi_label: bool = False,
) -> Iterator[LabelledText]:
    """Yields the texts and labels of a table. Empty texts are kept.

    >>> from datamodules import locate
    >>> texts = list(read_labelled_texts(locate("sample-reviews-en")["dev"]))
    >>> texts[1]
    LabelledText(text="After one evening on these chairs everyone's back hurt.", labels=('negative',), line=3)

    Args:
        path, format, header: as in `datamodules.readers.tables.read_rows`.
        text_column: the column of the texts: a name, or a number, 0 the first and -1 the last.
        label_column: likewise the column of the labels.
        multi_label: whether a text has any number of labels: with "|" between them, or in JSON and Parquet as a list.

    Raises:
        DataError: as in `datamodules.readers.tables.read_rows`; or there is no row; a text is not a string; a label is
            missing, or has a tab or line end inside; or the first row's label looks like the name of a column.
    """
    texts = _read_texts(path, text_column, label_column, format=format, header=header, multi_label=multi_label)
    head = list(islice(texts, HEAD))
    if not head:
        raise DataError(f"{path}: expected texts with a label each, got none")
    header_is_guessed = header is None and (format or format_of(path)) in CELL_FORMATS
    if header_is_guessed and not has_header((text_column, label_column)):
        _refuse_header(head, path)
    yield from chain(head, texts)


def _read_texts(
    path: str | Path,
    text_column: str | int,
    label_column: str | int,
    *,
    format: str | None,
    header: bool | None,
    multi_label: bool,
) -> Iterator[LabelledText]:
    columns = (text_column, label_column)
    rows = read_rows(path, columns, format=format, header=header)
    return _labelled(rows, columns, path, multi_label=multi_label)


def labelled_parts(
    path: str | Path,
    text_column: str | int = "text",
    label_column: str | int = "label",
    *,
    format: str | None = None,
    header: bool | None = None,
    multi_label: bool = False,
) -> Parted[LabelledText] | None:
    """The same texts as `read_labelled_texts`, in parts. None for a file that cannot be cut.

    Only `read_labelled_texts` notices a first label that looks like the name of a column.
    """
    columns = (text_column, label_column)
    parted = row_parts(path, columns, format=format, header=header)
    if parted is None:
        return None
    return parted.then(lambda rows: _labelled(rows, columns, path, multi_label=multi_label))


def _labelled(
    rows: Iterable[Row], columns: tuple[str | int, str | int], path: str | Path, *, multi_label: bool
) -> Iterator[LabelledText]:
    text_column, label_column = columns
    for row in rows:
        here = f"{path}:{row.line}"
        text = require_text(row.values[0], text_column, here)
        labels = _labels(row.values[1], label_column, here, multi_label=multi_label)
        yield LabelledText(text, labels, row.line)


def _refuse_header(texts: Sequence[LabelledText], path: str | Path) -> None:
    """Refuses a first row whose labels no other row has: it probably names the columns."""
    first, *others = texts
    known = {label for text in others for label in text.labels}
    if len(others) >= MIN_ROWS_TO_GUESS_HEADER and first.labels and known.isdisjoint(first.labels):
        labels = cut(", ".join(first.labels))
        raise DataError(
            f"{path}:{first.line}: expected a label that other rows have too, got {labels}. If this line names the "
            "columns, choose them by these names or add --data.header true; if not, add --data.header false"
        )


def _labels(value: object, column: str | int, here: str, *, multi_label: bool) -> tuple[str, ...]:
    """The labels in a column, each once."""
    values: Sequence[object] = [value]
    if multi_label and isinstance(value, str):
        values = [part for part in value.split(SEPARATOR) if part.strip()]
    elif multi_label and isinstance(value, list):
        values = value
    labels = []
    for item in values:
        label = _label(item)
        if not label or re.search(r"[\t\r\n]", label):
            hint = "A label is a text without tabs and line ends, or a whole number"
            if isinstance(value, list) and not multi_label:
                hint = "For several labels a text: --data.multi_label true"
            elif isinstance(item, float):
                hint += ": convert the column, 1.0 to 1 for example"
            raise DataError(f"{here}: expected a label in column {column}, got {shown(value)}. {hint}")
        labels.append(label)
    return tuple(dict.fromkeys(labels))


def _label(value: object) -> str:
    """A label as text. It is empty if the value is not a label."""
    if isinstance(value, str):
        return value.strip()
    # Whole numbers are labels too. True and False are instances of int, and are written as JSON writes them.
    return json.dumps(value) if isinstance(value, int) else ""
