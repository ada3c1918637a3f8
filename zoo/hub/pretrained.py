"""Finds trained models by name or path, verifies and loads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from zoo.codecs import Codec
from zoo.errors import ZooError, unknown_name
from zoo.hub.checkpoints import ENDING, read_checkpoint
from zoo.hub.fine_tuning import adapted
from zoo.hub.sources import BUNDLED, bundled_names, local_folder
from zoo.model_folder import ModelFolder
from zoo.models.base import ZooModule
from zoo.models.classifier import TextClassifier
from zoo.models.language_model import LanguageModel
from zoo.models.seq2seq import Seq2Seq
from zoo.models.summarizer import Seq2SeqSummarizer
from zoo.models.tagger import SequenceTagger

OURS = (SequenceTagger, TextClassifier, Seq2Seq, Seq2SeqSummarizer, LanguageModel)
MODELS: dict[str, type[ZooModule]] = {model.__name__: model for model in OURS}
# The errors that a constructor raises for wrong arguments or weights.
MISFITS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


def register(model: type[ZooModule]) -> type[ZooModule]:
    """Makes a model class of a user known to `from_pretrained` by its name. It is a decorator too.

    >>> @zoo.register
    ... class FocalClassifier(zoo.TextClassifier): ...

    Raises:
        ZooError: the class is not a subclass of `ZooModule`, or another class has that name.
    """
    if not (isinstance(model, type) and issubclass(model, ZooModule)):
        known = ", ".join(sorted(ours.__name__ for ours in OURS))
        raise ZooError(f"expected a subclass of one of {known}, got {model!r}")
    name = model.__name__
    taken = MODELS.get(name, model)
    # The same class may be defined again, for example by a cell of a notebook.
    if (taken.__module__, taken.__qualname__) != (model.__module__, model.__qualname__):
        raise ZooError(f"{taken.__module__}.{taken.__qualname__} already has the name {name}: rename one of them")
    MODELS[name] = model
    return model


def list_pretrained(task: str | None = None, language: str | None = None) -> dict[str, dict[str, Any]]:
    """The cards of the models that come with this package, by name.

    Args:
        task: only models of this task: "tagging", "classification" or "seq2seq".
        language: only models of this language: "en", "zh" or another tag of BCP 47. Of a translator it is the language
            of its outputs.

    Raises:
        ZooError: no model is of this task, or of this language.
    """
    cards = {name: ModelFolder(BUNDLED / name).card for name in bundled_names()}
    for key, wanted in (("task", task), ("language", language)):
        known = {card[key] for card in cards.values()}
        if wanted is not None and wanted not in known:
            raise unknown_name(key, wanted, known)
    wanted_values = {"task": task, "language": language}
    return {
        name: card
        for name, card in cards.items()
        if all(wanted in (None, card[key]) for key, wanted in wanted_values.items())
    }


def card(source: str | Path) -> dict[str, Any]:
    """The card of a model: the sums of its files and, if it was published, its data, scores, licence and command.

    Args:
        source: as `from_pretrained` takes it, except a checkpoint.

    Raises:
        ZooError: there is no such model, or it cannot be fetched.
    """
    return ModelFolder(local_folder(source)).card


def from_pretrained(
    source: str | Path | Sequence[str | Path],
    *,
    labels: Sequence[str] | None = None,
    codec: Codec | None = None,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> ZooModule:
    """Loads a model, ready to predict: the inverse of `module.save_pretrained(folder)`.

    With `labels` or a `codec` it makes a model to fine-tune: one with these labels, and with the weights of the loaded
    model. Labels, words and characters that both models have keep their weights, all others begin untrained. A message
    on standard error says what was taken over and what is new. A language model makes a tagger or classifier, or two of
    them a bidirectional one.

    What is not on this machine is read from the cache, or else fetched. Every file is compared with the sha256 in the
    card of the model, and one from the hub also with the sum that the hub has.

    Args:
        source: a name in `list_pretrained()`, a folder that `save_pretrained` wrote, the folder of a run, a checkpoint
            of one (`.ckpt`), "owner/name" on the Hugging Face hub (also "hf:owner/name@revision"; extra `hub`),
            "https://HOST/FILE#sha256=SUM" for an archive, or "wandb:entity/project/artifact:alias". A forward and a
            backward language model make a list.
        labels: the labels of a tagger or classifier to fine-tune.
        codec: the codec of a model to fine-tune, such as that of a datamodule with `extends=model.codec`.
        arguments: of the constructor of the model to fine-tune, where they differ from those of the loaded one, such as
            `{"dropout": 0.1}`.
        revision: a branch, a tag or a commit on the hub; by default "main".
        token: of a user of the hub; by default the one that `hf auth login` has stored.
        cache_dir: the folder of the cache; by default that of `huggingface_hub`, or the user's cache folder for
            archives and artifacts.
        local_files_only: whether nothing is fetched. `HF_HUB_OFFLINE=1` in the environment does this for the hub.
        force_download: whether a model is fetched again that is in the cache.

    Raises:
        ZooError: the source is none of these (the known names are listed) or cannot be fetched, its class is unknown
            (see `register`), or one of its files is missing, is damaged, differs from the sum in the card, or does not
            fit the others. With `labels` or a `codec` also: the model has no labels, or its encoder does not fit.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    models = [
        _load(
            each,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        for each in sources
    ]
    if len(models) == 1 and labels is None and codec is None and not arguments:
        return models[0]
    name = " and ".join(map(str, sources))
    return adapted(models, name, labels=labels, codec=codec, arguments=arguments)


def _load(
    source: str | Path,
    *,
    revision: str | None,
    token: str | bool | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
    force_download: bool,
) -> ZooModule:
    """The trained model, see `from_pretrained`."""
    path = Path(source)
    if path.suffix == ENDING and path.exists():
        checkpoint = read_checkpoint(path)
        weights = checkpoint["state_dict"]
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        return _restore(path, checkpoint["model_class"], checkpoint["hyper_parameters"], shapes, lambda: weights)
    path = local_folder(
        source,
        revision=revision,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        force_download=force_download,
    )
    folder = ModelFolder(path)
    name, arguments = folder.config()
    codec = folder.codec()
    if codec:
        arguments["codec"] = codec
    return _restore(path, name, arguments, folder.shapes(), folder.weights)


def _restore(
    source: Path,
    name: str,
    arguments: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    read_weights: Callable[[], Mapping[str, Tensor]],
) -> ZooModule:
    """Makes a model of a class in `MODELS` from its arguments and weights, ready to predict.

    Raises:
        ZooError: arguments and weights do not fit each other. The message names `source`, where they come from.
    """
    if name not in MODELS:
        unknown = unknown_name("model class", name[:100], MODELS)
        raise ZooError(f"{source}: if this class is yours, call zoo.register(YourClass) first; {unknown}")
    model = MODELS[name]
    with _explained(source, name):
        # The constructor of a user's class may need real memory.
        if model in OURS:
            _check_shapes(model, arguments, shapes)
        # Parameters that are made in inference mode cannot be trained later.
        with torch.inference_mode(False):
            module = model(**arguments)
    weights = read_weights()
    with _explained(source, name), torch.inference_mode(False):
        _check_kinds(module.state_dict(), weights)
        module.load_state_dict(weights)
    return module.eval()


def _check_shapes(
    model: type[ZooModule], arguments: Mapping[str, object], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuses arguments that do not fit the weights before the model takes memory.

    The model is built once on the meta device, which has no memory. Building stops at the first parameter for which no
    weights are left, since ten thousand layers would take time and memory there too.
    """
    left = Counter(shapes.values())
    thread = get_ident()

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
            raise ZooError(
                f"{name} of shape {expected.get(name)} in the arguments and of {shapes.get(name)} in the weights"
            )


def _check_kinds(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Refuses integers for numbers with fractions and the reverse, which torch would convert without a word."""
    for name, value in weights.items():
        if name in expected and value.is_floating_point() != expected[name].is_floating_point():
            raise ZooError(f"{name} of dtype {expected[name].dtype} in the model and of {value.dtype} in the weights")


@contextmanager
def _explained(source: Path, name: str) -> Iterator[None]:
    """Turns errors of constructors into a `ZooError` that names the source."""
    try:
        yield
    except MISFITS as error:
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise ZooError(f"{source}: expected arguments and weights of a {name}, got: {reason}") from error
