"""Streams items from a file or standard input to predictions, in order and in bounded memory."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from datamodules.errors import DataError
from recipes.prediction.inputs import Item, Source, free_name
from recipes.reports.json_text import json_text
from zoo.errors import ZooError

# The largest number of items in a chunk of the input.
CHUNK = 1000
# A chunk ends after this number of characters or tokens, so that memory stays bounded.
LONG = 1_000_000


def stream(
    source: Source,
    write: Callable[[Sequence[Item]], Iterable[str]],
    unit: str,
    *,
    output: str = "-",
    overwrite: bool = False,
    chunk_size: int = CHUNK,
    header: str = "",
) -> None:
    """Reads items and writes their predictions, a chunk at a time.

    Args:
        source: the input.
        write: returns the lines of output for a chunk of items.
        unit: the name of the items on the progress bar.
        output: the name of a new file, or "-" for standard output.
        overwrite: whether the output may replace a file.
        chunk_size: the number of items in a chunk; interactive input is answered item by item.
        header: the first line of the output.
    """
    with ExitStack() as stack:
        target = stack.enter_context(_open_output(output, overwrite))
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.completed} " + unit),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                disable=source.typed or not sys.stderr.isatty(),
            )
        )
        task = progress.add_task("", total=None)
        items = source.items()
        target.write(header)
        for chunk in _chunks(items, 1 if source.typed else chunk_size):
            target.writelines(write(chunk))
            target.flush()
            progress.advance(task, len(chunk))


class TsvRows:
    """Lines of a TSV file: the columns of the input's row, if it has some, and then those of the answer.

    A tab or line end inside a value of the input becomes a space. A header precedes the first row.

    Args:
        answers: the names of the answer's columns.
    """

    def __init__(self, answers: Sequence[str]):
        self.answers = answers
        # The columns of the input. None until the header is written.
        self.inputs: list[str] | None = None

    def header(self, inputs: Sequence[str] = ()) -> str:
        """The line that names the columns: the columns of the input, `inputs`, and those of the answer."""
        self.inputs = list(inputs)
        names = [_flat(name) for name in inputs]
        for name in self.answers:
            names.append(free_name(name, names))
        return "\t".join(names) + "\n"

    def row(self, item: Item, answer: Sequence[str]) -> str:
        """The line of an item, with the header before the first one.

        Raises:
            DataError: the item has a column that the first row does not have.
        """
        fields = item.fields or {}
        header = ""
        if self.inputs is None:
            header = self.header(list(fields))
        inputs = self.inputs or []
        unknown = [name for name in fields if name not in inputs]
        if unknown:
            raise DataError(
                f"expected the columns {', '.join(inputs)} as in the first row, got {unknown[0]} in another one: "
                "add --format jsonl, where each row has its own columns"
            )
        return header + "\t".join([*(_flat(fields.get(name)) for name in inputs), *answer]) + "\n"


def _flat(value: object) -> str:
    """A value of the input as one field of a TSV file."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    return " ".join(text.split())


def _chunks(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Yields lists of at most `most` items. Lists of long items are shorter."""
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item)
        if len(chunk) == most or size >= LONG:
            yield chunk
            chunk = []
            size = 0
    if chunk:
        yield chunk


@contextmanager
def _open_output(name: str, overwrite: bool) -> Iterator[TextIO]:
    """Opens the output. A file gets its name when it is complete, so an error never destroys an older file."""
    if name == "-":
        if sys.stdout is None:
            raise ZooError("standard output is closed: give a file to write with --output")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        yield sys.stdout
        return
    path = Path(name)
    if path.exists() and not overwrite:
        raise ZooError(f"{name} exists: choose another --output, or add --overwrite to replace it")
    # A pipe or a device is written to directly.
    is_file = path.is_file() or not path.exists()
    part = path
    if is_file:
        # A link stays a link: the file that it points to is replaced.
        path = path.resolve()
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        target = open(part, "w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise ZooError(f"{name}: expected a file that can be written, got: {error.strerror}. Check the path") from error
    try:
        with target:
            yield target
        if is_file:
            os.replace(part, path)
    finally:
        if is_file:
            part.unlink(missing_ok=True)
