"""The files of a model folder: written whole, read with care, never a pickle.

`config.json` has the class and its arguments, `codec.json` its codec, `model.safetensors` its weights.
`card.json` has the sha256 of these three, and of a bundled model also what it was trained on, with which command, and
how good it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from zoo.errors import ZooError

CONFIG = "config.json"
CODEC = "codec.json"
WEIGHTS = "model.safetensors"
CARD = "card.json"
SUMMED = (CONFIG, CODEC, WEIGHTS)  # the files that decide an answer
LARGEST = {CONFIG: 1_000_000, CARD: 1_000_000, CODEC: 200_000_000}  # bytes of JSON that are read


class ModelFolder:
    """A folder that `write_model` wrote.

    Its JSON is checked against the sums of its card as it is read, its weights by `check_weights`.

    Raises:
        ZooError: a file is missing or damaged, or is not the one that the card describes.
    """

    def __init__(self, path: Path):
        self.path = path
        if not os.path.lexists(path / CONFIG):
            raise ZooError(
                f"{path} is no model folder, it has no {CONFIG}: give a folder that save_pretrained wrote, "
                "such as runs/*/*/model"
            )
        card = _parse(path / CARD, self._bytes(CARD))
        self._sums = card.get("sha256")
        if not isinstance(self._sums, dict) or set(self._sums) != set(SUMMED):
            raise ZooError(f'{path / CARD}: expected the "sha256" of {", ".join(SUMMED)}: {_again(path)}')

    def json(self, name: str) -> dict:
        """What is in `CONFIG` or in `CODEC`."""
        content = self._bytes(name)
        self._compare(name, hashlib.sha256(content).hexdigest())
        return _parse(self.path / name, content)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of each tensor, as the header of the weights gives them; no tensor is read."""
        path = self._regular(WEIGHTS)
        try:
            with safe_open(path, "pt") as file:
                return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118, as `safe_open` gives no mapping
        except (OSError, SafetensorError) as error:
            raise ZooError(f"{path}: expected weights, got: {error}") from error

    def weights(self) -> dict[str, Tensor]:
        """All tensors, once their file is found to be the card's."""
        path = self._regular(WEIGHTS)
        try:
            with open(path, "rb") as file:
                self._compare(WEIGHTS, hashlib.file_digest(file, "sha256").hexdigest())
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ZooError(f"{path}: expected weights, got: {error}") from error

    def _regular(self, name: str) -> Path:
        path = self.path / name
        if not os.path.lexists(path):
            raise ZooError(f"{self.path} is half a model folder, it has no {name}: {_again(self.path)}")
        if not path.is_file():  # to open a pipe would wait for ever
            raise ZooError(f"{path}: expected a file, got something else: {_again(self.path)}")
        return path

    def _bytes(self, name: str) -> bytes:
        path = self._regular(name)
        try:
            size = path.stat().st_size
            if size > LARGEST[name]:
                raise ZooError(f"{path}: expected at most {LARGEST[name]:,} bytes of JSON, got {size:,}")
            return path.read_bytes()
        except OSError as error:
            raise ZooError(f"{path}: expected JSON, got: {error}") from error

    def _compare(self, name: str, found: str) -> None:
        if found != self._sums[name]:
            raise ZooError(
                f"{self.path / name}: its card expects sha256 {str(self._sums[name])[:64]}, got {found}: fetch or save "
                f"the model anew. If you changed the file yourself, put its new sum into {CARD}"
            )


def write_model(
    folder: Path, config: Mapping[str, object], codec: Mapping[str, object], weights: Mapping[str, Tensor]
) -> None:
    """Writes a model folder, which is made if it does not exist.

    All is encoded before anything is written, and all is written before anything is replaced: what cannot be encoded,
    or finds no room, leaves the folder as it was. While files are replaced there is no card, and `ModelFolder` refuses
    the folder.
    """
    contents = {
        CONFIG: _encode(config, indent=2),
        CODEC: _encode(codec, indent=0),
        WEIGHTS: save(dict(weights)),
    }
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[CARD] = _encode({"sha256": sums}, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in contents}
    try:
        for name, part in parts.items():
            part.write_bytes(contents[name])
        (folder / CARD).unlink(missing_ok=True)
        for name, part in parts.items():  # the card last
            os.replace(part, folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def read_json(path: Path) -> dict:
    """The object in a JSON file that nobody vouches for.

    Raises:
        ZooError: there is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ZooError(f"{path}: expected JSON, got: {error}") from error
    return _parse(path, content)


def _encode(content: Mapping[str, object], indent: int) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=indent) + "\n").encode()


def _parse(path: Path, content: bytes) -> dict:
    try:
        value = json.loads(content.decode())
    except RecursionError as error:
        raise ZooError(f"{path}: expected JSON, got lists or objects inside each other without end") from error
    except ValueError as error:
        raise ZooError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(value, dict):
        raise ZooError(f"{path}: expected a JSON object, names and values, got a {type(value).__name__}")
    return value


def _again(folder: Path) -> str:
    checkpoint = folder.parent / "checkpoints" / "best.ckpt"
    source = checkpoint if checkpoint.is_file() else "the model it is from"
    return f"save the model anew with from_pretrained({str(source)!r}).save_pretrained(FOLDER)"
