"""What a store consists of, and whether its files are whole.

The manifest has the size and the sum of each file. Large files take long to read, so that their sums are not computed
at each start: a seal beside the manifest has the state in which each file was when its sum was last right. Only a file
in another state is read, such as each file of a store that was copied.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from datamodules.errors import DataError

FORMAT = "lstm-zoo store"
# A store of an older version is built anew, and one of a newer version is refused.
VERSION = 2
MANIFEST = "manifest.json"
SEAL = "seal.json"


class DamagedError(Exception):
    """What is under the name of a store is not a whole store of this version."""


def state_of(path: str | Path) -> list[int]:
    """What differs after a file has changed or was copied: its size, its inode and the times of its last changes."""
    state = os.stat(path)
    return [state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns]


def write_manifest(folder: Path, key: str) -> None:
    """Describes the files of a finished store; `key` identifies it."""
    names = sorted(path.name for path in folder.iterdir())
    files = {name: [os.path.getsize(folder / name), _sum_of(folder / name)] for name in names}
    manifest = {"format": FORMAT, "version": VERSION, "key": key, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    _seal(folder, names)


def check_manifest(folder: Path, key: str) -> list[str]:
    """The names of the files of a store.

    Raises:
        DamagedError: it is no store, another one, one of an older version, or one whose files are not whole.
        DataError: a newer version has written it.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        format = manifest["format"]
        version = manifest["version"]
        if format == FORMAT and version > VERSION:
            raise DataError(
                f"{folder}: a newer lstm-zoo has encoded this corpus (version {version}, this one reads {VERSION}). "
                "Update lstm-zoo, or remove the folder"
            )
        if format != FORMAT or version < VERSION or manifest["key"] != key:
            raise DamagedError("it is of an older version, or no store of this corpus")
        files = {str(name): (int(size), str(total)) for name, (size, total) in manifest["files"].items()}
        states = {name: state_of(folder / name) for name in files}
    except DataError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(str(error)) from error
    for name, (size, _) in files.items():
        if states[name][0] != size:
            raise DamagedError(f"{name} has {states[name][0]} bytes of {size}")
    sealed = _sealed(folder)
    changed = [name for name in files if sealed.get(name) != states[name]]
    for name in changed:
        if _sum_of(folder / name) != files[name][1]:
            raise DamagedError(f"{name} has changed")
    if changed:
        _seal(folder, files)
    return list(files)


def _sum_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(folder: Path, names: Iterable[str]) -> None:
    """Notes the state of files whose sums are right."""
    # Several processes may do so at once.
    own = folder / f"{SEAL}.{os.getpid()}"
    try:
        own.write_text(json.dumps({name: state_of(folder / name) for name in names}), encoding="utf-8")
        own.replace(folder / SEAL)
    except OSError:
        # In a folder that cannot be written to, the sums are computed at each start.
        own.unlink(missing_ok=True)


def _sealed(folder: Path) -> dict[str, object]:
    """The state of each file when its sum was last right."""
    try:
        states = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return states if isinstance(states, dict) else {}
