"""Reading data in the way of a trained model whose codec is extended by the words and labels of the data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from datamodules.errors import DataError
from zoo.codecs import Codec, LanguageModelingCodec, TaggingCodec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FitterT = TypeVar("FitterT", bound="DataclassInstance")
CodecT = TypeVar("CodecT", bound=Codec)


def followed(codec: Codec, arguments: Iterable[str]) -> dict[str, Any]:
    """The values that a codec to extend has for arguments of a datamodule that say how texts are read.

    Args:
        codec: the codec to extend.
        arguments: the names of arguments that a codec is fitted with.
    """
    state = codec.state
    return {name: state[name] for name in sorted(arguments) if name in state and name not in codec.ANSWERS}


def following(fitter: FitterT, codec: Codec | None) -> FitterT:
    """A fitter of codecs that reads texts in the way of a codec to extend; without one, the fitter as it is."""
    if codec is None:
        return fitter
    return replace(fitter, **followed(codec, [field.name for field in fields(fitter)]))


def extended(extends: Codec, fitted: CodecT) -> CodecT:
    """A codec to extend, with what a codec that was fitted on the data adds.

    Raises:
        ZooError: it is the codec of a language model, from which models of this task cannot start.
    """
    if isinstance(extends, LanguageModelingCodec) and not isinstance(fitted, LanguageModelingCodec):
        return fitted.based_on(extends)
    # The datamodules take no other codec than one of their own task.
    return cast(CodecT, extends).extended(fitted)


def check_extension(codec: object, extends: object, vectors: str | None) -> None:
    """Refuses arguments of a datamodule that do not go with a codec to extend.

    Raises:
        DataError: a codec is given too, which would be used as it is; or there are vectors to import.
    """
    if extends is None:
        return
    if codec is not None:
        raise DataError("codec is used as it is and extends is fitted further: give one of them")
    if vectors is not None:
        raise DataError(
            f"--data.vectors {vectors}: a trained model cannot take new vectors, which its first recurrent layer would "
            "read too: leave them out, or train a new model"
        )


def check_tokens(path: str | Path, fitted: TaggingCodec, extends: TaggingCodec) -> None:
    """Refuses tokens of another kind than those of the model to fine-tune: single characters, or words.

    Args:
        path: the training split, for the message.
        fitted: the codec that was fitted on it.
        extends: the codec to extend.

    Raises:
        DataError: only one of the codecs has single characters as tokens.
    """
    kinds = {"characters": "single characters"}
    ours, theirs = (kinds.get(codec.tokenizer, "words") for codec in (fitted, extends))
    if ours != theirs:
        raise DataError(
            f"{path}: expected tokens that are {theirs}, as of the model to fine-tune, got {ours}: choose another model"
        )
