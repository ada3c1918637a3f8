"""Reads pairs of texts from the lines of two parallel files, or from two columns of a table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from datamodules.errors import DataError
from datamodules.readers.tables import read_rows, require_text
from datamodules.readers.text_files import LINE_END, numbered, open_text
from zoo.batches.seq2seq import Pair


def read_parallel(source: str | Path, target: str | Path) -> Iterator[Pair]:
    """Yields the pairs of two parallel files, plain or gzipped: line n of one belongs to line n of the other.

    >>> from datamodules import locate
    >>> files = locate("sample-phrases")
    >>> list(read_parallel(files["dev/en"], files["dev/de"]))[1]
    Pair(source='Please close the window.', target='Bitte schließen Sie das Fenster.')

    Raises:
        DataError: a file is missing or not UTF-8, the files differ in length, or a line is empty.
    """
    texts = zip_longest(_lines(source), _lines(target))
    for number, (source_text, target_text) in enumerate(texts, 1):
        if source_text is None or target_text is None:
            raise _no_partner(source, target, number)
        _refuse_empty(source_text, f"{source}:{number}")
        _refuse_empty(target_text, f"{target}:{number}")
        yield Pair(source_text, target_text)


def _no_partner(source: str | Path, target: str | Path, line: int) -> DataError:
    """The error for two files the shorter of which ends before a line."""
    sources, targets = sum(1 for _ in _lines(source)), sum(1 for _ in _lines(target))
    longer = source if sources > targets else target
    return DataError(
        f"expected as many lines in {source} as in {target}, got {sources} and {targets}: line {line} of {longer} has "
        "no partner. Check with `diff` whether a line before it is missing in the other file"
    )


def parallel_file(path: str | Path, side: str | int) -> str:
    """The name of one of two parallel files: `train.de`, else `train_de`, else `train/de`; or these with `.gz`.

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
    for name in [*names, *(f"{name}.gz" for name in names)]:
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
    is_empty = True
    for row in read_rows(path, (source, target), format=format, header=header):
        here = f"{path}:{row.line}"
        texts = []
        for column, value in zip((source, target), row.values, strict=True):
            text = require_text(value, column, here)
            _refuse_empty(text, f"{here}, column {column}")
            texts.append(text)
        is_empty = False
        yield Pair(*texts)
    if is_empty:
        raise DataError(f"{path}: expected pairs of texts, got none")


def _refuse_empty(text: str, place: str) -> None:
    """Refuses an empty text; `place` is its file and line."""
    if not text.strip():
        raise DataError(f"{place}: expected a text, got an empty one. Remove the pair, on both sides")


def _lines(path: str | Path) -> Iterator[str]:
    with open_text(path) as stream:
        for _, line in numbered(stream, str(path)):
            yield line.rstrip(LINE_END)
