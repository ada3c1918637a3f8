"""Compressed files: gzip, bzip2, xz, and zip archives of one file. Their first bytes tell them, not their names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zipfile import BadZipFile, ZipFile, ZipInfo

from datamodules.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ENDINGS = (".gz", ".bz2", ".xz", ".zip")
GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"
XZ = b"\xfd7zXZ\x00"
ZIP = b"PK\x03\x04"
MAGICS = (GZIP, BZIP2, XZ, ZIP)
LONGEST_MAGIC = 6
# The exceptions of an incomplete or changed file, whatever has compressed it.
DAMAGED = (OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, BadZipFile)
# Text does not compress so well that a file unpacks to more bytes than this, and to more than so many times its size.
MAX_UNPACKED = 1 << 28
MAX_RATIO = 250
# In bytes.
BUFFER = 1 << 16
# The largest number of members of an archive in a message.
MEMBERS_SHOWN = 5
# The folder that macOS adds to an archive.
ADDED = "__MACOSX/"


class Unpacked(NamedTuple):
    """The content of a file, which is unpacked while it is read."""

    stream: io.BufferedReader
    size: int | None
    """The number of bytes of a file that is not compressed; None for a compressed file and for a pipe."""


def unpacked_name(path: str | Path) -> str:
    """The name that tells the format of a file: without the ending of a compression.

    An archive without another ending has the name of the file in it.

    >>> unpacked_name("reviews.csv.xz"), unpacked_name("reviews.csv")
    ('reviews.csv', 'reviews.csv')

    Raises:
        DataError: the archive cannot be read, or has several files.
    """
    name = str(path)
    ending = Path(name).suffix.lower()
    if ending not in ENDINGS:
        return name
    name = name[: -len(ending)]
    if ending != ".zip" or Path(name).suffix or not os.path.exists(path):
        return name
    try:
        with ZipFile(path) as archive:
            return _only_member(archive, path).filename
    except DataError:
        raise
    except (*DAMAGED, ValueError) as error:
        raise unreadable(path, error) from error


@contextmanager
def open_unpacked(path: str | Path) -> Iterator[Unpacked]:
    """Opens a file. What is read of it later may raise one of `DAMAGED`, or a DataError if it unpacks to too much.

    Raises:
        DataError: the file cannot be opened, or is an archive of several files or one with a password.
    """
    with ExitStack() as stack:
        try:
            opened = _open(path, stack)
            # A damaged file is refused at once.
            opened.stream.peek(1)
        except DataError:
            raise
        # ValueError: the names in a damaged archive.
        except (*DAMAGED, ValueError) as error:
            raise unreadable(path, error) from error
        yield opened


def _open(path: str | Path, stack: ExitStack) -> Unpacked:
    """Opens a file until the stack is closed."""
    plain = stack.enter_context(open(path, "rb"))
    start = plain.peek(LONGEST_MAGIC)[:LONGEST_MAGIC]
    # The size of a pipe is 0.
    size = os.fstat(plain.fileno()).st_size or None
    file: io.BufferedIOBase
    if start.startswith(GZIP):
        file = gzip.GzipFile(fileobj=plain)
    elif start.startswith(BZIP2):
        file = bz2.BZ2File(plain)
    elif start.startswith(XZ):
        file = lzma.LZMAFile(plain)
    elif start.startswith(ZIP):
        archive = stack.enter_context(ZipFile(plain))
        file = archive.open(_only_member(archive, path))  # type: ignore[assignment]
    else:
        return Unpacked(plain, size)
    raw = _Unpacking(stack.enter_context(file), path, packed=size)
    return Unpacked(io.BufferedReader(raw, BUFFER), None)


class _Unpacking(io.RawIOBase):
    """The bytes that a compressed file unpacks to, with an error if they are too many.

    Args:
        file: unpacks them.
        path: the compressed file, for the message.
        packed: the number of compressed bytes; None if it is not known.
    """

    def __init__(self, file: io.BufferedIOBase, path: str | Path, *, packed: int | None):
        self._file = file
        self._path = path
        self._room = None if packed is None else max(MAX_UNPACKED, MAX_RATIO * packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = self._file.readinto1(buffer)
        if self._room is not None:
            self._room -= count
            if self._room < 0:
                raise DataError(
                    f"{self._path}: expected compressed text, got a file that unpacks to more than {MAX_RATIO} times "
                    "its size. If it is what you want to read, unpack it first"
                )
        return count


def _only_member(archive: ZipFile, path: str | Path) -> ZipInfo:
    """The one file of an archive."""
    members = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith(ADDED)]
    if len(members) != 1:
        names = [info.filename for info in members[:MEMBERS_SHOWN]]
        listed = ", ".join(names) + (", ..." if len(members) > MEMBERS_SHOWN else "")
        raise DataError(f"{path}: expected an archive of one file, got {len(members)}: {listed}. Unpack it")
    if members[0].flag_bits & 1:
        raise DataError(f"{path}: expected an archive without a password, got one with it. Unpack it")
    return members[0]


def unreadable(path: object, error: Exception) -> DataError:
    """The error for a file that cannot be opened."""
    reason = getattr(error, "strerror", None) or error
    return DataError(f"{path}: expected a file to read, got: {reason}. Check the path")
