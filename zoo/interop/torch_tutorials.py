"""Imports weights of the classes that the PyTorch tutorials define."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.codecs import ClassificationCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.interop.foreign import (
    UNLIMITED,
    Chain,
    Direction,
    labels_of,
    make_classifier,
    make_tagger,
    read_index,
    vocabulary_of,
)
from zoo.interop.state_dicts import read_state_dict, refuse_seq2seq
from zoo.models.classifier import TextClassifier
from zoo.models.tagger import SequenceTagger
from zoo.text import PAD, UNKNOWN, Inventory, Vocabulary

# The names of layers in the classes of the tutorials. The name of the head distinguishes a tagger from a classifier.
EMBEDDINGS, RECURRENT = ("embedding", "word_embeddings", "word_embeds"), ("lstm", "gru", "rnn")
TAGGER, CLASSIFIER, CRF = "hidden2tag", "fc", "transitions"
# Cells by the number of their gates.
CELLS = {4: "lstm", 3: "gru"}
# The CRF of the tutorial scores impossible transitions with -10000, which training moves a little.
FORBIDDEN = -1000


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
    """Makes a model of the weights of a class of a PyTorch tutorial. Its outputs are the same.

    A tagger has the parameters `word_embeddings.*`, `lstm.*` and `hidden2tag.*`; a classifier `embedding.*`,
    `lstm.*` and `fc.*`, and reads the LSTM's last hidden state, of both directions (forward, backward) if it has two.
    One output of `fc` stands for the second of two labels, through a sigmoid; several for a softmax. The LSTM may be
    called `rnn`, and be a GRU, called `gru` or `rnn`.

    The BiLSTM-CRF of the advanced tutorial has `word_embeds.*`, `lstm.*`, `hidden2tag.*` and `transitions`. Its START
    and STOP, which no token can have, become the scores of a sentence's first and last tag. That class draws the LSTM's
    first state anew for each sentence; here it is zero.

    >>> layers = {"word_embeddings": torch.nn.Embedding(3, 4), "lstm": torch.nn.LSTM(4, 5)}
    >>> model = torch.nn.ModuleDict({**layers, "hidden2tag": torch.nn.Linear(5, 2)})
    >>> tagger = zoo.import_state_dict(model.state_dict(), {"<unk>": 0, "dogs": 1, "bark": 2}, ["NOUN", "VERB"])
    >>> tagger.backbone.output_size
    5

    Args:
        source: a state dict, or a file of one: `.safetensors`, or what `torch.save` wrote, of which tensors and plain
            values alone are read. It may be an entry of a checkpoint ("model_state_dict", "state_dict" or "model"),
            and its names may begin as DataParallel, torch.compile and Lightning let them.
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
    weights = read_state_dict(source)
    refuse_seq2seq(weights)
    names = Names.of(weights)
    chain, index = _tutorial_chain(weights, names), read_index(word_index)
    index.pop(PAD, None)
    unknown = UNKNOWN if unknown is None and UNKNOWN in index else unknown
    vocabulary, table = vocabulary_of(index, unknown, chain.embedding)
    known = labels_of(labels, chain.num_labels)
    if names.head == CLASSIFIER:
        reads = ClassificationCodec(vocabulary, known, tokenizer=tokenizer, lowercase=lowercase, max_length=UNLIMITED)
        return make_classifier(chain, reads, table)
    codec = TaggingCodec(vocabulary, Vocabulary((PAD, UNKNOWN)), known, tokenizer=tokenizer, lowercase=lowercase)
    return _with_crf(chain, weights[CRF], codec, table) if CRF in weights else make_tagger(chain, codec, table)


class Names(NamedTuple):
    """The names of the layers of a class."""

    embedding: str
    recurrent: str
    head: str

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Names:
        """Finds the names that occur, with those of the plain classifier for the missing ones."""
        layers = {name.partition(".")[0] for name in weights}
        kinds = (EMBEDDINGS, RECURRENT, (CLASSIFIER, TAGGER))
        return cls(*(next((name for name in known if name in layers), known[0]) for known in kinds))


def _tutorial_chain(weights: dict[str, Tensor], names: Names) -> Chain:
    embedding, recurrent, head = names
    ways = ("", "_reverse") if f"{recurrent}.weight_hh_l0_reverse" in weights else ("",)
    depth = max(1, sum(name.startswith(f"{recurrent}.weight_hh_l") for name in weights) // len(ways))
    parameters = [
        [[f"{recurrent}.{part}_l{number}{way}" for part in Direction._fields] for way in ways]
        for number in range(depth)
    ]
    expected = {name for layer in parameters for way in layer for name in way}
    expected |= {f"{embedding}.weight", f"{head}.weight", f"{head}.bias"}
    if head == TAGGER and CRF in weights:
        expected.add(CRF)
    if set(weights) != expected:
        missing = ", ".join(sorted(expected - set(weights))) or "nothing"
        extra = ", ".join(sorted(set(weights) - expected)) or "nothing"
        raise ZooError(
            "expected the parameters of word_embeddings, lstm, hidden2tag or embedding, lstm, fc; "
            f"{missing[:300]} is missing and {extra[:300]} is not expected. Known are also gru and rnn in the place of "
            "lstm, and word_embeds, lstm, hidden2tag, transitions"
        )
    gates = _check_shapes(weights, parameters, names)
    layers = [[Direction(*(weights[name] for name in way)) for way in layer] for layer in parameters]
    dense = [(weights[f"{head}.weight"], weights[f"{head}.bias"])]
    pooling = "last" if head == CLASSIFIER else None
    return Chain(weights[f"{embedding}.weight"], CELLS[gates], layers, pooling, dense)


def _with_crf(chain: Chain, transitions: Tensor, codec: TaggingCodec, table: Tensor) -> SequenceTagger:
    """The BiLSTM-CRF, whose `transitions (K, K)` score going to the tag of a row from that of a column."""
    ((weight, bias),) = chain.dense
    if transitions.shape != (len(bias), len(bias)):
        raise ZooError(f"expected {CRF} of shape {(len(bias), len(bias))}, got {tuple(transitions.shape)}")
    impossible = transitions <= FORBIDDEN
    start, stop = impossible.all(1).nonzero().flatten().tolist(), impossible.all(0).nonzero().flatten().tolist()
    if len(start) != 1 or len(stop) != 1 or start == stop:
        raise ZooError(
            f"expected {CRF} that score going to START, and coming from STOP, with -10000, as the tutorial has them, "
            f"got {len(start)} such rows and {len(stop)} such columns"
        )
    kept = [number for number in range(len(bias)) if number not in (*start, *stop)]
    chain = chain._replace(dense=[(weight[kept], bias[kept])])
    codec = replace(codec, tags=Inventory(codec.tags[number] for number in kept))
    tagger = make_tagger(chain, codec, table, head="crf")
    tagger.get_parameter("crf.start").copy_(transitions[kept, start[0]])
    tagger.get_parameter("crf.end").copy_(transitions[stop[0], kept])
    tagger.get_parameter("crf.transition").copy_(transitions[kept][:, kept].T)
    return tagger


def _check_shapes(weights: dict[str, Tensor], parameters: list[list[list[str]]], names: Names) -> int:
    """Checks that all weights fit each other, and returns the number of gates of the recurrent layers."""
    embedding, recurrent, head = names
    matrices = [f"{embedding}.weight", f"{recurrent}.weight_hh_l0", f"{head}.weight"]
    if flat := [name for name in matrices if weights[name].ndim != 2]:
        raise ZooError(f"expected a matrix as {flat[0]}, got a tensor of shape {tuple(weights[flat[0]].shape)}")
    (V, E), (rows, H), (K, _) = (weights[name].shape for name in matrices)
    gates = rows // max(1, H)
    if gates == 1 and rows == H:
        raise ZooError(
            f"{recurrent} is an nn.RNN, whose weights do not tell tanh from relu: only an LSTM or a GRU can be read"
        )
    if gates not in CELLS:
        raise ZooError(f"expected {matrices[1]} of an LSTM (4 H, H) or a GRU (3 H, H), got {(rows, H)}")
    outputs = len(parameters[0]) * H
    shapes = {f"{embedding}.weight": (V, E), f"{head}.weight": (K, outputs), f"{head}.bias": (K,)}
    for depth, layer in enumerate(parameters):
        for way in layer:
            inputs = outputs if depth else E
            sizes = ((gates * H, inputs), (gates * H, H), (gates * H,), (gates * H,))
            shapes |= dict(zip(way, sizes, strict=True))
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise ZooError(f"expected {name} of shape {shape} beside the others, got {tuple(weights[name].shape)}")
    return gates
