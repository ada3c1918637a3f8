"""Imports models that Keras 3 saved as classifiers and taggers. `zoo.interop.keras_file` reads their files."""

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

# Keras's names of where texts are padded, and those of `ClassificationCodec.fill`.
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
    """Makes a classifier or tagger of a saved Keras 3 model. Its probabilities agree to five decimals.

    Supported are Sequential models and functional chains of one Embedding, any number of LSTM layers or of GRU
    layers (Bidirectional or not), a GlobalAveragePooling1D or GlobalMaxPooling1D if there is one, one hidden
    Dense with ReLU if there is one, and a Dense with sigmoid or softmax; without either, what it puts out is taken
    for what stands before them. Activation layers may stand after a Dense. Dropout and noise change no probability; the
    classifier has its own for training.

    A model whose last recurrent layer has `return_sequences=True`, with no pooling, and one Dense (or
    TimeDistributed(Dense)) with softmax, becomes a tagger.

    >>> import keras
    >>> layers = [keras.layers.Embedding(4, 8, mask_zero=True), keras.layers.LSTM(8), keras.layers.Dense(1, "sigmoid")]
    >>> model = keras.Sequential([keras.Input([None]), *layers])
    >>> model.save("reviews.keras")
    >>> word_index = {"what": 1, "a": 2, "film": 3}
    >>> classifier = zoo.import_keras("reviews.keras", word_index, labels=["negative", "positive"])
    >>> [sorted(result["probabilities"]) for result in classifier.predict(["what a film"])]
    [['negative', 'positive']]

    A model without `mask_zero=True` reads the padding as it reads words: say how its texts were padded. That of
    Keras's own tutorial, with `imdb.load_data(num_words=20000)` and `pad_sequences(x, maxlen=200)`, is

        index = keras.datasets.imdb.get_word_index()
        zoo.import_keras("imdb.keras", index, num_words=20000, index_from=3, max_length=200, padding="pre")

    `TextVectorization(output_sequence_length=200)` is `max_length=200, padding="post", truncate="head"` with the ids of
    its `get_vocabulary()` and `unknown="[UNK]"`; it joins what a punctuation mark parts, which no tokenizer here does.

    Args:
        path: of the `.keras` file.
        word_index: word -> id, as `word_index` of Keras's `Tokenizer`, or a JSON file of it; 0 is padding.
        labels: in the order of the last layer's units; of a single unit's two, the second is what it scores. By
            default numbers.
        unknown: the word of `word_index` that words it lacks are read as (Keras's `oov_token`); `<unk>` if it is
            one. Without one a classifier leaves them out, as `Tokenizer` does, and a text of none but them is an empty
            one; a tagger, which must tag them, reads a vector of zeros.
        num_words: words with this id or a higher one are unknown, as in `Tokenizer`; by default all whose id the
            Embedding lacks.
        index_from: what was added to the ids of `word_index`: 3 by `load_data` of `keras.datasets`, which also puts
            1 before each text and 2 in the place of unknown words. Unless it is 0, all of this is done here too.
        tokenizer: how strings become words: for a classifier "keras", as `Tokenizer` does by default, or another of
            `TextClassifier`; for a tagger "whitespace" or "characters".
        lowercase: whether words are looked up in lower case; by default a classifier does, as `Tokenizer` does, and a
            tagger where `word_index` has no capital letter.
        max_length: ids of a text that are read at most (`maxlen` of Keras's `pad_sequences`); by default what
            the model's input layer fixes, or all.
        truncate: which part of a longer text is read: "tail", the default of `pad_sequences`, "head" or "both".
        padding: where texts were padded with 0 to `max_length` ids: "pre", the default of `pad_sequences`, "post",
            or "none" for the probabilities of each text by itself. A model that reads its padding needs it; one
            that masks it gives the same probabilities with each (its states stay zero over an empty text, of which
            GlobalAveragePooling1D makes zeros here and NaN there), but for GlobalMaxPooling1D, which knows no mask
            and has no counterpart here unless it is "none".

    A tagger reads whole sentences without padding: `max_length`, `truncate` and `index_from` are not for it. One that
    reads its padding needs `padding="none"`, or "post" where no layer reads backwards.

    Raises:
        ValueError: a layer or setting that is not supported (it is named), a model that reads padding where
            nothing says how its texts were padded, ids, labels or a length that do not fit it, or a file that is
            damaged.
    """
    chain, index = read_keras(Path(path)), read_index(word_index)
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
            "this tagger reads padding (mask_zero=False), so that its tags depend on how sentences were padded, which "
            "has no counterpart here: pass padding='none' for the tags of each sentence by itself, or train it with "
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
    """Returns the words that the model knows, which have ids from 1 to `limit` - 1."""
    known = {word: i for word, i in index.items() if i != 0 and i < limit}
    if not known:
        raise ZooError(f"expected a word_index with ids from 1 to {limit - 1}, which the model knows, got none")
    return known


def _where_to_fill(chain: Chain, padding: str | None) -> str:
    """Returns where texts are padded. A model that masks padding needs none."""
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
    """Returns the greatest number of tokens of a text, which is also the least where texts are padded."""
    length = max_length or chain.input_length
    if length is None and fill != "nowhere":
        raise ZooError("the length of padded texts is missing: pass max_length=N as in pad_sequences(x, maxlen=N)")
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
