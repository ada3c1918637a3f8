"""From a file to numbered lines of text, for all readers: in UTF-8 or UTF-16, plain or compressed with gzip."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from datamodules.errors import DataError

LINE_END = "\r\n"
MARK = "\ufeff"  # of byte order; `open_text` drops the first, and one in a later line is left over from files joined
GZIP = b"\x1f\x8b"
DAMAGED = (OSError, EOFError, zlib.error)  # what gzip raises for a file that was cut or changed
SAMPLE = 4096  # bytes that show the encoding
ZEROS = 16  # of them in every other place: no chance, but UTF-16


@contextmanager
def open_text(path: str | Path) -> Iterator[TextIO]:
    """A file as a stream of text, whose lines end at line feeds alone.

    Its first bytes tell a gzip file, whatever its name is, and UTF-16 by its byte-order mark. All else is UTF-8.

    Raises:
        DataError: the file cannot be opened, is no whole gzip file, or is in UTF-32, or in UTF-16 without the mark.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
            if file.peek(len(GZIP)).startswith(GZIP):
                file = stack.enter_context(gzip.open(file))
            start = file.peek(SAMPLE)[:SAMPLE]
        except DAMAGED as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{path}: expected a file to read, got: {reason}. Check the path") from error
        stream = io.TextIOWrapper(file, encoding=_encoding(start, path), newline="\n")
        yield stack.enter_context(stream)


def _encoding(start: bytes, path: str | Path) -> str:
    """The encoding of a file that begins with these bytes."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise _other_encoding(path, "UTF-32", option="UTF-32")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # ASCII in UTF-16 is a zero in every other byte, and valid UTF-8.
    first, second = start[::2].count(0), start[1::2].count(0)
    if min(first, second) == 0 and max(first, second) >= max(ZEROS, len(start) // 4):
        option = "UTF-16BE" if first else "UTF-16LE"
        raise _other_encoding(path, "UTF-16 without a byte-order mark", option)
    return "utf-8-sig"


def _other_encoding(path: str | Path, name: str, option: str) -> DataError:
    return DataError(f"{path}: expected UTF-8 text, got {name}. Convert the file: iconv -f {option} -t UTF-8 OLD > NEW")


def numbered(stream: TextIO, name: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1.

    Raises:
        DataError: a byte is not of the stream's encoding, or a gzip file was cut or changed; with the line.
    """
    number = 0
    try:
        for number, line in enumerate(stream, 1):
            yield number, line
    except UnicodeDecodeError as error:
        # A stream decodes its next block only when all lines of the last one have been handed out.
        line = number + 1 + error.object[: error.start].count(b"\n")
        if error.encoding.startswith("utf-16"):
            raise DataError(
                f"{name}:{line}: expected UTF-16 text, as its first bytes say, got: {error.reason}. "
                "Save the file again, best as UTF-8"
            ) from error
        raise DataError(
            f"{name}:{line}: expected UTF-8 text, got the byte 0x{error.object[error.start]:02x}. Convert the file: "
            "iconv -f ENCODING -t UTF-8 OLD > NEW, where ENCODING is the old one, such as LATIN1 or GB18030"
        ) from error
    except DAMAGED as error:
        raise DataError(
            f"{name}:{number + 1}: expected a whole file, got: {error}. It was cut or changed: copy or download it anew"
        ) from error
