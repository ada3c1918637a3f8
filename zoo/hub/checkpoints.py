"""Checkpoints of trainings, read as tensors and plain values alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from zoo.errors import ZooError

ENDING = ".ckpt"
PARTS = {"model_class": str, "hyper_parameters": dict, "state_dict": dict}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint of a model of the zoo: at least its "model_class", "hyper_parameters" and "state_dict".

    Raises:
        ZooError: it cannot be read, or is none of such a model.
    """
    expected = "expected a checkpoint of a run"
    if path.exists() and not path.is_file():  # to open a pipe would wait for ever
        raise ZooError(f"{path}: {expected}, got something that is no file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ZooError(f"{path}: {expected}, got: {error.strerror}") from error
    except Exception as error:  # a damaged file can raise anything, and torch's advice would be to run its code
        raise ZooError(f"{path}: {expected}, got a damaged file or one of another kind") from error
    found: dict[str, Any] = checkpoint if isinstance(checkpoint, dict) else {}
    if not all(isinstance(found.get(name), kind) for name, kind in PARTS.items()):
        raise ZooError(f"{path}: {expected}, got a file without {', '.join(sorted(PARTS))}")
    if not all(isinstance(value, torch.Tensor) for value in found["state_dict"].values()):
        raise ZooError(f"{path}: {expected}, got weights that are no tensors")
    return found
