"""Makes a model to fine-tune from trained ones: with other labels, with more words, or from language models."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_only

from zoo.codecs import ClassificationCodec, Codec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.base import ZooModule
from zoo.models.classifier import TextClassifier
from zoo.models.from_language_models import arguments_of, from_language_models
from zoo.models.language_model import LanguageModel
from zoo.models.tagger import SequenceTagger
from zoo.models.transfer import LABEL_ARGUMENTS, transfer
from zoo.models.transferred import Transfer

# The models that start from language models, by their codecs.
STARTED: dict[type[Codec], type[ZooModule]] = {ClassificationCodec: TextClassifier, TaggingCodec: SequenceTagger}


def adapted(
    sources: Sequence[ZooModule],
    name: str,
    *,
    labels: Sequence[str] | None,
    codec: Codec | None,
    arguments: Mapping[str, Any],
) -> ZooModule:
    """A model for another codec, with the class and sizes of a trained one and all of its weights that fit.

    Language models and the codec of a tagger or classifier make such a model. What is taken over and what is new is
    printed on standard error.

    Args:
        sources: the trained model, or a forward and a backward language model.
        name: the trained models, as the user has named them.
        labels: the labels of the new model, whose codec is otherwise that of the trained one.
        codec: the codec of the new model.
        arguments: of the constructor of the new model, where they differ from those of the trained one.

    Raises:
        ZooError: both or neither of labels and codec are given, the codec is for another task, or weights of the
            encoder do not fit.
    """
    if (labels is None) == (codec is None):
        raise ZooError("expected either labels or a codec: the labels are part of the codec")
    if isinstance(labels, str):
        raise ZooError(f"expected labels as a list of names, got one text: write [{labels!r}]")
    if codec is None:
        codec = sources[0].codec.with_labels(labels or ())
    language_models = [model for model in sources if isinstance(model, LanguageModel)]
    # Parameters that are made in inference mode cannot be trained.
    with torch.inference_mode(False):
        if type(codec) in STARTED and len(language_models) == len(sources):
            model, told = _started(language_models, name, codec, arguments)
        elif len(sources) == 1:
            model, told = _of_the_same_task(sources[0], name, codec, arguments)
        else:
            raise ZooError(f"expected one model, or two language models and the codec of another task, got {name}")
    rank_zero_only(print)(told, file=sys.stderr)
    return model


def _started(
    models: Sequence[LanguageModel], name: str, codec: Codec, changed: Mapping[str, Any]
) -> tuple[ZooModule, Transfer]:
    """A tagger or classifier that starts from language models."""
    model = STARTED[type(codec)](**{**arguments_of(models), **changed, "codec": codec})
    return model, from_language_models(models, model, name)


def _of_the_same_task(
    source: ZooModule, name: str, codec: Codec, changed: Mapping[str, Any]
) -> tuple[ZooModule, Transfer]:
    if type(codec) is not type(source.codec):
        raise ZooError(
            f"{name} is a {type(source).__name__}, which reads by a {type(source.codec).__name__}, got a "
            f"{type(codec).__name__}: choose a model of the same task"
        )
    arguments = source.arguments
    if "codec" not in arguments:
        raise ZooError(f"{name} is a {type(source).__name__}, which makes its codec itself: it takes no other one")
    arguments |= {argument: () for argument in LABEL_ARGUMENTS if argument in arguments}
    model = type(source)(**{**arguments, **changed, "codec": codec})
    return model, transfer(source, model, name)
