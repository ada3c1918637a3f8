"""Writes and reads the files of a model folder, none of which is a pickle.

`config.json` contains the class of the model and its arguments, `codec.json` the codec and `model.safetensors` the
weights. `card.json` contains the sha256 of these three files, on which the predictions depend. The card of a bundled
model also names its training data, the command that trained it, and its scores. `README.md` shows the card to people,
who may edit it: nothing reads it, and it has no sum.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from zoo.card_schema import check_card
from zoo.errors import ZooError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
CODEC = "codec.json"
WEIGHTS = "model.safetensors"
CARD = "card.json"
README = "README.md"
# The version of the format that `write_model` writes. A reader refuses a newer one.
FORMAT_VERSION = 1
# The files that the predictions depend on.
SUMMED = (CONFIG, CODEC, WEIGHTS)
# The largest number of bytes of JSON that is read.
LARGEST = {CONFIG: 1_000_000, CARD: 1_000_000, CODEC: 200_000_000}


class ModelFolder:
    """A folder that `write_model` wrote.

    Each file is compared with its sum in the card when it is read.

    Attributes:
        card: the content of `card.json`, as `zoo.card_schema` describes it.

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
        self.card = _parse(path / CARD, self._bytes(CARD))
        check_card(self.card, path / CARD)
        sums: dict[str, str] = self.card.get("sha256", {})
        if set(sums) != set(SUMMED):
            raise ZooError(f'{path / CARD}: expected the "sha256" of {", ".join(SUMMED)}: {_again(path)}')
        self._sums = sums

    def config(self) -> tuple[str, dict[str, Any]]:
        """The name of the model's class, and the arguments of its constructor without the codec."""
        path = self.path / CONFIG
        config = self._json(CONFIG)
        version = config.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ZooError(
                f"{path}: expected at most version {FORMAT_VERSION} of the format, got {version}: the model was saved "
                "by a newer lstm-zoo, upgrade this one"
            )
        name = config.get("class")
        arguments = config.get("arguments")
        if version != FORMAT_VERSION or not isinstance(name, str) or not isinstance(arguments, dict):
            found = ", ".join(config) or "nothing"
            raise ZooError(f'{path}: expected a "format_version", a "class" and its "arguments", got {found[:200]}')
        return name, arguments

    def codec(self) -> dict[str, Any]:
        """The state of the codec. It is empty if a class of a user constructs its codec by itself."""
        return self._json(CODEC)

    def _json(self, name: str) -> dict[str, Any]:
        content = self._bytes(name)
        self._compare(name, hashlib.sha256(content).hexdigest())
        return _parse(self.path / name, content)

    def verify(self) -> None:
        """Compares all files with their sums in the card."""
        self.config()
        self.codec()
        self._compare(WEIGHTS, self._sum_of_weights())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of each weight, from the header of their file; no tensor is read."""
        # Models are listed and fetched without torch, which takes a second to import.
        from zoo.storage import shapes_of_weights

        path = self._regular(WEIGHTS)
        try:
            with safe_open(path, "pt") as file:
                stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118, as `safe_open` gives no mapping
            return shapes_of_weights(stored)
        except (OSError, SafetensorError, ZooError) as error:
            raise ZooError(f"{path}: expected weights, got: {error}") from error

    def weights(self) -> dict[str, Tensor]:
        """All weights, after their file is compared with its sum in the card."""
        from safetensors.torch import load_file

        from zoo.storage import read_weights

        path = self._regular(WEIGHTS)
        try:
            self._compare(WEIGHTS, self._sum_of_weights())
            return read_weights(load_file(path))
        except (OSError, SafetensorError) as error:
            raise ZooError(f"{path}: expected weights, got: {error}") from error

    def _sum_of_weights(self) -> str:
        with open(self._regular(WEIGHTS), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _regular(self, name: str) -> Path:
        path = self.path / name
        if not os.path.lexists(path):
            raise ZooError(f"{self.path} is an incomplete model folder, it has no {name}: {_again(self.path)}")
        # To open a pipe would wait forever.
        if not path.is_file():
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
                f"{self.path / name}: its card expects sha256 {self._sums[name][:64]}, got {found}: fetch or save "
                f"the model again. If you changed the file yourself, put its new sum into {CARD}"
            )


def write_model(
    folder: Path,
    model_class: str,
    arguments: Mapping[str, object],
    *,
    codec: Mapping[str, object],
    weights: Mapping[str, Tensor],
    facts: Mapping[str, object],
    readme: str,
) -> None:
    """Writes a model folder, which is created if it does not exist.

    All contents are encoded before any file is written, and all files are written before any is replaced. If a content
    cannot be encoded, or the disk is full, the folder stays as it was. While files are replaced there is no card, so
    `ModelFolder` refuses the folder.

    Args:
        folder: where to write.
        model_class: the name of the class.
        arguments: of its constructor, in plain types, without the codec.
        codec: the state of the codec.
        weights: the tensors as they are stored.
        facts: further fields of the card.
        readme: the text of README.md, unless there is one.
    """
    from safetensors.torch import save

    contents = {
        CONFIG: _encode({"format_version": FORMAT_VERSION, "class": model_class, "arguments": arguments}, indent=2),
        CODEC: _encode(codec, indent=0),
        WEIGHTS: save(dict(weights)),
    }
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if not (folder / README).exists():
        contents[README] = readme.encode()
    card = {"sha256": sums, **facts, "bytes": len(contents[WEIGHTS])}
    check_card(card, folder / CARD)
    contents[CARD] = _encode(card, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in contents}
    try:
        for name, part in parts.items():
            part.write_bytes(contents[name])
        (folder / CARD).unlink(missing_ok=True)
        # The card is the last of them.
        for name, part in parts.items():
            os.replace(part, folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def write_card(folder: Path, card: Mapping[str, object]) -> None:
    """Replaces the card of a model folder, all at once.

    Raises:
        ZooError: the card has an unknown field, or one of another type.
    """
    check_card(card, folder / CARD)
    part = folder / f".{CARD}.{os.getpid()}.part"
    part.write_bytes(_encode(card, indent=2))
    os.replace(part, folder / CARD)


def _encode(content: Mapping[str, object], indent: int) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=indent) + "\n").encode()


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode())
    except RecursionError as error:
        raise ZooError(f"{path}: expected JSON, got lists or objects nested too deeply") from error
    except ValueError as error:
        raise ZooError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(value, dict):
        raise ZooError(f"{path}: expected a JSON object, names and values, got a {type(value).__name__}")
    return value


def _again(folder: Path) -> str:
    checkpoint = folder.parent / "checkpoints" / "best.ckpt"
    source = checkpoint if checkpoint.is_file() else "the model it is from"
    return f"save the model again with from_pretrained({str(source)!r}).save_pretrained(FOLDER)"
