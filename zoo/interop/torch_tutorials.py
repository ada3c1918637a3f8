"""Imports weights of the models in the PyTorch tutorials."""

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

# The names of layers in the tutorials. The name of the head distinguishes a tagger from a classifier.
EMBEDDINGS = ("embedding", "word_embeddings", "word_embeds")
RECURRENT = ("lstm", "gru", "rnn")
TAGGER = "hidden2tag"
CLASSIFIER = "fc"
CRF = "transitions"
# Cells by the number of their gates.
CELLS = {4: "lstm", 3: "gru"}
# The tutorial's CRF initializes impossible transitions with -10000, and training changes them slightly.
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
    """Imports the weights of a model of the PyTorch tutorials. Its outputs are the same.

    A tagger has the parameters `word_embeddings.*`, `lstm.*` and `hidden2tag.*`. A classifier has `embedding.*`,
    `lstm.*` and `fc.*`, where `fc` reads the last hidden state of the LSTM (forward and backward, if it has both
    directions). One output of `fc` is the logit of the second of two labels; several outputs are those of a softmax.
    The LSTM may also be a GRU, and the layer may also be called `gru` or `rnn`.

    The BiLSTM-CRF of the advanced tutorial has `word_embeds.*`, `lstm.*`, `hidden2tag.*` and `transitions`. Its tags
    START and STOP become the scores of the first and of the last tag of a sentence. The initial state of its LSTM is
    random in the tutorial and zero here.

    >>> layers = {"word_embeddings": torch.nn.Embedding(3, 4), "lstm": torch.nn.LSTM(4, 5)}
    >>> model = torch.nn.ModuleDict({**layers, "hidden2tag": torch.nn.Linear(5, 2)})
    >>> tagger = zoo.import_state_dict(model.state_dict(), {"<unk>": 0, "dogs": 1, "bark": 2}, ["NOUN", "VERB"])
    >>> tagger.backbone.output_size
    5

    Args:
        source: a state dict or its file, either `.safetensors` or a file by `torch.save` that contains only tensors and
            plain values. The state dict may be an entry of a checkpoint ("model_state_dict", "state_dict" or "model"),
            and its names may have the prefixes of DataParallel, torch.compile and Lightning.
        word_index: the id of each word, or a JSON file of it. `<pad>` is padding.
        labels: the tags or labels in the order of the outputs, or the number of each. By default, they are numbers.
        unknown: the word of `word_index` that replaces words outside it. By default it is `<unk>` if that is in
            `word_index`. Without such a word, unknown words have a zero vector.
        tokenizer: splits strings into words, as in `TaggingCodec` or `ClassificationCodec`.
        lowercase: whether words are looked up in lower case.

    Raises:
        ZooError: the parameters are those of another model (they are named), ids or labels do not fit the weights, or
            the file contains more than tensors and plain values.
    """
    weights = read_state_dict(source)
    refuse_seq2seq(weights)
    names = Names.of(weights)
    chain = _tutorial_chain(weights, names)
    index = read_index(word_index)
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
    """The names of the layers of a model."""

    embedding: str
    recurrent: str
    head: str

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Names:
        """The names that occur in `weights`; missing layers have the names of the tutorial's classifier."""
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
            f"{missing[:300]} is missing and {extra[:300]} is not expected. The parameters of gru or rnn instead of "
            "lstm, and those of word_embeds, lstm, hidden2tag, transitions, are supported too"
        )
    gates = _check_shapes(weights, parameters, names)
    layers = [[Direction(*(weights[name] for name in way)) for way in layer] for layer in parameters]
    dense = [(weights[f"{head}.weight"], weights[f"{head}.bias"])]
    pooling = "last" if head == CLASSIFIER else None
    return Chain(weights[f"{embedding}.weight"], CELLS[gates], layers, pooling, dense)


def _with_crf(chain: Chain, transitions: Tensor, codec: TaggingCodec, table: Tensor) -> SequenceTagger:
    """The BiLSTM-CRF. Its `transitions (K, K)` are the scores of going to a row's tag from a column's tag."""
    ((weight, bias),) = chain.dense
    if transitions.shape != (len(bias), len(bias)):
        raise ZooError(f"expected {CRF} of shape {(len(bias), len(bias))}, got {tuple(transitions.shape)}")
    impossible = transitions <= FORBIDDEN
    start = impossible.all(1).nonzero().flatten().tolist()
    stop = impossible.all(0).nonzero().flatten().tolist()
    if len(start) != 1 or len(stop) != 1 or start == stop:
        raise ZooError(
            f"expected {CRF} with scores of -10000 in one row (to START) and in one column (from STOP), as in the "
            f"tutorial, got {len(start)} such rows and {len(stop)} such columns"
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
    """Checks that the shapes of all weights agree, and returns the number of gates of the recurrent layers."""
    embedding, recurrent, head = names
    matrices = [f"{embedding}.weight", f"{recurrent}.weight_hh_l0", f"{head}.weight"]
    if flat := [name for name in matrices if weights[name].ndim != 2]:
        raise ZooError(f"expected a matrix as {flat[0]}, got a tensor of shape {tuple(weights[flat[0]].shape)}")
    (V, E), (rows, H), (K, _) = (weights[name].shape for name in matrices)
    gates = rows // max(1, H)
    if gates == 1 and rows == H:
        raise ZooError(
            f"{recurrent} is an nn.RNN, whose weights do not say if it uses tanh or relu: only an LSTM or a GRU can be "
            "imported"
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
            raise ZooError(f"expected {name} of shape {shape} to fit the others, got {tuple(weights[name].shape)}")
    return gates
