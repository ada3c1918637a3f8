"""A run's claim on its folder: two runs that start at the same time do not write into one folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from weakref import finalize

from zoo.errors import ZooError

try:
    import fcntl
# Windows has no such module.
except ImportError:
    fcntl = None  # type: ignore[assignment]


class Claim:
    """Holds a folder until it is released, or its process ends in any way.

    It is a lock on the folder itself, so it leaves no file behind. A file system without such locks grants every claim.

    Raises:
        ZooError: another run holds the folder.
    """

    _release: Callable[[], object] | None = None

    def __init__(self, folder: Path):
        if fcntl is None:
            return
        descriptor = os.open(folder, os.O_RDONLY)
        self._release = finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise ZooError(
                f"another run is writing into {folder}: wait until it ends, or choose another folder with --out"
            ) from None
        # The file system has no locks.
        except OSError:
            self.release()

    def release(self) -> None:
        """Lets other runs have the folder."""
        if self._release is not None:
            self._release()
