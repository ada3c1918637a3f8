"""Starts a tagger or classifier from language models (ULMFiT, Howard & Ruder 2018).

Each direction of the backbone takes over the language model that reads in this direction. Two language models have two
embeddings, which stand side by side in the embedding of the words. What a direction reads beside the inputs of its
language model, such as the features of the other one, has zero weights at first: the backbone then computes exactly
what the language models compute.

Shapes: E features of a language model's embedding, O outputs of its backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from zoo.codecs import LanguageModelingCodec
from zoo.errors import ZooError
from zoo.models.base import ZooModule
from zoo.models.classifier import TextClassifier
from zoo.models.language_model import LanguageModel
from zoo.models.tagger import SequenceTagger
from zoo.models.transfer import FREE_ARGUMENTS, Source, take_over
from zoo.models.transferred import Transfer

# The models that may start from language models.
STARTERS = (SequenceTagger, TextClassifier)
# Their embedding of words, and the cells of the layers of their backbone.
WORDS = "embedding.words.weight"
BACKBONE = "backbone"
# The arguments of a language model that a new model must have too.
SHARED = ("cell", "hidden_size", "num_layers")


def arguments_of(models: Sequence[LanguageModel]) -> dict[str, Any]:
    """The arguments with which a tagger or classifier has a backbone for language models.

    Args:
        models: one language model, or a forward and a backward one in any order.

    Raises:
        ZooError: two language models read in one direction, differ in what else they read, or in their sizes.
    """
    first, *others = models
    arguments = first.settings
    recurrent = _structural(first)
    for other in others:
        if len(models) > 2 or other.codec.backward == first.codec.backward:
            raise ZooError("expected one language model, or a forward and a backward one")
        told = _reading(first).differences(_reading(other), ours="one", theirs="the other")
        if told:
            raise ZooError(f"expected two language models that read the same tokens: {told}. Train both on one corpus")
        for name in SHARED:
            if other.settings[name] != arguments[name]:
                raise ZooError(
                    f"expected two language models of one size, got {name} {arguments[name]} and "
                    f"{other.settings[name]}: train them alike"
                )
        if _structural(other) != recurrent:
            raise ZooError("expected two language models with the same recurrent options: train them alike")
    return {
        **{name: arguments[name] for name in SHARED},
        "embedding_size": sum(model.settings["embedding_size"] for model in models),
        "bidirectional": any(model.codec.backward for model in models),
        "recurrent": recurrent,
    }


def from_language_models(models: Sequence[LanguageModel], target: ZooModule, name: str) -> Transfer:
    """Copies embeddings and backbones of language models into a tagger or classifier, see `zoo.models.transfer`.

    Args:
        models: as for `arguments_of`.
        target: the new model, which is made with these arguments.
        name: the language models, as the user has named them.

    Raises:
        ZooError: models of this class cannot start from language models, or the sizes or directions do not fit.
    """
    if not isinstance(target, STARTERS):
        known = " or ".join(starter.__name__ for starter in STARTERS)
        raise ZooError(f"{name} is a language model, from which a {known} may start, not a {type(target).__name__}")
    arguments_of(models)
    (field,) = target.indexed[WORDS]
    codec = models[0].codec
    weights: dict[str, Tensor] = {WORDS: torch.cat([model.embedding.weight for model in models], dim=1)}
    features = 0
    for model in models:
        weights |= _backbone(model, target, features)
        features += model.embedding.embedding_dim
        weights |= {part: value for part, value in model.state_dict().items() if part.startswith("output.")}
    source = Source(name, weights, codec, {WORDS: (field,)}, {field: codec.vocabulary}, partial=True)
    return take_over(source, target)


def _backbone(model: LanguageModel, target: SequenceTagger | TextClassifier, features: int) -> dict[str, Tensor]:
    """The backbone of a language model, by the names of the weights in the new model.

    Args:
        model: the language model.
        target: the new model.
        features: the number of embedding features before its own ones.

    Raises:
        ZooError: the new model does not read in this direction, or has another number of layers.
    """
    direction = int(model.codec.backward)
    layers = len(model.backbone.layers)
    if direction >= target.backbone.directions:
        raise ZooError("a backward language model needs a backbone that reads backwards too: use bidirectional=True")
    if layers != len(target.backbone.layers):
        raise ZooError(f"expected the {layers} layers of the language model, got {len(target.backbone.layers)}")
    found: dict[str, Tensor] = {}
    for name, value in model.backbone.state_dict().items():
        kind, depth, _, weight = name.split(".", 3)
        if kind == "skips":
            # A gate reads both directions.
            if target.backbone.directions == 1:
                found[f"{BACKBONE}.{name}"] = value
            continue
        parameter = f"{BACKBONE}.layers.{depth}.{direction}.{weight}"
        if weight == "weight_ih":
            first = features if depth == "0" else direction * model.backbone.output_size
            value = _among_zeros(value, target.get_parameter(parameter), first)
        found[parameter] = value
    return found


def _among_zeros(value: Tensor, parameter: Tensor, first: int) -> Tensor:
    """The columns of `value` from the column `first` on of a matrix that has as many as `parameter`, else zeros.

    A value that does not fit is returned as it is.
    """
    after = parameter.shape[1] - first - value.shape[1]
    if after < 0:
        return value
    return torch.nn.functional.pad(value, (first, after))


def _reading(model: LanguageModel) -> LanguageModelingCodec:
    """How a language model reads, whatever its direction."""
    return replace(model.codec, backward=False)


def _structural(model: LanguageModel) -> dict[str, Any]:
    """The recurrent options on which the weights depend."""
    options: dict[str, Any] = model.settings["recurrent"]
    return {name: value for name, value in options.items() if f"recurrent.{name}" not in FREE_ARGUMENTS}
