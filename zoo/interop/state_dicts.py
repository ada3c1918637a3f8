"""Reads state dicts: plain ones, entries of a checkpoint, and those with the prefix of a wrapper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo.errors import ZooError

# The entries of a checkpoint that may contain the state dict.
ENTRIES = ("model_state_dict", "state_dict", "model")
# The prefixes of DataParallel, of torch.compile, and of many Lightning modules.
PREFIXES = ("module.", "_orig_mod.", "model.")
# Parameters of the decoders in both versions of the tutorial on translation.
DECODERS = ("attention.Wa.", "attention.Ua.", "attention.Va.", "attn.", "attn_combine.")


def read_state_dict(source: str | Path | Mapping[str, object]) -> dict[str, Tensor]:
    """Reads the parameters of a model in float32, without the prefixes of wrappers.

    Raises:
        ZooError: the file cannot be read, contains a pickled class, or contains no state dict.
    """
    found = _read_file(Path(source)) if isinstance(source, str | Path) else source
    if isinstance(found, Mapping) and "model_class" in found:
        raise ZooError("this is a checkpoint of a model of this package: load it with zoo.from_pretrained(path)")
    if isinstance(found, Mapping):
        found = next((found[name] for name in ENTRIES if isinstance(found.get(name), Mapping)), found)
    if isinstance(found, Mapping) and {"encoder", "decoder"} <= found.keys():
        raise _seq2seq("an encoder and a decoder")
    if not _is_state_dict(found):
        raise ZooError("expected a state dict of names and tensors, got something else: pass model.state_dict()")
    weights = dict(found)
    while prefix := next((p for p in PREFIXES if weights and all(name.startswith(p) for name in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return {name: value.detach().float().cpu() for name, value in weights.items()}


def _is_state_dict(value: object) -> TypeGuard[Mapping[str, Tensor]]:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(weight, Tensor) for name, weight in value.items()
    )


def refuse_seq2seq(weights: Mapping[str, Tensor]) -> None:
    """Refuses the encoder and the decoder of the tutorial on translation.

    Raises:
        ZooError: the weights are those of one or of both.
    """
    layers = {name.partition(".")[0] for name in weights}
    if {"encoder", "decoder"} <= layers:
        raise _seq2seq("an encoder and a decoder")
    if any(name.startswith(DECODERS) for name in weights):
        raise _seq2seq("a decoder with attention")
    if layers == {"embedding", "gru", "out"}:
        raise _seq2seq("a decoder without attention")
    if layers == {"embedding", "gru"}:
        raise _seq2seq("an encoder")


def _seq2seq(what: str) -> ZooError:
    return ZooError(
        f"this is {what} of the PyTorch tutorial on translation. Its decoder attends before each step of the GRU, but "
        "zoo.Seq2Seq attends after it (Luong et al. 2015) and cannot give the same outputs. Train a zoo.Seq2Seq on the "
        "same pairs: python -m recipes.translation"
    )


def _read_file(path: Path) -> object:
    hint = "save it with torch.save(model.state_dict(), path)"
    # To open a pipe would wait forever.
    if path.exists() and not path.is_file():
        raise ZooError(f"expected a file of tensors only, got {path}, which is not a file ({hint})")
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        # A damaged file can raise any error. Torch's own message advises the user to run the code in the file.
        if isinstance(error, UnpicklingError):
            what = "it contains more than tensors"
        elif isinstance(error, OSError | EOFError | SafetensorError):
            what = str(error)
        else:
            what = "it is damaged"
        raise ZooError(f"expected a file of tensors only, got {path}: {what} ({hint})") from error
