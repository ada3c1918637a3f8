"""Texts with labels in the way of fastText, a text a line with any number of labels: `__label__good A fine film`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.readers.tables.columns import Record, Row, place_of
from datamodules.readers.text_files import numbered, open_text

PREFIX = "__label__"
LABEL = re.compile(rf"(?<!\S){PREFIX}(\S*)\s*")
COLUMNS = ("label", "text")


def fasttext_rows(path: str | Path, columns: Sequence[str | int]) -> Iterator[Row]:
    """The values of `columns` in each line: "label" or 0, and "text" or 1."""
    names = [COLUMNS[place_of(column, COLUMNS, str(path), named=True)] for column in columns]
    for record in fasttext_records(path):
        yield Row(record.line, tuple(record.fields[name] for name in names))


def fasttext_records(path: str | Path) -> Iterator[Record]:
    """The label of each line, or the list of its labels if it has not exactly one, and its text."""
    with open_text(path) as stream:
        for number, line in numbered(stream, str(path)):
            if line.strip():
                labels = LABEL.findall(line)
                label = labels[0] if len(labels) == 1 else labels
                yield Record(number, {"label": label, "text": LABEL.sub("", line).strip()})


def is_fasttext(path: str | Path) -> bool:
    """Whether the first line of a file that is not blank begins with a label."""
    with open_text(path) as stream:
        for _, line in numbered(stream, str(path)):
            if line.strip():
                return line.lstrip().startswith(PREFIX)
    return False
