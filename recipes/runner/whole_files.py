"""Replaces files as a whole: a reader finds the old content or the new one, also after a kill or on a full disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The ending of a file that is not yet complete.
PART = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lets a block write a file beside `path`, which replaces `path` once it is on the disk.

    Yields:
        The path of the file to write.

    Raises:
        OSError: nothing can be written, for example because the disk is full. The old file remains.
    """
    part = path.with_name(path.name + PART)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        # The error of a full disk names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Writes the names in a folder to the disk, so that a renamed file survives a loss of power."""
    # Windows cannot open a folder.
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
