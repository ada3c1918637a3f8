"""Reads the two parts of a `.keras` file safely. It is a zip of a configuration in JSON and of weights in HDF5.

A small file of either kind can unpack to more than memory holds, and HDF5 can point to other files.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import ZooError

if TYPE_CHECKING:
    import h5py

# The first bytes of an HDF5 file.
HDF5 = b"\x89HDF\r\n\x1a\n"
# Weights hardly compress. A file that unpacks to more than so many times its size is not a model and may fill memory.
MOST_UNPACKED = 20


def unpack(path: Path) -> tuple[dict[str, Any], bytes]:
    """The configuration of a `.keras` file, and its file of weights.

    Raises:
        ZooError: they would unpack to far more than the parts of a model. A damaged file can raise any error.
    """
    with zipfile.ZipFile(path) as archive:
        config: dict[str, Any] = json.loads(_unpacked(path, archive, "config.json"))
        return config, _unpacked(path, archive, "model.weights.h5")


def another_kind(path: Path) -> str | None:
    """Describes what is clearly not a `.keras` file. None where the path may lead to one."""
    if path.is_dir():
        return "a folder, as TensorFlow's SavedModel is: load it where it was made"
    if path.exists() and not path.is_file():
        return "something that is not a file"
    try:
        with open(path, "rb") as file:
            start = file.read(len(HDF5))
    except OSError:
        # Unpacking raises the same error, which is reported there.
        return None
    if start == HDF5:
        return "an HDF5 file, either weights alone or the older format: load it with keras.models.load_model"
    return None


def _unpacked(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    entry = archive.getinfo(name)
    most = MOST_UNPACKED * path.stat().st_size
    if entry.file_size > most:
        raise ZooError(
            f"expected {name} of at most {most:,} bytes, unpacked, in a file of this size: {entry.file_size:,}"
        )
    return archive.read(entry)


def read_weights(file: h5py.File, group: str, number: int, shape: tuple[int, ...]) -> Tensor:
    """Reads one variable of a layer. Links to other files are not followed."""
    import h5py

    node = file
    path = f"{group}/vars/{number}"
    for part in path.split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(part, getlink=True), h5py.HardLink):
            raise ZooError(f"model.weights.h5 has no {path}")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external or node.dtype.kind != "f":
        raise ZooError(f"expected floating-point weights at {path} of model.weights.h5, got {node}")
    if node.shape != shape:
        raise ZooError(f"expected weights of shape {shape} at {path} of model.weights.h5, got {node.shape}")
    # HDF5 does not store repeated values.
    if node.nbytes > MOST_UNPACKED * file.id.get_filesize():
        raise ZooError(f"expected weights at {path} of model.weights.h5, got {node.nbytes:,} bytes, nearly all alike")
    return torch.from_numpy(node[()]).float()
