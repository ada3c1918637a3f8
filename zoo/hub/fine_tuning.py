"""Makes a model with other labels or more words from a trained one, to be fine-tuned."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from pytorch_lightning.utilities import rank_zero_only

from zoo.codecs import Codec
from zoo.errors import ZooError
from zoo.models.base import ZooModule
from zoo.models.transfer import LABEL_ARGUMENTS, transfer


def adapted(source: ZooModule, name: str, *, labels: Sequence[str] | None, codec: Codec | None) -> ZooModule:
    """A model of the class and sizes of `source` for another codec, with all weights of `source` that fit.

    It says on standard error what it has taken over and what is new.

    Args:
        source: the trained model.
        name: the trained model, as the user has named it.
        labels: the labels of the new model, whose codec is otherwise that of `source`.
        codec: the codec of the new model.

    Raises:
        ZooError: both or neither are given, the codec is for another task, or weights of the encoder do not fit.
    """
    if (labels is None) == (codec is None):
        raise ZooError("expected either labels or a codec: the labels are part of the codec")
    if isinstance(labels, str):
        raise ZooError(f"expected labels as a list of names, got one text: write [{labels!r}]")
    if codec is None:
        codec = source.codec.with_labels(labels or ())
    if type(codec) is not type(source.codec):
        raise ZooError(
            f"{name} is a {type(source).__name__}, which reads by a {type(source.codec).__name__}, got a "
            f"{type(codec).__name__}: choose a model of the same task"
        )
    arguments = source.arguments
    if "codec" not in arguments:
        raise ZooError(f"{name} is a {type(source).__name__}, which makes its codec itself: it takes no other one")
    arguments["codec"] = codec
    arguments |= {argument: () for argument in LABEL_ARGUMENTS if argument in arguments}
    # Parameters that are made in inference mode cannot be trained.
    with torch.inference_mode(False):
        model = type(source)(**arguments)
        told = transfer(source, model, name)
    rank_zero_only(print)(told, file=sys.stderr)
    return model
