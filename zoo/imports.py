"""Models that were trained elsewhere become models of the zoo: Keras 3 files, and the classes of the PyTorch tutorials.

Shapes: V words, E embedding features, H units, G gates, D directions, K labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.backbone import RecurrentBackbone
from zoo.classifier import TextClassifier
from zoo.errors import ZooError, unknown_name
from zoo.keras_file import Chain, Direction, read_keras
from zoo.tagger import SequenceTagger
from zoo.text import FILLING, PAD, START, UNKNOWN

UNLIMITED = 1_000_000  # tokens of a text
PADDINGS = {"pre": "before", "post": "after", "none": "nowhere"}  # where texts are filled up, in our words

# The parameters of the tutorials' classes: embedding and linear layer of the tagger, and of the classifier.
TAGGER, CLASSIFIER = ("word_embeddings", "hidden2tag"), ("embedding", "fc")


@torch.no_grad()
def import_keras(
    path: str | Path,
    word_index: Mapping[str, int] | str | Path,
    *,
    labels: Sequence[str] | None = None,
    unknown: str | None = None,
    num_words: int | None = None,
    index_from: int = 0,
    tokenizer: str = "keras",
    lowercase: bool = True,
    max_length: int | None = None,
    truncate: str = "tail",
    padding: str | None = None,
) -> TextClassifier:
    """Makes a classifier of a saved Keras 3 model: the same probabilities, to five decimals.

    Supported are Sequential models and functional chains of one Embedding, any number of LSTM layers or of GRU
    layers (Bidirectional or not), a GlobalAveragePooling1D or GlobalMaxPooling1D if there is one, one hidden
    Dense with ReLU if there is one, and a Dense with sigmoid or softmax; without either, what it puts out is taken
    for what stands before them. Dropout layers change no probability; the classifier has its own for training.

    >>> classifier = zoo.import_keras("reviews.keras", tokenizer.word_index, labels=["negative", "positive"])
    >>> classifier.predict(["what a film"])

    A model without `mask_zero=True` reads the padding as it reads words: say how its texts were padded. That of
    Keras's own tutorial, with `imdb.load_data(num_words=20000)` and `pad_sequences(x, maxlen=200)`, is

    >>> index = keras.datasets.imdb.get_word_index()
    >>> zoo.import_keras("imdb.keras", index, num_words=20000, index_from=3, max_length=200, padding="pre")

    `TextVectorization(output_sequence_length=200)` is `max_length=200, padding="post", truncate="head"` with the ids of
    its `get_vocabulary()` and `unknown="[UNK]"`; it joins what a punctuation mark parts, which no tokenizer here does.

    Args:
        path: of the `.keras` file.
        word_index: word -> id, as `word_index` of Keras's `Tokenizer`, or a JSON file of it; 0 is padding.
        labels: in the order of the last layer's units; of a single unit's two, the second is what it scores. By
            default numbers.
        unknown: the word of `word_index` that words it lacks are read as (Keras's `oov_token`); `<unk>` if it is
            one. Without one they are left out, as `Tokenizer` does; a text of none but them is read as padding where
            that is read, else as a zero vector.
        num_words: words with this id or a higher one are unknown, as in `Tokenizer`; by default all whose id the
            Embedding lacks.
        index_from: what was added to the ids of `word_index`: 3 by `load_data` of `keras.datasets`, which also puts
            1 before each text and 2 in the place of unknown words. Unless it is 0, all of this is done here too.
        tokenizer: how strings become words: "keras" as `Tokenizer` does by default, or another of `TextClassifier`.
        lowercase: whether words are looked up in lower case.
        max_length: ids of a text that are read at most (`maxlen` of Keras's `pad_sequences`); by default what
            the model's input layer fixes, or all.
        truncate: which part of a longer text is read: "tail", the default of `pad_sequences`, "head" or "both".
        padding: where texts were padded with 0 to `max_length` ids: "pre", the default of `pad_sequences`, "post",
            or "none" for the probabilities of each text by itself. A model that reads its padding needs it; one
            that masks it gives the same probabilities with each, but for GlobalMaxPooling1D, which knows no mask
            and has no counterpart here unless it is "none".

    Raises:
        ValueError: a layer or setting that is not supported (it is named), a model that reads padding where
            nothing says how its texts were padded, ids, labels or a length that do not fit it, or a file that is
            damaged.
    """
    chain, index = read_keras(Path(path)), _read_index(word_index)
    fill = _where_to_fill(chain, padding)
    if index_from:
        index = _shifted(index, index_from)
    limit = num_words or len(chain.embedding)
    index = {word: i for word, i in index.items() if i != 0 and i < limit}
    if not index:
        raise ZooError(f"expected a word_index with ids from 1 to {limit - 1}, which the model knows, got none")
    if fill != "nowhere":
        index[FILLING] = 0
    unknown = UNKNOWN if unknown is None and UNKNOWN in index else unknown
    vocabulary, table = _vocabulary(index, unknown, chain.embedding)
    options = {"tokenizer": tokenizer, "lowercase": lowercase, "truncate": truncate, "skip_unknown": unknown is None}
    options |= {"max_length": _length(chain, max_length, fill), "start": index_from > 0, "fill": fill}
    return _classifier(chain, vocabulary, table, labels, options)


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
    chain, index = _tutorial_chain(weights, *names), _read_index(word_index)
    index.pop(PAD, None)
    unknown = UNKNOWN if unknown is None and UNKNOWN in index else unknown
    vocabulary, table = _vocabulary(index, unknown, chain.embedding)
    if isinstance(labels, Mapping):
        labels = sorted(labels, key=labels.__getitem__)
    if names == CLASSIFIER:
        options = {"tokenizer": tokenizer, "lowercase": lowercase, "max_length": UNLIMITED}
        return _classifier(chain, vocabulary, table, labels, options)
    tagger = SequenceTagger(
        vocabulary,
        [PAD, UNKNOWN],
        _labels(labels, len(chain.dense[0][1])),
        tokenizer=tokenizer,
        lowercase=lowercase,
        word_size=table.shape[1],
        character_output=0,
        **_sizes(chain),
    )
    _fill(tagger, chain, table, [tagger.head])
    return tagger.eval()


def _where_to_fill(chain: Chain, padding: str | None) -> str:
    """Where padding is put that the model reads; nowhere if it masks it."""
    if padding not in (None, *PADDINGS):
        raise unknown_name("padding", padding, PADDINGS)
    if chain.masks_padding and chain.pooling != "max":
        return "nowhere"
    if padding is None:
        raise ZooError(
            "this model reads padding (mask_zero=False, or GlobalMaxPooling1D), so that its probabilities depend on "
            "how texts were padded: pass padding='pre' and max_length=N if it was by pad_sequences(x, maxlen=N), "
            "padding='post' if zeros came last, or padding='none' for the probabilities of each text by itself"
        )
    if chain.masks_padding and padding != "none":
        raise ZooError(
            "GlobalMaxPooling1D takes in what masked layers put out at padding, which has no counterpart here: pass "
            "padding='none' for the probabilities of each text by itself, or train it with mask_zero=False"
        )
    return PADDINGS[padding]


def _length(chain: Chain, max_length: int | None, fill: str) -> int:
    """How many tokens of a text are read at most, and, where it is filled up, at least."""
    length = max_length or chain.input_length
    if length is None and fill != "nowhere":
        raise ZooError("to which length were texts padded? pass max_length=N as in pad_sequences(x, maxlen=N)")
    if chain.input_length not in (None, length):
        raise ZooError(f"the model's input layer reads {chain.input_length} ids, got max_length={max_length}")
    return length or UNLIMITED


def _shifted(index: dict[str, int], by: int) -> dict[str, int]:
    """The ids of `keras.datasets`: 1 begins each text, 2 is the unknown word, and all others come after them."""
    word, lowest = min(index.items(), key=lambda item: item[1], default=("", 0))
    if by < 2 or lowest < 1:
        raise ZooError(
            "index_from=3 is for a word_index whose ids begin at 1, as that of keras.datasets.imdb.get_word_index(), "
            f"got index_from={by} and the id {lowest} of {word!r}: leave it out if the ids are the model's own"
        )
    return {word: i + by for word, i in index.items()} | {START: 1, UNKNOWN: 2}


def _classifier(
    chain: Chain, vocabulary: list[str], table: Tensor, labels: Sequence[str] | None, options: dict
) -> TextClassifier:
    *hidden, (weight, bias) = chain.dense
    if len(bias) == 1:  # sigmoid(z) is what softmax gives the second of 0 and z
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    model = TextClassifier(
        vocabulary,
        _labels(labels, len(bias)),
        multi_label=chain.multi_label,
        embedding_size=table.shape[1],
        pooling=chain.pooling,
        head_size=len(hidden[0][1]) if hidden else 0,
        **_sizes(chain),
        **options,
    )
    linear = [layer for layer in model.head if isinstance(layer, nn.Linear)]
    _fill(model, chain._replace(dense=[*hidden, (weight, bias)]), table, linear)
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
    """Copies the layers; returns which of the backbone's outputs `(D * H)` are theirs.

    A backbone's layers are alike. Where a layer is narrower than the widest, or reads one way only, units whose
    weights are all zero fill it up: in an LSTM and in a GRU their state stays zero, and the others know nothing of
    them.
    """
    columns = torch.arange(layers[0][0].weight_ih.shape[1])
    for cells, layer in zip(backbone.layers, layers, strict=True):
        for parameter in cells.parameters():
            parameter.zero_()
        outputs = []
        for place, (cell, direction) in enumerate(zip(cells, layer, strict=False)):
            units = torch.arange(direction.weight_hh.shape[1])
            rows = torch.arange(len(cell.bias_ih)).view(-1, cell.hidden_size)[:, units].flatten()  # (G * units)
            cell.weight_ih[rows[:, None], columns] = direction.weight_ih
            cell.weight_hh[rows[:, None], units] = direction.weight_hh
            cell.bias_ih[rows], cell.bias_hh[rows] = direction.bias_ih, direction.bias_hh
            outputs.append(units + place * cell.hidden_size)
        columns = torch.cat(outputs)
    return columns


def _sizes(chain: Chain) -> dict:
    return {
        "cell": chain.cell,
        "hidden_size": max(direction.weight_hh.shape[1] for layer in chain.layers for direction in layer),
        "num_layers": len(chain.layers),
        "bidirectional": any(len(layer) == 2 for layer in chain.layers),
    }


def _labels(labels: Sequence[str] | None, count: int) -> list[str]:
    labels = [str(i) for i in range(count)] if labels is None else list(labels)
    if len(labels) != count:
        raise ZooError(f"the model tells {count} labels apart, got {len(labels)}: {', '.join(labels)}")
    return labels


def _vocabulary(index: dict[str, int], unknown: str | None, embedding: Tensor) -> tuple[list[str], Tensor]:
    """Our vocabulary, padding and unknown word first, and a row of features for each of its entries `(V, E)`."""
    if unknown is not None and unknown not in index:
        raise ZooError(f"word_index has no {unknown!r} to read unknown words as: give one of its words, or None")
    words = sorted((word for word in index if word != unknown), key=index.__getitem__)
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
    return [PAD, UNKNOWN, *words], table


def _read_index(source: Mapping[str, int] | str | Path) -> dict[str, int]:
    index = source
    if not isinstance(source, Mapping):
        try:
            index = json.loads(Path(source).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ZooError(f"expected a JSON file of words and ids, got {source}: {error}") from error
    if not isinstance(index, Mapping) or any(not isinstance(i, int) for i in index.values()):
        raise ZooError('expected a word_index of words and ids such as {"the": 1, "film": 2}, got something else')
    if len(set(index.values())) != len(index):
        raise ZooError("expected a word_index that gives each word an id of its own, got two words with the same one")
    return dict(index)


def _read_weights(source: str | Path | Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = source
    if not isinstance(source, Mapping):
        try:
            is_safetensors = Path(source).suffix == ".safetensors"
            weights = load_file(source) if is_safetensors else torch.load(source, "cpu", weights_only=True)
        except (OSError, RuntimeError, SafetensorError, UnpicklingError) as error:
            # Torch's own message would tell its readers to load the file's code.
            what = "something else than tensors" if isinstance(error, UnpicklingError) else error
            hint = "save it with torch.save(model.state_dict(), path)"
            raise ZooError(f"expected a file of tensors alone, got {source}: {what} ({hint})") from error
    if not isinstance(weights, Mapping) or any(not isinstance(value, Tensor) for value in weights.values()):
        raise ZooError("expected a state dict, names and tensors, got something else: give model.state_dict()")
    return dict(weights)


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
    layers = [[Direction(*(weights[name] for name in way)) for way in layer] for layer in names]
    dense = [(weights[f"{head}.weight"], weights[f"{head}.bias"])]
    return Chain(weights[f"{embedding}.weight"], "lstm", layers, "last", dense)
