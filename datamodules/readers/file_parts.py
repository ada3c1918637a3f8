"""Cuts a large file into parts of whole records, so that several processes can read it.

Parts depend on the file alone, not on the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

# Bytes of a part, without the rest of its last record. Its strings take about fifteen times as many bytes of memory.
PART = 1 << 22
# Examples of a part, where the parts of a file cannot be read independently.
CHUNK = 1 << 15

Example = TypeVar("Example")
Example_co = TypeVar("Example_co", covariant=True)


@dataclass(frozen=True)
class FilePart:
    """The bytes of a plain text file in UTF-8 from `start` to `end`. Readers take it in place of a path.

    Its lines have the numbers that they have in the file, and messages name the file.
    """

    path: str
    start: int
    end: int
    first_line: int
    """The number of its first line."""

    def __str__(self) -> str:
        return self.path

    @property
    def size(self) -> int:
        return self.end - self.start


Source = str | Path | FilePart


@dataclass(frozen=True)
class Parted(Generic[Example_co]):
    """Examples in parts that are read independently of each other."""

    parts: Callable[[], Iterator[Any]]
    """Yields the parts, in order."""
    read: Callable[[Any], Iterator[Example_co]]
    """Yields the examples of a part. It is called in other processes too."""
    size_of: Callable[[Any], int]
    """The size of a part, for a progress bar."""
    size: int | None = None
    """The size of all parts, if it is known before they are read."""

    @classmethod
    def file(
        cls, path: str | Path, read: Callable[[FilePart], Iterator[Example_co]], *, blank_lines: bool
    ) -> Parted[Example_co]:
        """The examples of a file; the arguments are those of `file_parts`."""
        parts = partial(file_parts, path, blank_lines=blank_lines)
        return cls(parts, read, lambda part: part.size, os.path.getsize(path))

    @classmethod
    def chunks(cls, read: Callable[[], Iterator[Example_co]]) -> Parted[Example_co]:
        """Examples that are read one after the other, `CHUNK` of them in a part."""

        def parts() -> Iterator[list[Example_co]]:
            examples = read()
            while chunk := list(islice(examples, CHUNK)):
                yield chunk

        return cls(parts, iter, len)

    def then(self, convert: Callable[[Iterator[Example_co]], Iterator[Example]]) -> Parted[Example]:
        """The same parts, whose examples are converted after they are read."""
        return Parted(self.parts, lambda part: convert(self.read(part)), self.size_of, self.size)


def file_parts(path: str | Path, *, blank_lines: bool) -> Iterator[FilePart]:
    """Yields the parts of a plain text file in UTF-8, in order.

    Args:
        path: the file.
        blank_lines: whether a record ends with a blank line; otherwise each line is a record.
    """
    start = 0
    first_line = 1
    with open(path, "rb") as file:
        while block := file.read(PART):
            end = start + len(block)
            next_line = first_line + block.count(b"\n")
            at_line_start = block.endswith(b"\n")
            for line in file:
                end += len(line)
                next_line += 1
                if not blank_lines or (at_line_start and not line.strip(b" \t\r\n")):
                    break
                at_line_start = True
            yield FilePart(str(path), start, end, first_line)
            start = end
            first_line = next_line


def parallel_parts(source: str | Path, target: str | Path) -> Iterator[tuple[FilePart, FilePart]]:
    """Yields the parts of two files with as many lines each. If one has more lines, the last parts differ."""
    start = 0
    with open(target, "rb") as file:
        parts = file_parts(source, blank_lines=False)
        part = next(parts, None)
        while part is not None:
            following = next(parts, None)
            if following is None:
                end = os.fstat(file.fileno()).st_size
            else:
                _skip_lines(file, following.first_line - part.first_line)
                end = file.tell()
            yield part, FilePart(str(target), start, end, part.first_line)
            start = end
            part = following


def _skip_lines(file: BinaryIO, lines: int) -> None:
    """Moves past the given number of lines, or to the end of the file."""
    while lines and (block := file.read(PART)):
        ends = block.count(b"\n")
        if ends >= lines:
            after = block.split(b"\n", lines)[lines]
            file.seek(-len(after), os.SEEK_CUR)
            return
        lines -= ends
