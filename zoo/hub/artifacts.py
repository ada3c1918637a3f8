"""Fetches a model folder that is an artifact of Weights & Biases."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

from zoo.errors import ZooError
from zoo.hub.archives import default_cache, move_folder
from zoo.packages import require_extra

# None of the parts begins with a dot, so that none leads out of the cache.
NAME = re.compile(r"(?P<path>\w[\w.-]*/\w[\w.-]*/\w[\w.-]*):(?P<alias>\w[\w.-]*)")
VERSION = re.compile(r"v\d+")


def fetch_artifact(name: str, *, cache_dir: str | Path | None = None, local_files_only: bool = False) -> Path:
    """Returns the model folder of an artifact: that of the cache, else one that is downloaded.

    A version such as "v3" never changes, so it is read from the cache if it is there. Any other alias may move: W&B is
    asked which version it names.

    Args:
        name: "entity/project/artifact:alias".
        cache_dir: the folder for fetched models; by default the user's cache folder.
        local_files_only: whether only the cache is read, which needs a version as alias.

    Raises:
        ZooError: the name has another form, W&B cannot be reached, or it has no such artifact.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ZooError(f"expected wandb:entity/project/artifact:alias, got wandb:{name[:200]}")
    root = Path(cache_dir) if cache_dir is not None else default_cache()
    folder = root / "wandb" / match["path"] / match["alias"]
    if VERSION.fullmatch(match["alias"]) and folder.is_dir():
        return folder
    if local_files_only:
        raise ZooError(
            f"wandb:{name}: expected a copy in {folder}, got none. Unset local_files_only, or name a version such as "
            f"{match['path']}:v0 that was fetched before"
        )
    # Importing wandb takes a second, and only artifacts need it.
    require_extra("train")
    import wandb

    try:
        artifact = wandb.Api().artifact(name)
        if not VERSION.fullmatch(str(artifact.version)):
            raise ValueError(f"a version {str(artifact.version)[:60]!r}, which is no v0, v1, ...")
        folder = root / "wandb" / match["path"] / str(artifact.version)
        if folder.is_dir():
            return folder
        part = folder.with_name(f".{artifact.version}.{uuid.uuid4().hex}.part")
        try:
            artifact.download(str(part))
            move_folder(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    # `wandb.Error` is for what W&B answers, and ValueError for a name without a project.
    except (wandb.Error, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ZooError(f"wandb:{name}: expected to fetch this artifact, got: {reason}") from error
    return folder
