"""Turns the name of a model into a folder on this machine: bundled, of the Hugging Face hub, of W&B, or an archive."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import ZooError, unknown_name
from zoo.hub.archives import fetch_archive
from zoo.hub.artifacts import fetch_artifact
from zoo.hugging_face import REPOSITORY, fetch_folder
from zoo.model_folder import CARD, CONFIG

BUNDLED = Path(__file__).parent / "bundled"
# The folder of the model in the folder of a run.
IN_RUN = "model"


def bundled_names() -> list[str]:
    """The names of the models that come with this package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CARD}"))


def local_folder(
    source: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """The folder of a model, which is downloaded if it is elsewhere and not in the cache.

    The arguments are those of `zoo.from_pretrained`.

    Raises:
        ZooError: there is no such model, or it cannot be fetched.
    """
    path = Path(source)
    if (path / IN_RUN).is_dir() and not (path / CONFIG).exists():
        return path / IN_RUN
    if path.is_dir():
        return path
    name = str(source)
    if name in bundled_names():
        return BUNDLED / name
    if name.startswith("wandb:"):
        return fetch_artifact(name.removeprefix("wandb:"), cache_dir=cache_dir, local_files_only=local_files_only)
    if name.startswith("https://"):
        return fetch_archive(
            name, cache_dir=cache_dir, local_files_only=local_files_only, force_download=force_download
        )
    match = REPOSITORY.fullmatch(name.removeprefix("hf:"))
    if match is None or (os.sep in name and path.parent.is_dir() and not name.startswith("hf:")):
        raise unknown_name("pretrained model, folder or checkpoint", name, bundled_names())
    if revision is not None and match["revision"] is not None:
        raise ZooError(f"expected one revision, got {match['revision']} in {name} and revision={revision!r}")
    try:
        return fetch_folder(
            match["repo_id"],
            revision=match["revision"] or revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
    except ZooError as error:
        if name.startswith("hf:"):
            raise
        raise ZooError(f"there is no folder {name}, and on the Hugging Face hub: {error}") from error
