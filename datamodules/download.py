"""The files of the named corpora on this machine.

    locate("ud-en-ewt")  ->  {"train": Path(...), "dev": Path(...), "test": Path(...)}

A file that is already at ROOT/CORPUS/FILE is used as it is. One that is missing is downloaded at a pinned
commit, compared with its sha256, and moved into place in one step: what has its final name is whole.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
import uuid
import zlib
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from tarfile import TarError
from urllib.request import urlopen
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from rich.console import Console
from rich.progress import wrap_file

from datamodules.catalog import CATALOG
from datamodules.corpus import RemoteFile
from datamodules.errors import DataError

TIMEOUT = 30.0  # seconds without a byte
LARGEST = 1 << 30  # bytes of a download: several times as many as any corpus of the catalog has


def default_root() -> Path:
    """The folder of all corpora: `$ZOO_DATA`, or `lstm-zoo` in the user's cache folder.

    Raises:
        DataError: neither is set, and the user has no home.
    """
    if os.environ.get("ZOO_DATA"):
        return _expanded(os.environ["ZOO_DATA"])
    variable = {"darwin": None, "win32": "LOCALAPPDATA"}.get(sys.platform, "XDG_CACHE_HOME")
    cache = os.environ.get(variable) if variable else None
    below_home = {"darwin": "~/Library/Caches", "win32": "~"}.get(sys.platform, "~/.cache")
    return _expanded(cache or below_home) / "lstm-zoo"


def locate(name: str, root: str | Path | None = None) -> dict[str, Path]:
    """The files of the corpus `name`, split by split, downloaded below `root` if they are not there.

    `root` is `default_root()` unless given. Several processes may ask for the same corpus at once.

    Raises:
        DataError: no corpus has this name, or a file cannot be downloaded, or is not the one expected.
    """
    if name not in CATALOG:
        raise DataError(_unknown(name))
    files = {}
    for split, origin in CATALOG[name].splits.items():
        if isinstance(origin, Path):  # bundled: it needs no folder, and so no home
            files[split] = origin
            continue
        files[split] = (_expanded(root) if root else default_root()) / name / origin.file
        if not files[split].is_file():
            _download(origin, files[split])
    return files


def _expanded(folder: str | Path) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:  # as in many containers
        raise DataError(
            f"expected a folder for corpora, got {folder}, and this user has no home: set ZOO_DATA to a folder"
        ) from error


def _download(remote: RemoteFile, target: Path) -> None:
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")  # another process writes another one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            sha256 = _fetch((remote.address, *remote.more), part)
            if remote.make is not None:
                sha256 = _rewrite(part, remote.make)
            if sha256 != remote.sha256:
                raise DataError(
                    f"{remote.address}: expected a file with sha256 {remote.sha256}, got {sha256} "
                    f"({part.stat().st_size:,} bytes). It was cut or changed on its way: try again"
                )
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, HTTPException) as error:
        raise DataError(
            f"{remote.address}: expected to download it to {target}, got: {error}. Try again; or fetch it "
            f"by other means and put it there; or set ZOO_DATA to a folder that has "
            f"{target.parent.name}/{remote.file}"
        ) from error


def _fetch(addresses: Iterable[str], part: Path) -> str:
    """Write what is at `addresses` to the new file `part`, one after the other; return its sha256."""
    digest, room = hashlib.sha256(), LARGEST
    with part.open("xb") as file:
        for address in addresses:
            with urlopen(address, timeout=TIMEOUT) as response:
                size = int(response.headers.get("Content-Length", 0))
                if size > room:
                    raise _too_large(address, f"{size:,} bytes")
                name, console = address.rpartition("/")[2], Console(stderr=True)
                quiet = not sys.stderr.isatty()
                with wrap_file(response, size, description=name, console=console, disable=quiet) as stream:
                    while block := stream.read(1 << 16):
                        room -= len(block)
                        if room < 0:
                            raise _too_large(address, "more")
                        digest.update(block)
                        file.write(block)
    return digest.hexdigest()


def _too_large(address: str, size: str) -> DataError:
    return DataError(
        f"{address}: expected at most {LARGEST:,} bytes, got {size}. This is not the corpus: try again later, or fetch "
        "it by other means"
    )


def _rewrite(part: Path, make: Callable[[bytes], bytes]) -> str:
    """Put what `make` makes of the file in its place; return the sha256."""
    content = part.read_bytes()
    try:
        made = make(content)
    except DataError:  # more than a corpus has: it was not unpacked
        raise
    except (OSError, ValueError, EOFError, zlib.error, BadZipFile, TarError, ParseError):
        made = content  # what was cut has another sum than what is expected too
    part.write_bytes(made)
    return hashlib.sha256(part.read_bytes()).hexdigest()


def _unknown(name: str) -> str:
    family = [other for other in CATALOG if other.startswith(f"{name}-")]  # of several languages, for example
    close = difflib.get_close_matches(name, CATALOG, n=len(CATALOG))
    known = dict.fromkeys([*family, *close, *CATALOG])
    hint = f"Did you mean {' or '.join(family or close[:1])}? " if family or close else ""
    return (
        f"unknown corpus {name!r}: expected one of {', '.join(known)}. {hint}"
        "For your own files type --data.train FILE --data.dev FILE --data.test FILE"
    )
