"""Imports Keras 3 models as classifiers and taggers. `zoo.interop.keras_file` reads their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from zoo.codecs import ClassificationCodec, TaggingCodec
from zoo.errors import ZooError, unknown_name
from zoo.interop.foreign import UNLIMITED, Chain, labels_of, make_classifier, make_tagger, read_index, vocabulary_of
from zoo.interop.keras_file import read_keras
from zoo.models.classifier import TextClassifier
from zoo.models.tagger import SequenceTagger
from zoo.text import FILLING, PAD, START, UNKNOWN, Vocabulary

# Keras's names for the side on which texts are padded, and the names of `ClassificationCodec.fill`.
PADDINGS = {"pre": "before", "post": "after", "none": "nowhere"}


@torch.no_grad()
def import_keras(
    path: str | Path,
    word_index: Mapping[str, int] | str | Path,
    *,
    labels: Sequence[str] | None = None,
    unknown: str | None = None,
    num_words: int | None = None,
    index_from: int = 0,
    tokenizer: str | None = None,
    lowercase: bool | None = None,
    max_length: int | None = None,
    truncate: str = "tail",
    padding: str | None = None,
) -> TextClassifier | SequenceTagger:
    """Imports a saved Keras 3 model as a classifier or tagger. Its probabilities agree to five decimals.

    A Sequential model or a functional chain of these layers becomes a classifier:

    1. one Embedding;
    2. any number of LSTM layers or of GRU layers, each of which may be Bidirectional;
    3. optionally a GlobalAveragePooling1D or GlobalMaxPooling1D;
    4. optionally one hidden Dense layer with ReLU;
    5. a Dense layer with sigmoid or softmax. A last layer without activation is read as logits.

    An activation may be a layer of its own after a Dense layer. Dropout and noise layers are ignored, because they do
    not change a probability; the imported classifier has dropout of its own for training.

    If the last recurrent layer has `return_sequences=True`, and only one Dense (or TimeDistributed(Dense)) layer with
    softmax follows, the model becomes a tagger.

    >>> import keras
    >>> layers = [keras.layers.Embedding(4, 8, mask_zero=True), keras.layers.LSTM(8), keras.layers.Dense(1, "sigmoid")]
    >>> model = keras.Sequential([keras.Input([None]), *layers])
    >>> model.save("reviews.keras")
    >>> word_index = {"what": 1, "a": 2, "film": 3}
    >>> classifier = zoo.import_keras("reviews.keras", word_index, labels=["negative", "positive"])
    >>> [sorted(result["probabilities"]) for result in classifier.predict(["what a film"])]
    [['negative', 'positive']]

    A model without `mask_zero=True` reads padding like words, so its import needs to know how texts were padded. The
    model of Keras's tutorial on IMDB, with `imdb.load_data(num_words=20000)` and `pad_sequences(x, maxlen=200)`, is
    imported by

        index = keras.datasets.imdb.get_word_index()
        zoo.import_keras("imdb.keras", index, num_words=20000, index_from=3, max_length=200, padding="pre")

    For `TextVectorization(output_sequence_length=200)`, pass `max_length=200, padding="post", truncate="head"`, the ids
    of its `get_vocabulary()` and `unknown="[UNK]"`. Keras joins the parts of a word with a punctuation mark (don't ->
    dont), which no tokenizer here does.

    Args:
        path: the `.keras` file.
        word_index: the id of each word, as `word_index` of Keras's `Tokenizer`, or a JSON file of it. Id 0 is padding.
        labels: the labels in the order of the last layer's units. A single unit gives the probability of the second of
            two labels. By default, labels are numbers.
        unknown: the word of `word_index` that replaces words outside it (Keras's `oov_token`). By default it is `<unk>`
            if that is in `word_index`. Without such a word, a classifier leaves unknown words out, as `Tokenizer` does,
            and a tagger gives them a zero vector.
        num_words: words with this id or a higher one are unknown, as in `Tokenizer`. By default, these are the words
            for which the Embedding has no row.
        index_from: the number that was added to the ids of `word_index`. `load_data` of `keras.datasets` adds 3, puts
            id 1 before each text, and replaces unknown words by id 2. The imported model does the same unless this is
            0.
        tokenizer: splits strings into words. A classifier takes a tokenizer of `ClassificationCodec`, by default
            "keras", the rule of `Tokenizer`; a tagger takes "whitespace" or "characters".
        lowercase: whether words are looked up in lower case. By default a classifier does so, as `Tokenizer` does, and
            a tagger does so if `word_index` has no capital letter.
        max_length: the largest number of ids of a text that are read (`maxlen` of Keras's `pad_sequences`). By default,
            it is the length of the model's input layer, or unlimited.
        truncate: the part of a longer text that is read: "tail" (the default of `pad_sequences`), "head" or "both".
        padding: the side on which texts were padded with 0 up to `max_length` ids: "pre" (the default of
            `pad_sequences`), "post", or "none" for the probabilities of each text without padding. Models that read
            padding need it. For models that mask padding it has no effect, with two exceptions. GlobalMaxPooling1D
            ignores the mask, so it is supported with "none" only. For an empty text, GlobalAveragePooling1D is zero
            here and NaN in Keras.

    A tagger reads whole sentences without padding, and takes no `max_length`, `truncate` and `index_from`. If it reads
    padding, it needs `padding="none"`, or "post" if no layer reads backwards.

    Raises:
        ZooError: a layer or setting is not supported (it is named); the model reads padding, but `padding` is missing;
            ids, labels or a length do not fit the model; or the file is damaged.
    """
    chain = read_keras(Path(path))
    index = read_index(word_index)
    if chain.pooling is None:
        if max_length is not None or index_from:
            raise ZooError("this model is a tagger, which reads whole sentences: leave out max_length and index_from")
        return _tagger(chain, index, labels, unknown, num_words, tokenizer, lowercase, padding)
    fill = _where_to_fill(chain, padding)
    if index_from:
        index = _shifted(index, index_from)
    index = _known(index, num_words or len(chain.embedding))
    if fill != "nowhere":
        index[FILLING] = 0
    unknown = UNKNOWN if unknown is None and UNKNOWN in index else unknown
    vocabulary, table = vocabulary_of(index, unknown, chain.embedding)
    codec = ClassificationCodec(
        vocabulary,
        labels_of(labels, chain.num_labels),
        multi_label=chain.multi_label,
        tokenizer=tokenizer or "keras",
        lowercase=lowercase is not False,
        max_length=_length(chain, max_length, fill),
        truncate=truncate,
        skip_unknown=unknown is None,
        start=index_from > 0,
        fill=fill,
        empty="nothing",
    )
    return make_classifier(chain, codec, table)


def _tagger(
    chain: Chain,
    index: dict[str, int],
    labels: Sequence[str] | None,
    unknown: str | None,
    num_words: int | None,
    tokenizer: str | None,
    lowercase: bool | None,
    padding: str | None,
) -> SequenceTagger:
    if padding not in (None, *PADDINGS):
        raise unknown_name("padding", padding, PADDINGS)
    backwards = any(len(layer) == 2 for layer in chain.layers)
    if not chain.masks_padding and padding != "none" and (backwards or padding != "post"):
        raise ZooError(
            "this tagger reads padding (mask_zero=False), so its tags depend on how sentences were padded, which is "
            "not supported: pass padding='none' for the tags of sentences without padding, or train it with "
            "mask_zero=True"
        )
    index = _known(index, num_words or len(chain.embedding))
    unknown = UNKNOWN if unknown is None and UNKNOWN in index else unknown
    vocabulary, table = vocabulary_of(index, unknown, chain.embedding)
    if lowercase is None:
        lowercase = all(word == word.lower() for word in index if word != unknown)
    codec = TaggingCodec(
        vocabulary,
        Vocabulary((PAD, UNKNOWN)),
        labels_of(labels, chain.num_labels),
        tokenizer=tokenizer or "whitespace",
        lowercase=lowercase,
    )
    return make_tagger(chain, codec, table)


def _known(index: dict[str, int], limit: int) -> dict[str, int]:
    """The words that the model knows: those with ids from 1 to `limit` - 1."""
    known = {word: i for word, i in index.items() if i != 0 and i < limit}
    if not known:
        raise ZooError(f"expected a word_index with ids of the model, from 1 to {limit - 1}, got none")
    return known


def _where_to_fill(chain: Chain, padding: str | None) -> str:
    """Where texts are filled up; "nowhere" for a model that masks padding."""
    if padding not in (None, *PADDINGS):
        raise unknown_name("padding", padding, PADDINGS)
    if chain.masks_padding and chain.pooling != "max":
        return "nowhere"
    if padding is None:
        raise ZooError(
            "this model reads padding (mask_zero=False or GlobalMaxPooling1D), so its probabilities depend on how "
            "texts were padded: pass padding='pre' and max_length=N for pad_sequences(x, maxlen=N), padding='post' if "
            "zeros came last, or padding='none' for the probabilities of texts without padding"
        )
    if chain.masks_padding and padding != "none":
        raise ZooError(
            "GlobalMaxPooling1D reads the outputs of masked layers at padding, which is not supported: pass "
            "padding='none' for the probabilities of texts without padding, or train it with mask_zero=False"
        )
    return PADDINGS[padding]


def _length(chain: Chain, max_length: int | None, fill: str) -> int:
    """The largest number of tokens of a text; texts that are padded all have this length."""
    length = max_length or chain.input_length
    if length is None and fill != "nowhere":
        raise ZooError("the length of padded texts is missing: pass max_length=N as in pad_sequences(x, maxlen=N)")
    if chain.input_length not in (None, length):
        raise ZooError(f"the model's input layer reads {chain.input_length} ids, got max_length={max_length}")
    return length or UNLIMITED


def _shifted(index: dict[str, int], by: int) -> dict[str, int]:
    """The ids of `keras.datasets`: 1 is before each text, 2 is the unknown word, and the words come after them."""
    word, lowest = min(index.items(), key=lambda item: item[1], default=("", 0))
    if by < 2 or lowest < 1:
        raise ZooError(
            "index_from=3 needs a word_index whose ids begin at 1, such as keras.datasets.imdb.get_word_index(), got "
            f"index_from={by} and the id {lowest} of {word!r}: leave it out if the ids are those of the model"
        )
    return {word: i + by for word, i in index.items()} | {START: 1, UNKNOWN: 2}
