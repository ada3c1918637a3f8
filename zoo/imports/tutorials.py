"""Weights of the classes that the PyTorch tutorials define become models of the zoo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo.classifier import TextClassifier
from zoo.errors import ZooError
from zoo.imports.chain import UNLIMITED, Chain, Direction, make_classifier, make_tagger, read_index, vocabulary_of
from zoo.tagger import SequenceTagger
from zoo.text import PAD, UNKNOWN

# The parameters of the tutorials' classes: embedding and linear layer of the tagger, and of the classifier.
TAGGER, CLASSIFIER = ("word_embeddings", "hidden2tag"), ("embedding", "fc")


@torch.no_grad()
def import_state_dict(
    source: str | Path | Mapping[str, Tensor],
    word_index: Mapping[str, int] | str | Path,
    labels: Sequence[str] | Mapping[str, int] | None = None,
    *,
    unknown: str | None = None,
    tokenizer: str = "whitespace",
    lowercase: bool = False,
) -> SequenceTagger | TextClassifier:
    """Makes a model of the weights of a PyTorch tutorial's class: the same outputs.

    A tagger has the parameters `word_embeddings.*`, `lstm.*` and `hidden2tag.*`; a classifier `embedding.*`,
    `lstm.*` and `fc.*`, and reads the LSTM's last hidden state, of both directions (forward, backward) if it has two.
    One output of `fc` stands for the second of two labels, through a sigmoid; several for a softmax.

    >>> tagger = zoo.import_state_dict(model.state_dict(), word_to_ix, tag_to_ix)

    Args:
        source: a state dict, or a file of one: `.safetensors`, or what `torch.save` wrote, of which tensors alone
            are read.
        word_index: word -> id, or a JSON file of it; `<pad>` is padding.
        labels: tags or labels in the order of the outputs, or each one's number; by default numbers.
        unknown: the word of `word_index` that words it lacks are read as; `<unk>` if it is one. Without one
            they are zero vectors.
        tokenizer: how strings become words, a choice of `SequenceTagger` or `TextClassifier`.
        lowercase: whether words are looked up in lower case.

    Raises:
        ValueError: parameters of another class (they are named), ids or labels that do not fit the weights, or a
            file that holds more than tensors.
    """
    weights = _read_weights(source)
    names = TAGGER if f"{TAGGER[0]}.weight" in weights else CLASSIFIER
    chain, index = _tutorial_chain(weights, *names), read_index(word_index)
    index.pop(PAD, None)
    unknown = UNKNOWN if unknown is None and UNKNOWN in index else unknown
    vocabulary, table = vocabulary_of(index, unknown, chain.embedding)
    options = {"tokenizer": tokenizer, "lowercase": lowercase}
    if names == TAGGER:
        return make_tagger(chain, vocabulary, table, labels, options)
    return make_classifier(chain, vocabulary, table, labels, options | {"max_length": UNLIMITED})


def _read_weights(source: str | Path | Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = source
    if isinstance(source, str | Path):
        try:
            is_safetensors = Path(source).suffix == ".safetensors"
            weights = load_file(source) if is_safetensors else torch.load(source, "cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, SafetensorError, UnpicklingError) as error:
            # Torch's own message would tell its readers to load the file's code.
            what = "something else than tensors" if isinstance(error, UnpicklingError) else error
            hint = "save it with torch.save(model.state_dict(), path)"
            raise ZooError(f"expected a file of tensors alone, got {source}: {what} ({hint})") from error
    if not isinstance(weights, Mapping) or any(not isinstance(value, Tensor) for value in weights.values()):
        raise ZooError("expected a state dict, names and tensors, got something else: give model.state_dict()")
    return {name: value.detach().float().cpu() for name, value in weights.items()}


def _tutorial_chain(weights: dict[str, Tensor], embedding: str, head: str) -> Chain:
    ways = ("", "_reverse") if "lstm.weight_hh_l0_reverse" in weights else ("",)
    depth = max(1, sum(name.startswith("lstm.weight_hh_l") for name in weights) // len(ways))
    names = [[[f"lstm.{part}_l{n}{way}" for part in Direction._fields] for way in ways] for n in range(depth)]
    expected = {name for layer in names for way in layer for name in way}
    expected |= {f"{embedding}.weight", f"{head}.weight", f"{head}.bias"}
    if set(weights) != expected:
        missing, extra = (", ".join(sorted(s)) or "nothing" for s in (expected - set(weights), set(weights) - expected))
        known = " or ".join(f"{first}, lstm, {last}" for first, last in (TAGGER, CLASSIFIER))
        raise ZooError(f"expected the parameters of {known}; {missing} is missing and {extra} is not expected")
    _check_shapes(weights, names, embedding, head)
    layers = [[Direction(*(weights[name] for name in way)) for way in layer] for layer in names]
    dense = [(weights[f"{head}.weight"], weights[f"{head}.bias"])]
    return Chain(weights[f"{embedding}.weight"], "lstm", layers, "last", dense)


def _check_shapes(weights: dict[str, Tensor], names: list[list[list[str]]], embedding: str, head: str) -> None:
    matrices = [f"{embedding}.weight", "lstm.weight_hh_l0", f"{head}.weight"]
    if flat := [name for name in matrices if weights[name].ndim != 2]:
        raise ZooError(f"expected a matrix as {flat[0]}, got a tensor of shape {tuple(weights[flat[0]].shape)}")
    (V, E), (_, H), (K, _) = (weights[name].shape for name in matrices)
    outputs = len(names[0]) * H
    shapes = {f"{embedding}.weight": (V, E), f"{head}.weight": (K, outputs), f"{head}.bias": (K,)}
    for depth, layer in enumerate(names):
        for way in layer:
            inputs = outputs if depth else E
            shapes |= dict(zip(way, ((4 * H, inputs), (4 * H, H), (4 * H,), (4 * H,)), strict=True))
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise ZooError(f"expected {name} of shape {shape} beside the others, got {tuple(weights[name].shape)}")
