"""Pairs of texts: two parallel files, or two columns of a table."""

from __future__ import annotations

from pathlib import Path

from datamodules.readers.tables import read_rows, require_text
from datamodules.readers.text_files import LINE_END, DataError, numbered, open_text
from zoo.batches.seq2seq import Pair


def read_parallel(source: str | Path, target: str | Path) -> list[Pair]:
    """Line n of one file with line n of the other; plain or compressed with gzip (`.gz`).

    Raises:
        DataError: a file is missing or not UTF-8, they have not as many lines, or a line is empty.
    """
    sides = [_lines(source), _lines(target)]
    if len(sides[0]) != len(sides[1]):
        first = min(map(len, sides)) + 1
        longer = (source, target)[len(sides[0]) < len(sides[1])]
        raise DataError(
            f"expected as many lines in {source} as in {target}, got {len(sides[0])} and {len(sides[1])}: line {first} "
            f"of {longer} has no partner. Check with `diff` whether one is missing before"
        )
    return [
        _pair(Pair(*texts), (f"{source}:{number}", f"{target}:{number}"))
        for number, texts in enumerate(zip(*sides, strict=True), 1)
    ]


def parallel_file(path: str | Path, side: str | int) -> str:
    """The file of a side: `train.de`, or of a name without an ending `train_de` or `train/de`; with `.gz` too.

    Args:
        path: the common part of the names, "my/train" or "my/train_" for example.
        side: the rest, "de" for example.

    Raises:
        DataError: there is none; what was looked for is listed.
    """
    names = [f"{path}.{side}", f"{path}{side}", f"{path}/{side}"]
    for name in [*names, *(f"{name}.gz" for name in names)]:
        if Path(name).is_file():
            return name
    raise DataError(
        f"{names[0]}: expected a file of {side}, one text a line, got none; nor {' or '.join(names[1:])}. Give the "
        "common part of the names of parallel files, and the rest with --data.source and --data.target. For a table "
        "name its format with --data.format"
    )


def read_pairs(
    path: str | Path, source: str | int, target: str | int, *, format: str | None = None, header: bool | None = None
) -> list[Pair]:
    """Two columns of a table.

    Args:
        path: the file, in UTF-8.
        source: the column of sources: a name, or a number, 0 the first and -1 the last.
        target: likewise of targets.
        format, header: as of `datamodules.readers.tables.read_table`.

    Raises:
        DataError: as `datamodules.readers.tables.read_table`, or a text is empty.
    """
    pairs = []
    for row in read_rows(path, (source, target), format=format, header=header):
        here = f"{path}:{row.line}"
        for column, text in ((source, row.text), (target, row.value)):
            require_text(text, column, here)
        pairs.append(_pair(Pair(row.text, row.value), (f"{here}, column {source}", f"{here}, column {target}")))
    if not pairs:
        raise DataError(f"{path}: expected pairs of texts, got none")
    return pairs


def _pair(pair: Pair, places: tuple[str, str]) -> Pair:
    for text, place in zip(pair, places, strict=True):
        if not text.strip():
            raise DataError(f"{place}: expected a text, got an empty one. Remove the pair, on both sides")
    return pair


def _lines(path: str | Path) -> list[str]:
    with open_text(path) as stream:
        return [line.rstrip(LINE_END) for _, line in numbered(stream, str(path))]
