"""Trained models: found by name or path, verified, loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from zoo.errors import ZooError, unknown_name
from zoo.hub.checkpoints import ENDING, read_checkpoint
from zoo.model_folder import CARD, CODEC, CONFIG, ModelFolder, read_json
from zoo.models.base import ZooModule
from zoo.models.classifier import TextClassifier
from zoo.models.seq2seq import Seq2Seq
from zoo.models.summarizer import Seq2SeqSummarizer
from zoo.models.tagger import SequenceTagger

OURS = (SequenceTagger, TextClassifier, Seq2Seq, Seq2SeqSummarizer)
MODELS: dict[str, type[ZooModule]] = {model.__name__: model for model in OURS}
BUNDLED = Path(__file__).parent / "bundled"
IN_RUN = "model"  # where a run folder has its model
# What wrong arguments or weights make a constructor raise.
MISFITS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


def register(model: type[ZooModule]) -> type[ZooModule]:
    """Makes a user's model class known to `from_pretrained` by its name; for use as a decorator too.

    >>> @zoo.register
    ... class FocalClassifier(zoo.TextClassifier): ...

    Raises:
        ZooError: it is no subclass of a model here, or another class has that name.
    """
    if not (isinstance(model, type) and issubclass(model, ZooModule)):
        known = ", ".join(sorted(ours.__name__ for ours in OURS))
        raise ZooError(f"expected a class that is made of one of {known}, got {model!r}")
    name, known = model.__name__, MODELS.get(model.__name__, model)
    # The same class may be defined anew, by the cell of a notebook for example.
    if (known.__module__, known.__qualname__) != (model.__module__, model.__qualname__):
        raise ZooError(f"{known.__module__}.{known.__qualname__} has the name {name} already: give the class another")
    MODELS[name] = model
    return model


def list_pretrained() -> dict[str, dict[str, Any]]:
    """The models that come with this package: name -> card."""
    return {path.parent.name: read_json(path) for path in sorted(BUNDLED.glob(f"*/{CARD}"))}


def from_pretrained(source: str | Path) -> ZooModule:
    """Loads a model, ready to predict: the inverse of `module.save_pretrained(folder)`.

    Args:
        source: a name in `list_pretrained()`, a folder that `save_pretrained` wrote, the folder of a run, or a
            checkpoint of one (`.ckpt`).

    Raises:
        ZooError: none of these (the known names are listed); a class that is not known (see `register`); a file that is
            missing or damaged, is not the one that the card describes, or does not fit the others.
    """
    path = Path(source)
    if path.suffix == ENDING and path.exists():
        checkpoint = read_checkpoint(path)
        weights = checkpoint["state_dict"]
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        return _restore(path, checkpoint["model_class"], checkpoint["hyper_parameters"], shapes, lambda: weights)
    if (path / IN_RUN).is_dir() and not (path / CONFIG).exists():
        path = path / IN_RUN
    elif not path.is_dir():
        if str(source) not in list_pretrained():
            raise unknown_name("pretrained model, folder or checkpoint", str(source), list_pretrained())
        path = BUNDLED / source
    folder = ModelFolder(path)
    config = folder.json(CONFIG)
    name, arguments = config.get("class"), config.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        found = ", ".join(config) or "nothing"
        raise ZooError(f'{path / CONFIG}: expected a "class" and its "arguments", got {found[:200]}')
    codec = folder.json(CODEC)
    if codec:  # a user's own class may make one by itself
        arguments["codec"] = codec
    return _restore(path, name, arguments, folder.shapes(), folder.weights)


def _restore(
    source: Path,
    name: str,
    arguments: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    read_weights: Callable[[], Mapping[str, Tensor]],
) -> ZooModule:
    """The model of a class in `MODELS` with these arguments and weights, ready to predict.

    Raises:
        ZooError: they do not fit each other; `source`, where all are from, is named.
    """
    if name not in MODELS:
        unknown = unknown_name("model class", name[:100], MODELS)
        raise ZooError(f"{source}: if this is a class of yours, call zoo.register(YourClass) before; {unknown}")
    model = MODELS[name]
    with _explained(source, name):
        if model in OURS:  # the constructor of a user's class may need real memory
            _check_shapes(model, arguments, shapes)
        with torch.inference_mode(False):  # else it could never be trained
            module = model(**arguments)
    weights = read_weights()
    with _explained(source, name), torch.inference_mode(False):
        module.load_state_dict(weights)
    return module.eval()


def _check_shapes(
    model: type[ZooModule], arguments: Mapping[str, object], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuses arguments of which another model would be made than the weights are of, before that takes memory.

    The model is built once on a device that has no memory, and stopped at the first parameter for which no weights are
    left: ten thousand layers would take time and memory there too.
    """
    left, thread = Counter(shapes.values()), get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is None or get_ident() != thread:
            return
        shape = tuple(parameter.shape)
        left[shape] -= 1
        if left[shape] < 0:
            raise ZooError(f"a {type(module).__name__} with a {name} of shape {shape}, which the weights do not have")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            expected = {name: tuple(value.shape) for name, value in model(**arguments).state_dict().items()}
    finally:
        hook.remove()
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise ZooError(f"{name} of shape {expected.get(name)} by the arguments, {shapes.get(name)} by the weights")


@contextmanager
def _explained(source: Path, name: str) -> Iterator[None]:
    """What goes wrong inside is an error that names where all is from."""
    try:
        yield
    except MISFITS as error:
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise ZooError(f"{source}: expected arguments and weights of a {name}, got: {reason}") from error
