"""Where the files of corpora come from."""

from __future__ import annotations

from pathlib import Path

from datamodules.corpus import RemoteFile

# The corpora that come with the package.
SAMPLES = Path(__file__).parents[1] / "samples"


def github_address(repository: str, commit: str, path: str) -> str:
    """The address of a file of a repository on GitHub at a pinned commit."""
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{path}"


def github(repository: str, commit: str, path: str, sha256: str | None) -> RemoteFile:
    """A file of a repository on GitHub at a pinned commit, stored as it is."""
    return RemoteFile(github_address(repository, commit, path), sha256, file_name=path.rpartition("/")[2])
