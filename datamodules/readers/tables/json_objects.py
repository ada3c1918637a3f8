"""Tables in JSON: an object a line (JSON Lines), or an array of objects."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from datamodules.errors import DataError
from datamodules.readers.file_parts import FilePart, Parted
from datamodules.readers.tables.columns import Record, Row, no_column, place_of
from datamodules.readers.text_files import numbered, open_text
from zoo.errors import shown

WHITE_SPACE = re.compile(r"[ \t\r\n]*")


def json_rows(path: str | Path, columns: Sequence[str | int]) -> Iterator[Row]:
    """The values of `columns` in each object. Numbers count the keys of the first object."""
    names: list[str] = []
    for number, fields in _objects(path):
        if not names:
            names = _names_of(columns, fields, f"{path}:{number}")
        yield _row(number, fields, names, path)


def json_parts(path: str | Path, columns: Sequence[str | int]) -> Parted[Row] | None:
    """The same rows as `json_rows`, in parts. None for an array, and for a file without an object."""
    with open_text(path) as stream:
        first = next((line for _, line in numbered(stream, str(path)) if line.strip()), "[")
    if first.lstrip().startswith("["):
        return None
    number, fields = next(_objects(path))
    names = _names_of(columns, fields, f"{path}:{number}")

    def read(part: FilePart) -> Iterator[Row]:
        with open_text(part) as stream:
            for number, fields in _checked(_line_values(numbered(stream, str(path)), path), path):
                yield _row(number, fields, names, path)

    return Parted.file(path, read, blank_lines=False)


def _names_of(columns: Sequence[str | int], first: Mapping[str, object], here: str) -> list[str]:
    """The names of columns, given by names or by the numbers of the first object's keys."""
    header = list(first)
    return [header[place_of(column, header, here, named=True)] for column in columns]


def _row(number: int, fields: Mapping[str, object], names: Sequence[str], path: str | Path) -> Row:
    here = f"{path}:{number}"
    for name in names:
        if name not in fields:
            raise no_column(name, list(fields), here)
        _check_characters(fields[name], name, here)
    return Row(number, tuple(fields[name] for name in names))


def json_records(path: str | Path) -> Iterator[Record]:
    """All columns of each object."""
    for number, fields in _objects(path):
        for name, value in fields.items():
            _check_characters([name, value], name, f"{path}:{number}")
        yield Record(number, fields)


def _objects(path: str | Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The objects of a file, each with the line that it begins in."""
    with open_text(path) as stream:
        yield from _checked(_values(numbered(stream, str(path)), path), path)


def _checked(values: Iterable[tuple[int, object]], path: str | Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The values, all of which must be objects."""
    for number, value in values:
        if not isinstance(value, dict):
            raise DataError(f"{path}:{number}: expected JSON objects, one a line or in an array, got {shown(value)}")
        yield number, value


def _values(lines: Iterator[tuple[int, str]], path: str | Path) -> Iterator[tuple[int, object]]:
    """The values of an array, if the first character is a bracket, or else of JSON Lines; with line numbers."""
    blank_lines = ""
    for number, line in lines:
        if not line.strip():
            blank_lines += line
        elif line.lstrip().startswith("["):
            following = (line for _, line in lines)
            yield from _array_values("".join(chain([blank_lines, line], following)), path)
        else:
            yield from _line_values(chain([(number, line)], lines), path)


def _line_values(lines: Iterable[tuple[int, str]], path: str | Path) -> Iterator[tuple[int, object]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_refuse_repeated_names)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}:{number}: expected a JSON object a line, got: {error}. An object over several lines must be "
                "part of an array"
            ) from error
        yield number, value


def _array_values(text: str, path: str | Path) -> Iterator[tuple[int, object]]:
    """The values of the array that begins with the first bracket of a text, one at a time."""
    decoder = json.JSONDecoder(object_pairs_hook=_refuse_repeated_names)
    place = _after_space(text, text.index("[") + 1)
    line = 1 + text.count("\n", 0, place)
    closed = text.startswith("]", place)
    while not closed:
        try:
            value, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: expected an array of JSON objects, got: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: expected an array of JSON objects, got: {error}") from error
        yield line, value
        end = _after_space(text, end)
        closed = text.startswith("]", end)
        if not closed and not text.startswith(",", end):
            raise DataError(f"{path}:{line}: expected an array of JSON objects, got no comma after the one here")
        following = end if closed else _after_space(text, end + 1)
        line += text.count("\n", place, following)
        place = following
    if text[place + 1 :].strip():
        raise DataError(f"{path}:{line}: expected one array of JSON objects, got more after its end")


def _after_space(text: str, place: int) -> int:
    """The place of the next character that is not white space."""
    match = WHITE_SPACE.match(text, place)
    return match.end() if match else place


def _refuse_repeated_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object. JSON does not say which of two values of the same name counts.

    Raises:
        ValueError: a name occurs twice.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"an object with two values of {name!r}")
    return fields


def _check_characters(value: object, column: str, here: str) -> None:
    """Refuses half a character (a surrogate), which can be written in JSON but not encoded in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise DataError(
            f"{here}: expected Unicode text in column {column}, got {half!r}, half of a character that is written "
            "as two escapes. Its text was cut inside the character: remove this half, or put the other one back"
        ) from error
