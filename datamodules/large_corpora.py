"""Which corpora are encoded into a store, where the stores are, and what identifies one."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from datamodules.agreement import digest_of_files
from datamodules.arrow_files import import_arrow
from datamodules.download import cache_folder
from datamodules.errors import DataError
from datamodules.store_manifest import state_of

# A training split whose files have more bytes is encoded into a store. Its strings would take about four times as many
# bytes of memory while it is read.
LARGE = 1 << 28

# The user's choice whether a training split is encoded into a store.
Stored = bool | Literal["by_size"]


def is_large(files: Sequence[str | Path], wanted: Stored) -> bool:
    """Whether a split is encoded into a store.

    Args:
        files: its files.
        wanted: the user's choice; "by_size" leaves it to the size of the files.

    Raises:
        DataError: the user wants a store, and pyarrow is not installed.
    """
    if wanted != "by_size":
        if wanted:
            import_arrow("--data.store true")
        return wanted
    size = sum(os.path.getsize(file) for file in files if os.path.exists(file))
    if size <= LARGE:
        return False
    try:
        import_arrow("a corpus this large")
    except DataError as error:
        warnings.warn(f"{size:,} bytes are read into memory: {error}")
        return False
    return True


def stores_folder() -> Path:
    """The folder of all stores, in the user's cache folder.

    Raises:
        DataError: the user has no home folder.
    """
    return cache_folder() / "stores"


def store_key(files: Sequence[str | Path], settings: Mapping[str, object]) -> str:
    """What identifies a store: the contents of its files, and all settings that its columns depend on."""
    parts = [[digest(file) for file in files], sorted((name, repr(value)) for name, value in settings.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def digest(path: str | Path) -> str:
    """The sum of a file's content. It is kept beside the stores until the file changes, as large files take long."""
    absolute = os.path.abspath(path)
    kept = stores_folder() / "digests" / f"{hashlib.sha256(absolute.encode()).hexdigest()[:32]}.json"
    try:
        now = [absolute, *state_of(absolute)]
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["file"] == now:
            return str(known["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = digest_of_files([path])
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        state_file = kept.with_suffix(f".{os.getpid()}")
        state_file.write_text(json.dumps({"file": now, "digest": found}), encoding="utf-8")
        state_file.replace(kept)
    except OSError:
        # It is computed again the next time.
        pass
    return found
