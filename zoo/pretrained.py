"""Model folders: saved without pickle, found by name or path, verified, loaded.

A folder holds `config.json` (class and sizes), `vocabulary.json`, `model.safetensors`, and, where it comes with
this package, `card.json`: what it was trained on, with which command, and how good it is.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from zoo.base import CONFIG, VOCABULARY, WEIGHTS, ZooModule
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
    return {path.parent.name: json.loads(path.read_text("utf-8")) for path in sorted(BUNDLED.glob("*/card.json"))}


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
    if config.get("class") not in MODELS:
        raise unknown_name(f"model class in {folder / CONFIG}:", str(config.get("class")), MODELS)
    _verify(folder)
    module = MODELS[config["class"]](**vocabulary, **config["hyperparameters"])
    try:
        module.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ZooError(f"{folder / WEIGHTS}: expected the weights that {CONFIG} describes, got: {error}") from error
    return module.eval()


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        hint = "give a folder that save_pretrained wrote, such as runs/*/*/model"
        raise ZooError(f"{path.parent} is no model folder, it has no {path.name}: {hint}") from error
    except ValueError as error:
        raise ZooError(f"{path}: expected JSON, got: {error}") from error


def _verify(folder: Path) -> None:
    card = folder / "card.json"
    if card.is_file() and (folder / WEIGHTS).is_file():
        expected = _read_json(card)["sha256"]
        found = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        if found != expected:
            raise ZooError(f"{folder / WEIGHTS}: its card expects sha256 {expected}, got {found}")
