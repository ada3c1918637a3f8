"""Reads numbered lines of text from a file in UTF-8 or UTF-16, plain or compressed. All readers use it."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from datamodules.errors import DataError
from datamodules.readers.compression import DAMAGED, MAGICS, open_unpacked, unreadable
from datamodules.readers.file_parts import FilePart, Source

# Characters to strip from the end of a line. A line ends at a line feed only.
LINE_END = "\r\n"
# The byte-order mark. `open_text` drops the first one. Joined files may have more of them at the start of later lines.
MARK = "\ufeff"
# In bytes. Without a limit, a line in a compressed file of a few kilobytes could fill the memory.
MAX_LINE = 1 << 28
# UTF-8 that may begin with a byte-order mark.
UTF_8 = "utf-8-sig"
# The number of bytes that determine the encoding.
SAMPLE = 4096
# A text with at least so many zero bytes in every other place is UTF-16.
MIN_ZEROS = 16


@contextmanager
def open_text(path: Source, *, errors: str = "strict") -> Iterator[TextIO]:
    """Opens a file as a stream of text whose lines end at line feeds only. Read it through `numbered`.

    The first bytes show whether the file is compressed, whatever its name is, and whether it is UTF-16 (by its
    byte-order mark). Everything else is read as UTF-8.

    Args:
        path: the file, or a part of it.
        errors: how to treat bytes that do not fit the encoding, as in Python's `open`.

    Raises:
        DataError: the file cannot be opened, is compressed but not complete, is an archive of several files, or is in
            UTF-32, or in UTF-16 without the mark.
    """
    if isinstance(path, FilePart):
        with _open_part(path, errors) as part:
            yield part
        return
    with open_unpacked(path) as (file, size):
        # A line of a plain file is at most as long as the file.
        is_limited = size is not None and size <= MAX_LINE
        content = file if is_limited else _LimitedLines(file, str(path))
        encoding = _encoding(file.peek(SAMPLE)[:SAMPLE], path)
        with io.TextIOWrapper(content, encoding=encoding, errors=errors, newline="\n") as stream:
            yield stream


def numbered(stream: TextIO, name: str) -> Iterator[tuple[int, str]]:
    """The lines of a stream with their numbers from 1, or from the number of the first line of a part of a file.

    `name` is the name of the file, for messages.

    >>> from io import StringIO
    >>> list(numbered(StringIO("one\\ntwo"), "a file"))
    [(1, 'one\\n'), (2, 'two')]

    Raises:
        DataError: a byte does not fit the stream's encoding, a compressed file was cut or changed, or unpacks to
            too much; or a line of a stream of `open_text` is longer than `MAX_LINE`. The message names the line.
    """
    first = first_line(stream)
    number = first - 1
    try:
        for number, line in enumerate(stream, first):
            yield number, line
    # A stream decodes its next block only after it has returned all lines of the last block.
    except UnicodeDecodeError as error:
        bad_line = number + 1 + error.object[: error.start].count(b"\n")
        if error.encoding.startswith("utf-16"):
            raise DataError(
                f"{name}:{bad_line}: expected UTF-16 text, as its first bytes say, got: {error.reason}. "
                "Save the file again, best as UTF-8"
            ) from error
        raise DataError(
            f"{name}:{bad_line}: expected UTF-8 text, got the byte 0x{error.object[error.start]:02x}. Convert the "
            "file: iconv -f ENCODING -t UTF-8 OLD > NEW, where ENCODING is the old one, such as LATIN1 or GB18030"
        ) from error
    except DAMAGED as error:
        raise DataError(
            f"{name}:{number + 1}: expected a whole file, got: {error}. It is incomplete or was changed: copy or "
            "download it again"
        ) from error
    except _LineTooLongError as error:
        raise DataError(
            f"{name}:{number + 1}: expected lines of at most {MAX_LINE:,} bytes, got a longer one. If it is an array "
            "of JSON objects, write an object a line (JSON Lines); else check whether this is a file of text"
        ) from error


def can_be_cut(path: str | Path) -> bool:
    """Whether a file can be read in parts: it is a file of its own whose bytes are text in UTF-8, without compression.

    Raises:
        DataError: as in `open_text`.
    """
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        start = file.read(SAMPLE)
    return not start.startswith(MAGICS) and _encoding(start, path) == UTF_8


class _PartStream(io.TextIOWrapper):
    """The text of a part of a file.

    Attributes:
        first_line: the number of the first line.
    """

    first_line = 1


def _open_part(part: FilePart, errors: str) -> TextIO:
    """A stream of the lines of a part.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with open(part.path, "rb") as file:
            file.seek(part.start)
            content = io.BytesIO(file.read(part.size))
    except OSError as error:
        raise unreadable(part, error) from error
    # Only the first part may begin with the mark of the file.
    encoding = "utf-8" if part.start else UTF_8
    is_limited = part.size <= MAX_LINE
    stream = _PartStream(content if is_limited else _LimitedLines(content, str(part)), encoding, errors, newline="\n")
    stream.first_line = part.first_line
    return stream


def first_line(stream: TextIO) -> int:
    """The number of the first line of a stream; 1 unless it is one of a part of a file."""
    return stream.first_line if isinstance(stream, _PartStream) else 1


class _LineTooLongError(Exception):
    """A line is longer than `MAX_LINE`."""


class _LimitedLines(io.BufferedIOBase):
    """The bytes of a file, block by block, with an error for a line that is too long.

    In UTF-16, a byte that is counted as a line feed may be half of another character. The error is then raised later.
    """

    # A text stream reads this attribute before each line. A class attribute is the fastest.
    closed = False

    def __init__(self, file: io.BufferedReader | io.BytesIO, name: str):
        self.name = name
        self._file = file
        # The number of bytes of the current line.
        self._length = 0

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        block = self._file.read1(size)
        line_end = block.rfind(b"\n")
        if line_end < 0:
            self._length += len(block)
            if self._length > MAX_LINE:
                raise _LineTooLongError
        else:
            self._length = len(block) - line_end - 1
        return block


def _encoding(start: bytes, path: str | Path) -> str:
    """The encoding of a file, by the bytes at its start."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise _other_encoding(path, "UTF-32", option="UTF-32")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # In UTF-16 every other byte of ASCII text is zero. Such bytes are valid UTF-8 too.
    zeros_at_even = start[::2].count(0)
    zeros_at_odd = start[1::2].count(0)
    zeros = max(zeros_at_even, zeros_at_odd)
    if min(zeros_at_even, zeros_at_odd) == 0 and zeros >= max(MIN_ZEROS, len(start) // 4):
        option = "UTF-16BE" if zeros_at_even else "UTF-16LE"
        raise _other_encoding(path, "UTF-16 without a byte-order mark", option=option)
    return UTF_8


def _other_encoding(path: str | Path, name: str, *, option: str) -> DataError:
    return DataError(f"{path}: expected UTF-8 text, got {name}. Convert the file: iconv -f {option} -t UTF-8 OLD > NEW")
