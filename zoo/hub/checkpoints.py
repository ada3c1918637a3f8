"""Reads checkpoints of training. Only tensors and plain values are unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from zoo.errors import ZooError

ENDING = ".ckpt"
PARTS = {"model_class": str, "hyper_parameters": dict, "state_dict": dict}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint with at least the entries "model_class", "hyper_parameters" and "state_dict".

    Raises:
        ZooError: the file cannot be read, or is not such a checkpoint.
    """
    expected = "expected a checkpoint of a run"
    # To open a pipe would wait forever.
    if path.exists() and not path.is_file():
        raise ZooError(f"{path}: {expected}, got something that is not a file")
    try:
        # torch compares no checksums.
        with ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise BadZipFile(damaged)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ZooError(f"{path}: {expected}, got: {error.strerror}") from error
    except Exception as error:
        # A damaged file can raise any error. Torch's own message advises the user to run the code in the file.
        raise ZooError(f"{path}: {expected}, got a damaged file or one of another kind") from error
    found: dict[str, Any] = checkpoint if isinstance(checkpoint, dict) else {}
    if not all(isinstance(found.get(name), kind) for name, kind in PARTS.items()):
        raise ZooError(f"{path}: {expected}, got a file without {', '.join(sorted(PARTS))}")
    if not all(isinstance(value, torch.Tensor) for value in found["state_dict"].values()):
        raise ZooError(f"{path}: {expected}, got weights that are not tensors")
    return found
