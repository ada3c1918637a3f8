"""Downloads a file, with a progress bar and a limit; and the folder for what is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

from zoo.errors import ZooError

# Seconds to wait for the next byte.
TIMEOUT = 30.0
# Bytes to read at a time.
BLOCK = 1 << 16


def user_cache() -> Path:
    """The folder `lstm-zoo` in the user's cache folder.

    Raises:
        RuntimeError: the user has no home folder.
    """
    # A model in a local folder is loaded without this package.
    from platformdirs import user_cache_path

    return user_cache_path("lstm-zoo", appauthor=False, opinion=False)


def download(url: str, file: BinaryIO, max_bytes: int) -> int:
    """Appends what is at `url` to a file, and returns its number of bytes.

    A bar shows the progress where standard error is a terminal.

    Raises:
        ZooError: there are more than `max_bytes`.
        OSError: the address cannot be read. `http.client.HTTPException` is possible too.
    """
    # A model in a local folder is loaded without this package.
    from rich.console import Console
    from rich.progress import wrap_file

    written = 0
    with urlopen(url, timeout=TIMEOUT) as response:
        size = int(response.headers.get("Content-Length", 0))
        if size > max_bytes:
            raise _too_large(url, f"{size:,}", max_bytes)
        name = url.rpartition("/")[2]
        quiet = not sys.stderr.isatty()
        with wrap_file(response, size, description=name, console=Console(stderr=True), disable=quiet) as stream:
            while block := stream.read(BLOCK):
                written += len(block)
                if written > max_bytes:
                    raise _too_large(url, "more", max_bytes)
                file.write(block)
    return written


def _too_large(url: str, size: str, max_bytes: int) -> ZooError:
    return ZooError(
        f"{url}: expected at most {max_bytes:,} bytes, got {size}. This is not the file: try again later, or get it "
        "in another way"
    )
