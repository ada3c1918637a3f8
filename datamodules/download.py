"""Finds the files of named corpora on this machine, and downloads those that are missing.

>>> locate("sample-en")["dev"].name
'dev.conllu'

A file that exists as ROOT/CORPUS/FILE is used as it is. A missing file is downloaded from a pinned commit, compared
with its sha256, and moved into place in one step, so that a file under its final name is complete.

To add a corpus, write an entry in `datamodules/catalog/` with `sha256=None` and `locate` it: it downloads the files
and prints the sums to enter.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import uuid
import zlib
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from tarfile import TarError
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from datamodules.catalog import CATALOG
from datamodules.corpus import Corpus, RemoteFile
from datamodules.errors import DataError
from zoo.download import download, user_cache
from zoo.errors import ZooError

# In bytes: several times the size of the largest corpus in the catalog.
MAX_DOWNLOAD = 1 << 30


def default_root() -> Path:
    """The folder of all corpora: `$ZOO_DATA`, or else `lstm-zoo` in the user's cache folder.

    Raises:
        DataError: the user has no home folder, and `$ZOO_DATA` is not set.
    """
    if os.environ.get("ZOO_DATA"):
        return _expanded(os.environ["ZOO_DATA"])
    return cache_folder()


def cache_folder() -> Path:
    """The folder `lstm-zoo` in the user's cache folder.

    Raises:
        DataError: the user has no home folder.
    """
    try:
        cache = user_cache()
    except RuntimeError as error:
        raise _no_home("the user's cache folder") from error
    return _expanded(cache)


def known_corpus(name: str) -> Corpus:
    """The entry of a corpus in the catalog.

    Raises:
        DataError: the catalog has no such name.
    """
    if name not in CATALOG:
        raise DataError(_unknown(name))
    return CATALOG[name]


def locate(name: str, root: str | Path | None = None) -> dict[str, Path]:
    """The path of each file of a corpus, by split. Missing files are downloaded.

    Several processes may locate the same corpus at once.

    Args:
        name: a name of the catalog.
        root: the folder of all corpora; by default `default_root()`.

    Raises:
        DataError: the catalog has no such name; a file cannot be downloaded, or differs from the expected one; or the
            catalog has no sums for the files. In the last case the message has the sums.
    """
    paths = {}
    without_sum = {}
    corpus = known_corpus(name)
    for split, origin in corpus.splits.items():
        # Bundled files need no download folder, so they work for a user without a home.
        if isinstance(origin, Path):
            paths[split] = origin
            continue
        path = (_expanded(root) if root else default_root()) / (corpus.folder or name) / origin.file_name
        if not path.is_file():
            _download(origin, path)
        if origin.sha256 is None:
            without_sum[split] = path
        paths[split] = path
    if without_sum:
        raise _sums_to_enter(name, without_sum)
    return paths


def _expanded(folder: str | Path) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise _no_home(folder) from error


def _no_home(folder: str | Path) -> DataError:
    """The error for a user without a home folder, as in many containers."""
    return DataError(
        f"expected a folder for corpora, got {folder}, but this user has no home folder: set ZOO_DATA to a folder"
    )


def _download(remote: RemoteFile, target: Path) -> None:
    # The name is unique, because another process may download the same file at the same time.
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fetch((remote.url, *remote.appended_urls), part)
            _convert(part, remote)
            sha256 = _sha256(part)
            if remote.sha256 not in (None, sha256):
                raise DataError(
                    f"{remote.url}: expected a file with sha256 {remote.sha256}, got {sha256} "
                    f"({part.stat().st_size:,} bytes). The download is incomplete or was changed: try again"
                )
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except DataError:
        raise
    # The file is too large.
    except ZooError as error:
        raise DataError(str(error)) from error
    except (OSError, HTTPException) as error:
        raise DataError(
            f"{remote.url}: expected to download this file to {target}, got: {error}. Try again, or put the file there "
            f"yourself, or set ZOO_DATA to a folder that has {target.parent.name}/{remote.file_name}"
        ) from error


def _fetch(urls: Iterable[str], part: Path) -> None:
    """Writes the contents of all `urls`, one after the other, to the new file `part`."""
    room = MAX_DOWNLOAD
    with part.open("xb") as file:
        for url in urls:
            room -= download(url, file, room)


def _convert(part: Path, remote: RemoteFile) -> None:
    """Replaces the contents of `part` by the result of `remote.convert`."""
    if remote.convert is None:
        return
    try:
        converted = remote.convert(part.read_bytes())
    # The archive is too large to be unpacked.
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zlib.error, BadZipFile, TarError, ParseError):
        # A damaged download stays as it is, and its sum differs from the expected one. If no sum is known, the author
        # of the entry needs the error.
        if remote.sha256 is None:
            raise
    else:
        part.write_bytes(converted)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sums_to_enter(name: str, paths: Mapping[str, Path]) -> DataError:
    lines = [f'    {split}: sha256="{_sha256(path)}"  # {path}' for split, path in paths.items()]
    return DataError(
        f"{name}: expected a sha256 for each file in datamodules/catalog, got none. If the files are the right "
        "ones, enter\n" + "\n".join(lines)
    )


def _unknown(name: str) -> str:
    # For example the same corpus in several languages.
    family = [other for other in CATALOG if other.startswith(f"{name}-")]
    close = difflib.get_close_matches(name, CATALOG, n=len(CATALOG))
    known = dict.fromkeys([*family, *close, *CATALOG])
    suggested = family or close[:1]
    hint = f"Did you mean {' or '.join(suggested)}? " if suggested else ""
    return (
        f"unknown corpus {name!r}: expected one of {', '.join(known)}. {hint}"
        "For your own files type --data.train FILE --data.dev FILE --data.test FILE"
    )
