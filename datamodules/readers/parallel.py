"""Reads pairs of texts from the lines of two parallel files, or from two columns of a table."""

from __future__ import annotations

from pathlib import Path

from datamodules.errors import DataError
from datamodules.readers.tables import read_rows, require_text
from datamodules.readers.text_files import LINE_END, numbered, open_text
from zoo.batches.seq2seq import Pair


def read_parallel(source: str | Path, target: str | Path) -> list[Pair]:
    """Reads two parallel files, plain or gzipped: line n of one belongs to line n of the other.

    >>> from datamodules import locate
    >>> files = locate("sample-phrases")
    >>> read_parallel(files["dev/en"], files["dev/de"])[1]
    Pair(source='Please close the window.', target='Bitte schließen Sie das Fenster.')

    Raises:
        DataError: a file is missing or not UTF-8, the files differ in length, or a line is empty.
    """
    sources = _lines(source)
    targets = _lines(target)
    if len(sources) != len(targets):
        first = min(len(sources), len(targets)) + 1
        longer = source if len(sources) > len(targets) else target
        raise DataError(
            f"expected as many lines in {source} as in {target}, got {len(sources)} and {len(targets)}: line {first} "
            f"of {longer} has no partner. Check with `diff` whether a line before it is missing in the other file"
        )
    pairs = []
    for number, pair in enumerate(zip(sources, targets, strict=True), 1):
        _refuse_empty(pair[0], f"{source}:{number}")
        _refuse_empty(pair[1], f"{target}:{number}")
        pairs.append(Pair(*pair))
    return pairs


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
) -> list[Pair]:
    """Reads pairs from two columns of a table.

    >>> from datamodules import locate
    >>> read_pairs(locate("sample-headlines")["dev"], "text", "headline")[1].target
    'Lost dog walks home from holiday'

    Args:
        path, format, header: as in `datamodules.readers.tables.read_rows`.
        source: the column of the sources: a name, or a number, 0 the first and -1 the last.
        target: the column of the targets, given in the same way.

    Raises:
        DataError: as in `datamodules.readers.tables.read_rows`; or there is no row, a text is not a string, or empty.
    """
    pairs = []
    for row in read_rows(path, (source, target), format=format, header=header):
        here = f"{path}:{row.line}"
        texts = []
        for column, value in zip((source, target), row.values, strict=True):
            text = require_text(value, column, here)
            _refuse_empty(text, f"{here}, column {column}")
            texts.append(text)
        pairs.append(Pair(*texts))
    if not pairs:
        raise DataError(f"{path}: expected pairs of texts, got none")
    return pairs


def _refuse_empty(text: str, place: str) -> None:
    """Refuses an empty text; `place` is its file and line."""
    if not text.strip():
        raise DataError(f"{place}: expected a text, got an empty one. Remove the pair, on both sides")


def _lines(path: str | Path) -> list[str]:
    with open_text(path) as stream:
        return [line.rstrip(LINE_END) for _, line in numbered(stream, str(path))]
