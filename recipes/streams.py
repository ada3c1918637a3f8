"""Text in, predictions out: files or standard streams, order kept, memory bounded."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from datamodules.text_files import LINE_END, numbered
from recipes.recipe import Recipe
from zoo.errors import ZooError

# Items at a time, and characters or tokens after which it is enough: memory stays bounded however long the input is.
CHUNK, LONG = 1000, 1_000_000
Item = TypeVar("Item", bound=Sized)


def prediction_parser(
    recipe: Recipe, description: str, pretrained: str, formats: Sequence[str]
) -> argparse.ArgumentParser:
    """The arguments of every `predict`: input, model, output and its format, of which the first is the default."""
    parser = argparse.ArgumentParser(prog=f"python -m recipes.{recipe.name} predict", description=description)
    parser.add_argument("input", nargs="?", default="-", help="a file, - for standard input (default)")
    which = f"name, model or run folder, checkpoint ({pretrained})"
    parser.add_argument("--model", default=pretrained, help=which)
    parser.add_argument("--format", choices=formats, default=formats[0], help=f"of the output ({formats[0]})")
    parser.add_argument("--output", default="-", help="a new file, - for standard output (default)")
    parser.add_argument("--overwrite", action="store_true", help="the output may replace a file")
    return parser


def lines(stream: TextIO, name: str) -> Iterator[str]:
    """Lines without their ends; `name` is for error messages."""
    return (line.rstrip(LINE_END) for _, line in numbered(stream, name))


def stream(
    options: argparse.Namespace,
    read: Callable[[TextIO, str], Iterator[Item]],
    write: Callable[[Sequence[Item]], Iterable[str]],
    unit: str,
    header: str = "",
) -> None:
    """Reads items from the input and writes what becomes of them to the output, a chunk at a time.

    Args:
        options: those of a `prediction_parser`.
        read: items of the input, which has a name.
        write: the text for a chunk of items.
        unit: what the items are called.
        header: what the output begins with.
    """
    with ExitStack() as stack:
        source = stack.enter_context(_open_input(options.input))
        target = stack.enter_context(_open_output(options.output, options.overwrite))
        typed = source.isatty()  # by somebody who waits for an answer to each
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.completed} " + unit),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                disable=typed or not sys.stderr.isatty(),
            )
        )
        task = progress.add_task("", total=None)
        items = read(source, "standard input" if options.input == "-" else options.input)
        target.write(header)
        for chunk in _chunks(items, 1 if typed else CHUNK):
            target.writelines(write(chunk))
            target.flush()
            progress.advance(task, len(chunk))


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


def _open_input(name: str):
    if name == "-":
        if sys.stdin is None:
            raise ZooError("standard input is closed: give a file to read, or text through a pipe")
        sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")
        return nullcontext(sys.stdin)
    try:
        return open(name, encoding="utf-8-sig", newline="\n")
    except OSError as error:
        raise ZooError(f"{name}: expected a file to read, got: {error.strerror}. Check the path") from error


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
