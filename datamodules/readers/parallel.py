"""Reads pairs of texts from the lines of two parallel files, or from two columns of a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from datamodules.errors import DataError
from datamodules.readers.compression import ENDINGS as COMPRESSIONS
from datamodules.readers.file_parts import FilePart, Parted, Source, parallel_parts
from datamodules.readers.tables import Row, read_rows, require_text, row_parts
from datamodules.readers.text_files import LINE_END, can_be_cut, numbered, open_text
from zoo.batches.seq2seq import Pair


def read_parallel(source: str | Path, target: str | Path) -> Iterator[Pair]:
    """Yields the pairs of two parallel files: line n of one belongs to line n of the other.

    >>> from datamodules import locate
    >>> files = locate("sample-phrases")
    >>> list(read_parallel(files["dev/en"], files["dev/de"]))[1]
    Pair(source='Please close the window.', target='Bitte schließen Sie das Fenster.')

    Raises:
        DataError: a file is missing or not UTF-8, the files differ in length, or a line is empty.
    """
    return _zipped(source, target)


def parallel_file_parts(source: str | Path, target: str | Path) -> Parted[Pair] | None:
    """The same pairs as `read_parallel`, in parts. None for files that cannot be cut."""
    if not (can_be_cut(source) and can_be_cut(target)):
        return None
    return Parted(
        lambda: parallel_parts(source, target),
        lambda parts: _zipped(*parts),
        lambda parts: sum(part.size for part in parts),
        os.path.getsize(source) + os.path.getsize(target),
    )


def _zipped(source: Source, target: Source) -> Iterator[Pair]:
    """The pairs of two files, or of parts of them that begin at the same line."""
    number = source.first_line - 1 if isinstance(source, FilePart) else 0
    for source_text, target_text in zip_longest(_lines(source), _lines(target)):
        number += 1
        if source_text is None or target_text is None:
            raise _no_partner(str(source), str(target), number)
        _refuse_empty(source_text, f"{source}:{number}")
        _refuse_empty(target_text, f"{target}:{number}")
        yield Pair(source_text, target_text)


def _no_partner(source: str | Path, target: str | Path, line: int) -> DataError:
    """The error for two files the shorter of which ends before a line."""
    sources = sum(1 for _ in _lines(source))
    targets = sum(1 for _ in _lines(target))
    longer = source if sources > targets else target
    return DataError(
        f"expected as many lines in {source} as in {target}, got {sources} and {targets}: line {line} of {longer} has "
        "no partner. Check with `diff` whether a line before it is missing in the other file"
    )


def parallel_file(path: str | Path, side: str | int) -> str:
    """The name of one of two parallel files: `train.de`, else `train_de`, else `train/de`; or a compressed one.

    >>> from pathlib import Path
    >>> Path("train_de").touch()
    >>> parallel_file("train_", "de")
    'train_de'

    Args:
        path: the part of the names that both files share, "my/train" or "my/train_" for example.
        side: the rest of the name, "de" for example.

    Raises:
        DataError: there is no such file. The message lists the names that were tried.
    """
    names = [f"{path}.{side}", f"{path}{side}", f"{path}/{side}"]
    for name in [*names, *(name + ending for ending in COMPRESSIONS for name in names)]:
        if Path(name).is_file():
            return name
    raise DataError(
        f"{names[0]}: expected a file of {side}, one text a line, got none; nor {' or '.join(names[1:])}. Give the "
        "part of the name that both parallel files share, and the rest with --data.source and --data.target. For a "
        "table, name its format with --data.format"
    )


def read_pairs(
    path: str | Path, source: str | int, target: str | int, *, format: str | None = None, header: bool | None = None
) -> Iterator[Pair]:
    """Yields pairs from two columns of a table.

    >>> from datamodules import locate
    >>> list(read_pairs(locate("sample-headlines")["dev"], "text", "headline"))[1].target
    'Lost dog walks home from holiday'

    Args:
        path, format, header: as in `datamodules.readers.tables.read_rows`.
        source: the column of the sources: a name, or a number, 0 the first and -1 the last.
        target: the column of the targets, given in the same way.

    Raises:
        DataError: as in `datamodules.readers.tables.read_rows`; or there is no row, a text is not a string, or empty.
    """
    columns = (source, target)
    is_empty = True
    for pair in _pairs(read_rows(path, columns, format=format, header=header), columns, path):
        is_empty = False
        yield pair
    if is_empty:
        raise DataError(f"{path}: expected pairs of texts, got none")


def pair_parts(
    path: str | Path, source: str | int, target: str | int, *, format: str | None = None, header: bool | None = None
) -> Parted[Pair] | None:
    """The same pairs as `read_pairs`, in parts. None for a file that cannot be cut."""
    columns = (source, target)
    parted = row_parts(path, columns, format=format, header=header)
    return None if parted is None else parted.then(lambda rows: _pairs(rows, columns, path))


def _pairs(rows: Iterable[Row], columns: tuple[str | int, str | int], path: str | Path) -> Iterator[Pair]:
    for row in rows:
        here = f"{path}:{row.line}"
        texts = []
        for column, value in zip(columns, row.values, strict=True):
            text = require_text(value, column, here)
            _refuse_empty(text, f"{here}, column {column}")
            texts.append(text)
        yield Pair(*texts)


def _refuse_empty(text: str, place: str) -> None:
    """Refuses an empty text; `place` is its file and line."""
    if not text.strip():
        raise DataError(f"{place}: expected a text, got an empty one. Remove the pair, on both sides")


def _lines(path: Source) -> Iterator[str]:
    with open_text(path) as stream:
        for _, line in numbered(stream, str(path)):
            yield line.rstrip(LINE_END)
