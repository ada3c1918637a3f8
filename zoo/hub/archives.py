"""Fetches a model folder that is published as an archive: .zip, .tar, .tar.gz or .tar.xz, with its sha256."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from zoo.download import download, user_cache
from zoo.errors import ZooError
from zoo.model_folder import CARD, CODEC, CONFIG, LARGEST, README, WEIGHTS
from zoo.packages import require_extra

ADDRESS = re.compile(r"(?P<url>https://[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})")
# In bytes, packed or unpacked.
MAX_BYTES = 4 << 30
FILES = (CONFIG, CODEC, WEIGHTS, CARD)
BROKEN = (OSError, EOFError, ValueError, zlib.error, LZMAError, tarfile.TarError, zipfile.BadZipFile, HTTPException)


def default_cache() -> Path:
    """The folder for fetched models: `lstm-zoo/models` in the user's cache folder.

    Raises:
        ZooError: the user has no home folder, or the extra `hub` is not installed.
    """
    # Loading a bundled model needs no cache.
    require_extra("hub")
    try:
        return user_cache() / "models"
    except RuntimeError as error:
        raise ZooError("expected a folder for fetched models, but this user has no home: give cache_dir") from error


def fetch_archive(
    address: str,
    *,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Returns the model folder of an archive: that of the cache, else one that is downloaded and unpacked.

    Only the files of a model are unpacked, under their own names. Several processes may fetch one archive at once.

    Args:
        address: "https://HOST/FILE#sha256=SUM".
        cache_dir: the folder for fetched models; by default `default_cache()`.
        local_files_only: whether only the cache is read.
        force_download: whether the archive is fetched even if it is in the cache.

    Raises:
        ZooError: the address has no sum, cannot be read, or has another file than the one of this sum; or the archive
            is not one model folder.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ZooError(f"expected the address of an archive with its sum, {address[:200]}#sha256=SUM")
    url = match["url"]
    sha256 = match["sha256"]
    root = Path(cache_dir) if cache_dir is not None else default_cache()
    folder = root / sha256
    if folder.is_dir() and not force_download:
        return folder
    if local_files_only:
        raise ZooError(f"{url}: expected a copy in {root}, got none: unset local_files_only to fetch it")
    # The name is unique, because another process may fetch the same archive at the same time.
    part = root / f".{sha256}.{uuid.uuid4().hex}.part"
    try:
        part.mkdir(parents=True)
        packed = part / "archive"
        with packed.open("xb") as file:
            download(url, file, MAX_BYTES)
        with packed.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise ZooError(f"{url}: expected an archive with sha256 {sha256}, got {found}: it is incomplete or another")
        _unpack(packed, part, url)
        packed.unlink()
        move_folder(part, folder, replaces=force_download)
    except ZooError:
        raise
    except BROKEN as error:
        raise ZooError(f"{url}: expected to fetch a model into {folder}, got: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def move_folder(part: Path, folder: Path, *, replaces: bool = False) -> None:
    """Gives a complete folder its final name.

    Args:
        part: the complete folder.
        folder: its final name. If another process was faster with the same content, its folder stays: somebody may be
            reading it.
        replaces: whether a folder that is there is replaced, because the user asks for a new copy.
    """
    if replaces and folder.is_dir():
        old = part.with_suffix(".old")
        os.replace(folder, old)
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.replace(part, folder)
    # The name is that of a folder with files.
    except OSError:
        if not folder.is_dir():
            raise


def _unpack(packed: Path, folder: Path, url: str) -> None:
    """Writes the files of the model in an archive to `folder`.

    Raises:
        ZooError: a file of a model is missing, occurs twice, or is too large.
    """
    room = MAX_BYTES
    found = set()
    for member, content in _members(packed):
        name = PurePosixPath(member).name
        # Other files of an archive are not unpacked.
        if name not in (*FILES, README):
            continue
        if name in found:
            raise ZooError(f"{url}: expected one model, got two files {name}")
        found.add(name)
        room -= _copy(content, folder / name, min(room, LARGEST.get(name, room)), f"{url}: {member}")
    missing = [name for name in FILES if name not in found]
    if missing:
        raise ZooError(f"{url}: expected the files of a model folder, {', '.join(missing)} missing")


def _members(packed: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the content of each regular file; links and folders are left out."""
    if zipfile.is_zipfile(packed):
        with zipfile.ZipFile(packed) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    with archive.open(info) as content:
                        yield info.filename, content
        return
    with tarfile.open(packed, mode="r:*") as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isreg() else None
            if opened is not None:
                yield member.name, opened


def _copy(content: IO[bytes], path: Path, max_bytes: int, place: str) -> int:
    """Writes at most `max_bytes` of a member to a new file, and returns their number."""
    written = 0
    with path.open("xb") as file:
        while block := content.read(1 << 20):
            written += len(block)
            if written > max_bytes:
                raise ZooError(f"{place}: expected at most {max_bytes:,} bytes, got more")
            file.write(block)
    return written
