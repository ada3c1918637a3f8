"""Model folders: saved without pickle, found by name or path, verified, loaded.

A folder holds `config.json` (class and sizes), `vocabulary.json`, `model.safetensors`, and, where it comes with
this package, `card.json`: what it was trained on, with which command, and how good it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo.base import CARD, CONFIG, VOCABULARY, WEIGHTS, ZooModule
from zoo.classifier import TextClassifier
from zoo.errors import ZooError, unknown_name
from zoo.seq2seq import Seq2Seq, Seq2SeqSummarizer
from zoo.tagger import SequenceTagger

MODELS: dict[str, type[ZooModule]] = {
    model.__name__: model for model in (SequenceTagger, TextClassifier, Seq2Seq, Seq2SeqSummarizer)
}
BUNDLED = Path(__file__).parent / "models"


def list_pretrained() -> dict[str, dict]:
    """The models that come with this package: name -> card."""
    return {path.parent.name: json.loads(path.read_text("utf-8")) for path in sorted(BUNDLED.glob(f"*/{CARD}"))}


def from_pretrained(name_or_folder: str | Path) -> ZooModule:
    """Loads a model, ready to predict: the inverse of `module.save_pretrained(folder)`.

    Args:
        name_or_folder: a name in `list_pretrained()`, or a folder that `save_pretrained` wrote.

    Raises:
        ValueError: neither a name nor a folder (the known names are listed); a file that is missing or
            damaged, or not the one its card describes.
    """
    folder = Path(name_or_folder)
    if not folder.is_dir():
        if str(name_or_folder) not in list_pretrained():
            raise unknown_name("pretrained model or folder", str(name_or_folder), list_pretrained())
        folder = BUNDLED / name_or_folder
    config, vocabulary = _read_json(folder / CONFIG), _read_json(folder / VOCABULARY)
    name, hyperparameters = config.get("class"), config.get("hyperparameters")
    if not isinstance(name, str) or not isinstance(hyperparameters, dict):
        found = ", ".join(config) or "nothing"
        raise ZooError(f'{folder / CONFIG}: expected a "class" and its "hyperparameters", got {found}')
    _verify(folder)
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ZooError(f"{folder / WEIGHTS}: expected weights, got: {error}") from error
    return restore(folder, name, {**vocabulary, **hyperparameters}, weights)


def restore(source: Path, name: str, arguments: Mapping[str, object], weights: Mapping[str, Tensor]) -> ZooModule:
    """The model of a class in `MODELS` with these arguments and weights, ready to predict.

    Raises:
        ZooError: they do not fit each other; `source`, where all are from, is named.
    """
    if name not in MODELS:
        raise unknown_name(f"model class in {source}:", name, MODELS)
    try:
        module = MODELS[name](**arguments)
        module.load_state_dict(weights)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ZooError(f"{source}: expected arguments and weights of a {name}, got: {error}") from error
    return module.eval()


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        hint = "give a folder that save_pretrained wrote, such as runs/*/*/model"
        raise ZooError(f"{path.parent} is no model folder, it has no {path.name}: {hint}") from error
    except (OSError, ValueError) as error:
        raise ZooError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise ZooError(f"{path}: expected a JSON object, names and values, got a {type(content).__name__}")
    return content


def _verify(folder: Path) -> None:
    card = folder / CARD
    if card.is_file() and (folder / WEIGHTS).is_file():
        expected = _read_json(card).get("sha256")
        found = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        if found != expected:
            raise ZooError(f"{folder / WEIGHTS}: its card expects sha256 {expected}, got {found}")
