"""Items in, predictions out: files or standard streams, order kept, memory bounded."""

from __future__ import annotations

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

# Items at a time, and characters or tokens after which it is enough: memory stays bounded however long the input is.
CHUNK, LONG = 1000, 1_000_000


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
    """Reads items and writes what becomes of them to the output, a chunk at a time.

    Args:
        source: where items come from.
        write: the text for a chunk of items.
        unit: what the items are called.
        output: a new file, "-" for standard output.
        overwrite: whether it may replace a file.
        chunk_size: items in a chunk; one where somebody types them.
        header: what the output begins with.
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
    """Lines of a TSV file: the columns of the input's rows, where they have some, and the answer's.

    A tab or line end inside a value of the input becomes a space. A header comes before the first row.

    Args:
        answers: names of the answer's columns.
    """

    def __init__(self, answers: Sequence[str]):
        self.answers = answers
        self.inputs: list[str] | None = None

    def header(self, inputs: Sequence[str] = ()) -> str:
        """The line that names the columns."""
        self.inputs = list(inputs)
        names = [_flat(name) for name in inputs]
        for name in self.answers:
            names.append(free_name(name, names))
        return "\t".join(names) + "\n"

    def row(self, item: Item, answer: Sequence[str]) -> str:
        """The line of an item.

        Raises:
            DataError: it has a column that the first one has not.
        """
        fields = item.fields or {}
        header = self.header(list(fields)) if self.inputs is None else ""
        unknown = [name for name in fields if name not in self.inputs]
        if unknown:
            raise DataError(
                f"expected the columns {', '.join(self.inputs)} as in the first row, got {unknown[0]} in another one: "
                "add --format jsonl, where each row has its own"
            )
        return header + "\t".join([*(_flat(fields.get(name)) for name in self.inputs), *answer]) + "\n"


def _flat(value: object) -> str:
    """A value of the input in one field of a TSV file."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    return " ".join(text.split())


def _chunks(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """So many items at a time, or fewer where they are long."""
    chunk, size = [], 0
    for item in items:
        chunk.append(item)
        size += len(item)
        if len(chunk) == most or size >= LONG:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@contextmanager
def _open_output(name: str, overwrite: bool) -> Iterator[TextIO]:
    """A file gets its name when all of it is written: it may be the input's, and an error loses nothing."""
    if name == "-":
        if sys.stdout is None:
            raise ZooError("standard output is closed: give a file to write with --output")
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        yield sys.stdout
        return
    path = Path(name)
    if path.exists() and not overwrite:
        raise ZooError(f"{name} exists: choose another --output, or add --overwrite to replace it")
    whole = path.is_file() or not path.exists()  # a pipe or a device is no file to be replaced
    path = path.resolve() if whole else path  # a link stays a link
    part = path.with_name(f".{path.name}.{os.getpid()}.part") if whole else path
    try:
        target = open(part, "w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise ZooError(f"{name}: expected a file that can be written, got: {error.strerror}. Check the path") from error
    try:
        with target:
            yield target
        if whole:
            os.replace(part, path)
    finally:
        if whole:
            part.unlink(missing_ok=True)
