"""The common part of all imports: a foreign model is read as a chain of layers, which becomes a model of this package.

Shapes: V words, E embedding features, I inputs, H units, G gates, D directions, K labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.codecs import ClassificationCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.classifier import TextClassifier
from zoo.models.options import CharacterOptions
from zoo.models.tagger import SequenceTagger
from zoo.nn.backbone import RecurrentBackbone
from zoo.text import PAD, UNKNOWN, Inventory, Vocabulary

# The largest number of tokens of a text that an imported model reads; no text is longer.
UNLIMITED = 1_000_000


class Direction(NamedTuple):
    """The weights of one direction of a recurrent layer, with gates in the order of torch."""

    weight_ih: Tensor  # (G * H, I)
    weight_hh: Tensor  # (G * H, H)
    bias_ih: Tensor  # (G * H,)
    bias_hh: Tensor  # (G * H,)


class Chain(NamedTuple):
    """A foreign model: embedding, recurrent layers, pooling, dense layers."""

    embedding: Tensor  # (V, E)
    cell: str  # a key of `zoo.CELLS`
    layers: list[list[Direction]]  # each has a forward direction, or a forward and a backward one
    pooling: str | None  # one of `zoo.nn.pooling.POOLINGS`; None for a tagger, which reads each state
    dense: list[tuple[Tensor, Tensor]]  # each (outputs, inputs) and (outputs,), with ReLU between them
    multi_label: bool = False
    masks_padding: bool = True  # whether the recurrent layers skip id 0; otherwise it is a token like any other
    input_length: int | None = None  # the only length that the model accepts

    @property
    def num_labels(self) -> int:
        """K. A classifier with one output has two labels."""
        outputs = len(self.dense[-1][1])
        return 2 if outputs == 1 and self.pooling is not None else outputs


def read_index(source: Mapping[str, int] | str | Path) -> dict[str, int]:
    """Reads a word index, which may be a JSON file. Its ids must be distinct integers.

    Raises:
        ZooError: its ids are not distinct integers, or the file is not JSON.
    """
    index: object = source
    if isinstance(source, str | Path):
        try:
            index = json.loads(Path(source).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ZooError(f"expected a JSON file of words and ids, got {source}: {error}") from error
    if not isinstance(index, Mapping) or not _are_integers(index.values()):
        raise ZooError('expected a word_index of words and ids such as {"the": 1, "film": 2}, got something else')
    if len(set(index.values())) != len(index):
        raise ZooError("expected a word_index with another id for each word, got two words with the same one")
    return {word: int(i) for word, i in index.items()}


def _are_integers(values: Iterable[object]) -> bool:
    kinds = {type(value) for value in values}
    return bool not in kinds and all(issubclass(kind, Integral) for kind in kinds)


def vocabulary_of(index: dict[str, int], unknown: str | None, embedding: Tensor) -> tuple[Vocabulary, Tensor]:
    """Makes a vocabulary that begins with `<pad>` and `<unk>`, and the embedding of its entries `(V, E)`.

    Raises:
        ZooError: the unknown word is not in the index, or an id is not in the embedding.
    """
    if unknown is not None and unknown not in index:
        raise ZooError(f"word_index has no {unknown!r}, the word for unknown ones: give one of its words, or None")
    words = sorted((word for word in index if word != unknown), key=index.__getitem__)
    if special := [word for word in words if word in (PAD, UNKNOWN)]:
        raise ZooError(
            f"word_index gives {special[0]} the id {index[special[0]]}, but the name is that of padding or of the "
            "unknown word: take it out, or pass unknown='<unk>'"
        )
    outside = next((word for word in index if not 0 <= index[word] < len(embedding)), None)
    if outside is not None:
        rows = len(embedding)
        raise ZooError(
            f"word_index gives {outside!r} the id {index[outside]}, but the model's embedding has {rows} rows"
        )
    table = torch.zeros(len(words) + 2, embedding.shape[1])
    table[2:] = embedding[[index[word] for word in words]]
    if unknown is not None:
        table[1] = embedding[index[unknown]]
    return Vocabulary((PAD, UNKNOWN, *words)), table


def make_classifier(chain: Chain, codec: ClassificationCodec, table: Tensor) -> TextClassifier:
    """Makes a classifier from a chain; `table (V, E)` is the embedding of the vocabulary."""
    if chain.pooling is None:
        raise ZooError("expected the layers of a classifier, got those of a tagger, which have no pooling")
    *hidden, (weight, bias) = chain.dense
    # sigmoid(z) equals the second probability of softmax([0, z]).
    if len(bias) == 1:
        weight = torch.cat([torch.zeros_like(weight), weight])
        bias = torch.cat([torch.zeros_like(bias), bias])
    model = TextClassifier(
        codec,
        embedding_size=table.shape[1],
        pooling=chain.pooling,
        head_size=len(hidden[0][1]) if hidden else 0,
        **_sizes(chain),
    )
    linear = [layer for layer in model.head if isinstance(layer, nn.Linear)]
    _fill(model, chain._replace(dense=[*hidden, (weight, bias)]), table, linear)
    return model.eval()


def make_tagger(chain: Chain, codec: TaggingCodec, table: Tensor, *, head: str = "softmax") -> SequenceTagger:
    """Makes a tagger without character encoder from a chain; `table (V, E)` is the embedding of the words."""
    model = SequenceTagger(
        codec,
        embedding_size=table.shape[1],
        characters=CharacterOptions(output_size=0),
        head=head,
        **_sizes(chain),
    )
    _fill(model, chain, table, [model.head])
    return model.eval()


def _fill(model: SequenceTagger | TextClassifier, chain: Chain, table: Tensor, linear: Sequence[nn.Linear]) -> None:
    model.embedding.words.weight.copy_(table)
    columns = _fill_backbone(model.backbone, chain.layers)
    for layer, (weight, bias) in zip(linear, chain.dense, strict=True):
        layer.weight.zero_()
        layer.weight[:, columns] = weight
        layer.bias.copy_(bias)
        columns = torch.arange(len(bias))


def _fill_backbone(backbone: RecurrentBackbone, layers: list[list[Direction]]) -> Tensor:
    """Copies the layers into a backbone, and returns the indices of their outputs among its `D * H` outputs.

    All layers of a backbone have the same size and the same directions. A layer that is narrower than the widest one,
    or that has one direction only, gets further units with zero weights. In an LSTM and in a GRU, the state of such
    units stays zero, so they do not affect the other units.
    """
    columns = torch.arange(layers[0][0].weight_ih.shape[1])
    for parameter in backbone.parameters():
        parameter.zero_()
    for depth, layer in enumerate(layers):
        outputs = []
        for place, direction in enumerate(layer):
            cell = backbone.get_submodule(f"layers.{depth}.{place}")
            weight_ih = cell.get_parameter("weight_ih")  # (G * H, I)
            weight_hh = cell.get_parameter("weight_hh")  # (G * H, H)
            hidden_size = weight_hh.shape[1]
            units = torch.arange(direction.weight_hh.shape[1])
            rows = torch.arange(len(weight_hh)).view(-1, hidden_size)[:, units].flatten()  # (G * units,)
            weight_ih[rows[:, None], columns] = direction.weight_ih
            weight_hh[rows[:, None], units] = direction.weight_hh
            cell.get_parameter("bias_ih")[rows] = direction.bias_ih
            cell.get_parameter("bias_hh")[rows] = direction.bias_hh
            outputs.append(units + place * hidden_size)
        columns = torch.cat(outputs)
    return columns


def _sizes(chain: Chain) -> dict[str, Any]:
    return {
        "cell": chain.cell,
        "hidden_size": max(direction.weight_hh.shape[1] for layer in chain.layers for direction in layer),
        "num_layers": len(chain.layers),
        "bidirectional": any(len(layer) == 2 for layer in chain.layers),
    }


def labels_of(labels: Sequence[str] | Mapping[str, int] | None, count: int) -> Inventory:
    """The labels in the order of a model's outputs; by default, they are the numbers of the outputs.

    Raises:
        ZooError: the number of labels, or the number of one of them, does not fit the outputs.
    """
    if labels is None:
        return Inventory(str(i) for i in range(count))
    if isinstance(labels, Mapping):
        if any(number not in labels.values() for number in range(count)) or len(labels) != count:
            raise ZooError(f"expected labels and the numbers 0 to {count - 1} of the model's outputs, got {labels}")
        labels = sorted(labels, key=labels.__getitem__)
    if len(labels) != count:
        raise ZooError(f"the model has {count} labels, got {len(labels)}: {', '.join(map(str, labels))}")
    return Inventory(str(label) for label in labels)
