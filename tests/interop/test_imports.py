"""Imported models give what the models gave that they come from; what cannot be imported is refused by name."""

from __future__ import annotations

import io
import json
import os
import zipfile
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo.batches.classification import Texts
from zoo.batches.tagging import Sentences
from zoo.errors import ZooError
from zoo.text import FILLING, split_keras

os.environ.setdefault("KERAS_BACKEND", "torch")
try:
    import h5py
    import keras
    from keras import layers as L
except ImportError:
    keras = None

needs_keras = pytest.mark.skipif(keras is None, reason="Keras, which the imported models are made with, is missing")
WORDS = "the film was not good bad at all really a soup cold".split()
INDEX = {word: i for i, word in enumerate(WORDS, 1)}  # 0 is padding
TEXTS = ["the film was good", "bad", "not at all a good film really", "the soup was cold , really cold", "good good"]
# The rows of an embedding.
ROWS = len(INDEX) + 1
# The length to which texts for Keras are padded.
STEPS = 9

# Recurrent and pooling layers, between an Embedding of 5 features and a Dense of 3.
BODIES = {
    "lstm": lambda: [L.LSTM(4)],
    "gru": lambda: [L.GRU(4)],
    "bidirectional lstm": lambda: [L.Bidirectional(L.LSTM(4))],
    "bidirectional gru": lambda: [L.SpatialDropout1D(0.2), L.Bidirectional(L.GRU(4)), L.Dropout(0.2)],
    "no bias": lambda: [
        L.LSTM(4, use_bias=False, return_sequences=True),
        L.LSTM(4, use_bias=False),
        L.Dense(6, "relu", use_bias=False),
    ],
    "stack": lambda: [L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Bidirectional(L.LSTM(4))],
    "narrowing stack": lambda: [L.LSTM(6, return_sequences=True), L.LSTM(3, return_sequences=True), L.LSTM(2)],
    "one way after two": lambda: [L.Bidirectional(L.GRU(3, return_sequences=True)), L.GRU(5)],
    "two ways after one": lambda: [L.GRU(5, return_sequences=True), L.Bidirectional(L.GRU(3))],
    "mean": lambda: [L.Bidirectional(L.LSTM(4, return_sequences=True)), L.GlobalAveragePooling1D()],
    "narrow mean": lambda: [
        L.LSTM(4, return_sequences=True),
        L.LSTM(3, return_sequences=True),
        L.GlobalAveragePooling1D(),
    ],
    "hidden layer": lambda: [L.LSTM(4), L.Dense(6, activation="relu"), L.Dropout(0.5)],
}
# GlobalMaxPooling1D ignores the mask.
MAX = {"max": lambda: [L.Bidirectional(L.LSTM(4, return_sequences=True)), L.GlobalMaxPooling1D()]}
HEADS = {
    "softmax": (3, "softmax"),
    "sigmoid": (1, "sigmoid"),
    "multi-label": (3, "sigmoid"),
    "logits": (3, "linear"),
    "one logit": (1, "linear"),
    "no bias": (3, "softmax", False),
}


def keras_model(body, head=(3, "softmax"), *, mask_zero=True, functional=False, length=None, batch=None, rows=ROWS):
    """A model of random weights, biases among them."""
    stack = [L.Embedding(rows, 5, mask_zero=mask_zero), *body, L.Dense(*head)]
    start = keras.Input((length,), batch, dtype="int32")
    if functional:
        x = start
        for layer in stack:
            x = layer(x)
        model = keras.Model(start, x)
    else:
        model = keras.Sequential([start, *stack])
    dice = torch.Generator().manual_seed(0)
    model.set_weights([torch.randn(w.shape, generator=dice).numpy() for w in model.get_weights()])
    return model


def saved(model, tmp_path):
    tmp_path.mkdir(exist_ok=True)
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def keras_outputs(model, texts, *, padding="pre", steps=STEPS) -> torch.Tensor:
    ids = [[INDEX[word] for word in text.split() if word in INDEX] for text in texts]
    steps = steps or max(map(len, ids))
    rows = [[0] * (steps - len(r)) + r if padding == "pre" else r + [0] * (steps - len(r)) for r in ids]
    return outputs(model, rows)


def padded_outputs(model, texts, **options) -> torch.Tensor:
    """What Keras gives for texts that its own `pad_sequences` pads and cuts."""
    ids = [[INDEX[word] for word in text.split() if word in INDEX] for text in texts]
    return outputs(model, keras.utils.pad_sequences(ids, **options))


def outputs(model, rows) -> torch.Tensor:
    return torch.as_tensor(model(torch.as_tensor(rows), training=False)).detach().cpu()


def probabilities(model, texts) -> torch.Tensor:
    return torch.tensor([list(result["probabilities"].values()) for result in model.predict(texts)])


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@needs_keras
@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize("body", BODIES)
def test_probabilities_equal_those_of_keras_with_any_padding(body, functional, tmp_path):
    model = keras_model(BODIES[body](), functional=functional)
    imported = zoo.import_keras(saved(model, tmp_path), INDEX, labels=["x", "y", "z"])
    found = probabilities(imported, TEXTS)
    # The probabilities of the texts differ, so this test does not compare constants.
    assert found.std(0).min() > 1e-3
    for padding in ("pre", "post"):
        close(found, keras_outputs(model, TEXTS, padding=padding))
    assert [r["label"] for r in imported.predict(TEXTS)] == [["x", "y", "z"][i] for i in found.argmax(1)]


@needs_keras
@pytest.mark.parametrize("unknown", [None, "all"])
@pytest.mark.parametrize("body", BODIES)
def test_an_empty_text_leaves_the_states_at_zero_as_masked_padding_does(body, unknown, tmp_path):
    model = keras_model(BODIES[body]())
    imported = zoo.import_keras(saved(model, tmp_path), INDEX, unknown=unknown)
    none = "" if unknown else "wonderful"
    texts = [none, *TEXTS, none]
    # Keras divides by zero steps.
    if "mean" in body:
        assert keras_outputs(model, [none]).isnan().all() and not probabilities(imported, [none]).isnan().any()
        return
    for padding in ("pre", "post"):
        close(probabilities(imported, texts), keras_outputs(model, texts, padding=padding))
    close(probabilities(imported, [none, none]), keras_outputs(model, [none, none]))
    imported.save_pretrained(tmp_path / "folder")
    assert zoo.from_pretrained(tmp_path / "folder").predict(texts) == imported.predict(texts)


@needs_keras
@pytest.mark.parametrize("head", HEADS)
def test_each_head_gives_the_probabilities_of_keras(head, tmp_path):
    model = keras_model([L.LSTM(4)], HEADS[head])
    expected = keras_outputs(model, TEXTS)
    if head == "logits":
        expected = expected.softmax(-1)
    if head == "one logit":
        expected = expected.sigmoid()
    if expected.shape[1] == 1:
        expected = torch.cat([1 - expected, expected], dim=1)
    imported = zoo.import_keras(saved(model, tmp_path), INDEX)
    close(probabilities(imported, TEXTS), expected)
    assert imported.codec.multi_label == (head == "multi-label")


@pytest.fixture(scope="module")
def masking(tmp_path_factory):
    """A model of Keras that masks padding, and what is imported of it."""
    model = keras_model(BODIES["stack"]())
    return model, zoo.import_keras(saved(model, tmp_path_factory.mktemp("keras")), INDEX)


@pytest.fixture(scope="module")
def reading_padding(tmp_path_factory):
    """A model of Keras that reads padding up to seven words, and what is imported of it."""
    model = keras_model(BODIES["stack"](), mask_zero=False, length=7)
    return model, zoo.import_keras(saved(model, tmp_path_factory.mktemp("keras")), INDEX, padding="pre")


@needs_keras
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=STEPS).map(" ".join), min_size=1, max_size=5)
)
@settings(max_examples=25)
def test_any_texts_get_the_probabilities_of_keras(masking, texts):
    model, imported = masking
    close(probabilities(imported, texts), keras_outputs(model, texts))


@needs_keras
@pytest.mark.parametrize(
    "padding, truncating, truncate", [("pre", "pre", "tail"), ("post", "post", "head"), ("pre", "post", "head")]
)
@pytest.mark.parametrize("body", [*BODIES, "max"])
def test_a_model_that_reads_padding_gives_the_probabilities_of_keras(body, padding, truncating, truncate, tmp_path):
    model = keras_model((BODIES | MAX)[body](), mask_zero=False)
    options = dict(max_length=6, padding=padding, truncate=truncate)
    imported = zoo.import_keras(saved(model, tmp_path), INDEX, **options)
    texts = [*TEXTS, "", "wonderful", "wonderful good", "the film was not good at all", "cold " * 50]
    expected = padded_outputs(model, texts, maxlen=6, padding=padding, truncating=truncating)
    close(probabilities(imported, texts), expected)
    unpadded = zoo.import_keras(tmp_path / "model.keras", INDEX, **options | {"padding": "none"})
    # Padding changes the probabilities of this model.
    assert not torch.allclose(probabilities(unpadded, texts), expected, atol=1e-3)
    imported.save_pretrained(tmp_path / "folder")
    assert zoo.from_pretrained(tmp_path / "folder").predict(texts) == imported.predict(texts)


@needs_keras
@given(texts=st.lists(st.lists(st.sampled_from([*WORDS, "new"]), max_size=12).map(" ".join), min_size=1, max_size=5))
@settings(max_examples=25)
def test_any_texts_get_the_probabilities_of_a_model_that_reads_padding(reading_padding, texts):
    model, imported = reading_padding
    close(probabilities(imported, texts), padded_outputs(model, texts, maxlen=7))


@needs_keras
def test_no_word_of_a_text_is_read_as_padding(tmp_path):
    model = keras_model([L.LSTM(4)], mask_zero=False)
    options = dict(max_length=5, padding="pre", tokenizer="whitespace", unknown="all")
    imported = zoo.import_keras(saved(model, tmp_path), INDEX, **options)
    close(probabilities(imported, [f"good {FILLING} soup"]), padded_outputs(model, ["good all all all soup"], maxlen=5))


@needs_keras
def test_index_from_shifts_ids_as_keras_datasets_do(tmp_path, monkeypatch):
    from keras.src.datasets import imdb

    texts = ["the film was good", "really cold , a cold soup", "", "not at all a good film really"]
    index = INDEX | {",": 13}
    reviews = np.array([[index[word] for word in text.split()] for text in texts], dtype=object)
    places = np.arange(len(texts))
    np.savez(tmp_path / "imdb.npz", x_train=reviews, y_train=places, x_test=reviews, y_test=places)
    monkeypatch.setattr(imdb, "get_file", lambda *_, **__: str(tmp_path / "imdb.npz"))
    # The id of "soup" is 11 + 3 = 14: it is the first unknown word.
    _, (ids, places) = imdb.load_data(num_words=14)
    model = keras_model(BODIES["stack"](), mask_zero=False, rows=14)
    options = dict(num_words=14, index_from=3, max_length=6, padding="pre", tokenizer="whitespace")
    imported = zoo.import_keras(saved(model, tmp_path), index, **options)
    assert {1, 2} < set(chain.from_iterable(ids))
    rows = keras.utils.pad_sequences(ids, maxlen=6)
    close(probabilities(imported, [texts[place] for place in places]), outputs(model, rows))
    for wrong in (dict(index_from=1), dict(word_index=index | {"<PAD>": 0})):
        with pytest.raises(ZooError, match="whose ids begin at 1.*leave it out"):
            zoo.import_keras(tmp_path / "model.keras", **{"word_index": index, **options, **wrong})


@needs_keras
@pytest.mark.parametrize("padding", ["pre", "post", "none"])
def test_the_side_of_masked_padding_changes_no_probability(padding, tmp_path):
    model = keras_model(BODIES["stack"]())
    imported = zoo.import_keras(saved(model, tmp_path), INDEX, padding=padding, max_length=9)
    close(probabilities(imported, TEXTS), padded_outputs(model, TEXTS, maxlen=9))
    assert FILLING not in imported.codec.vocabulary


@needs_keras
def test_a_model_that_reads_padding_asks_how_texts_were_padded(tmp_path):
    path = saved(keras_model([L.LSTM(4)], mask_zero=False, length=9), tmp_path)
    any_length = saved(keras_model([L.LSTM(4)], mask_zero=False), tmp_path / "any")
    masked_max = saved(keras_model(MAX["max"]()), tmp_path / "max")
    for file, options, message in (
        (path, dict(), "reads padding.*padding='pre' and max_length=N.*padding='none'"),
        (masked_max, dict(), "reads padding.*padding='none'"),
        (masked_max, dict(padding="pre", max_length=9), "not supported: pass padding='none'.*mask_zero=False"),
        (path, dict(padding="past"), "unknown padding 'past': did you mean 'post'"),
        (any_length, dict(padding="post"), "pass max_length=N as in pad_sequences"),
        (path, dict(padding="post", max_length=8), "input layer reads 9 ids, got max_length=8"),
    ):
        with pytest.raises(ZooError, match=message):
            zoo.import_keras(file, INDEX, **options)


@needs_keras
def test_a_model_that_reads_padding_is_imported_for_texts_without_any(tmp_path):
    for model in (keras_model([L.LSTM(4)], mask_zero=False), keras_model(MAX["max"]())):
        path = saved(model, tmp_path)
        imported = zoo.import_keras(path, INDEX, padding="none")
        alone = torch.cat([keras_outputs(model, [text], steps=None) for text in TEXTS])
        close(probabilities(imported, TEXTS), alone)
        assert not torch.allclose(keras_outputs(model, TEXTS), alone, atol=1e-3)


@needs_keras
@given(text=st.text(st.one_of(st.characters(), st.sampled_from("ab.,'\t !?")), max_size=30))
def test_the_keras_tokenizer_splits_as_keras_does(text):
    from keras.src.legacy.preprocessing.text import text_to_word_sequence

    # Keras treats other white space as letters.
    if not any(c.isspace() and c not in " \t\n" for c in text):
        assert split_keras(text) == text_to_word_sequence(text, lower=False)


@needs_keras
@pytest.mark.parametrize("unknown", [None, "<OOV>"])
@pytest.mark.parametrize("num_words", [None, 9])
def test_raw_texts_are_tokenized_as_keras_does(unknown, num_words, tmp_path):
    from keras.src.legacy.preprocessing.text import Tokenizer

    tokenizer = Tokenizer(num_words=num_words, oov_token=unknown)
    tokenizer.fit_on_texts([" ".join(WORDS[:n]) for n in range(1, len(WORDS))])
    texts = [
        "The film, was NOT (good)!",
        "A wonderful soup; at all? a bad soup!",
        "cold\tfilm -- a film a film the good bad",
    ]
    model = keras_model([L.Bidirectional(L.LSTM(4))])
    index = tmp_path / "index.json"
    index.write_text(json.dumps(tokenizer.word_index))
    imported = zoo.import_keras(saved(model, tmp_path), index, unknown=unknown, num_words=num_words, max_length=6)
    rows = keras.utils.pad_sequences(tokenizer.texts_to_sequences(texts), maxlen=6)
    assert (rows != 0).sum() > 10
    close(probabilities(imported, texts), outputs(model, rows))


@needs_keras
def test_the_shape_of_a_first_batch_does_not_limit_the_length(tmp_path):
    model = keras.Sequential([L.Embedding(ROWS, 5, mask_zero=True), L.LSTM(4), L.Dense(3, activation="softmax")])
    model(np.ones((4, STEPS), dtype="int32"))
    long = "the film was not good at all really a soup cold " * 3
    imported = zoo.import_keras(saved(model, tmp_path), INDEX)
    close(probabilities(imported, [long]), keras_outputs(model, [long], steps=40))


@needs_keras
def test_an_input_layer_of_fixed_length_cuts_longer_texts(tmp_path):
    model = keras_model([L.LSTM(4)], length=3)
    imported = zoo.import_keras(saved(model, tmp_path), INDEX)
    close(probabilities(imported, ["the film was not good at all"]), keras_outputs(model, ["good at all"], steps=3))
    close(probabilities(imported, ["good film"]), keras_outputs(model, ["good film"], steps=3))


@needs_keras
def test_an_imported_model_is_saved_and_trained_like_any_other(tmp_path):
    model = keras_model(BODIES["one way after two"]())
    imported = zoo.import_keras(saved(model, tmp_path), INDEX)
    imported.save_pretrained(tmp_path / "folder")
    again = zoo.from_pretrained(tmp_path / "folder")
    assert again.predict(TEXTS) == imported.predict(TEXTS)
    # Units that only fill up a layer get no gradient.
    inputs = Texts.of([text.split() for text in TEXTS], imported.codec.indexer).inputs(range(len(TEXTS)))
    imported.loss(imported(inputs), torch.tensor([0, 1, 2, 0, 1])).backward()
    filled = 0
    for parameter in imported.backbone.parameters():
        untouched = parameter.flatten(1).abs().sum(1) == 0 if parameter.ndim > 1 else parameter == 0
        filled += int(untouched.sum())
        assert parameter.grad[untouched].abs().sum() == 0
    assert filled


REFUSED = {
    "Conv1D": (lambda: [L.Conv1D(4, 2), L.LSTM(4)], "unsupported kind Conv1D.*GlobalAveragePooling1D.*LSTM"),
    "SimpleRNN": (lambda: [L.SimpleRNN(4)], "unsupported kind SimpleRNN"),
    "SimpleRNN inside": (lambda: [L.Bidirectional(L.SimpleRNN(4))], "wraps the unsupported kind SimpleRNN.*LSTM, GRU"),
    "both cells": (lambda: [L.LSTM(4, return_sequences=True), L.GRU(4)], "LSTM layers or GRU layers, got both"),
    "relu": (lambda: [L.LSTM(4, activation="relu", name="odd")], "'odd': expected activation='tanh', got 'relu'"),
    "hard": (lambda: [L.GRU(4, recurrent_activation="hard_sigmoid")], "recurrent_activation='sigmoid'"),
    "reset before": (lambda: [L.GRU(4, reset_after=False)], "expected reset_after=True, got False"),
    "backwards": (lambda: [L.LSTM(4, go_backwards=True)], "expected go_backwards=False, got True"),
    "sum": (lambda: [L.Bidirectional(L.LSTM(4), merge_mode="sum")], "expected merge_mode='concat', got 'sum'"),
    "no cell": (lambda: [L.GlobalAveragePooling1D()], "expected Embedding -> .*got InputLayer -> Embedding -> Global"),
    "two hidden": (lambda: [L.LSTM(4), L.Dense(2, "relu"), L.Dense(2, "relu")], "at most one Dense layer before"),
    "stateful": (lambda: [L.LSTM(4, stateful=True)], "expected stateful=False, got True"),
    "kept dimension": (
        lambda: [L.LSTM(4, return_sequences=True), L.GlobalAveragePooling1D(keepdims=True)],
        "expected keepdims=False, got True",
    ),
    "mean of features": (
        lambda: [L.LSTM(STEPS, return_sequences=True), L.GlobalAveragePooling1D("channels_first")],
        "expected data_format='channels_last', got 'channels_first'",
    ),
    "tanh": (lambda: [L.LSTM(4), L.Dense(2, "tanh")], "expected activation='relu', got 'tanh'"),
}


@needs_keras
@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_unsupported_layers_and_settings(name, tmp_path):
    body, message = REFUSED[name]
    with pytest.raises(ZooError, match=message):
        zoo.import_keras(saved(keras_model(body(), length=STEPS, batch=1), tmp_path), INDEX)


@needs_keras
def test_a_model_that_is_not_a_chain_is_refused(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    x = L.Embedding(13, 5, mask_zero=True)(ids)
    first, second = L.LSTM(4, name="first")(x), L.LSTM(4, name="second")(x)
    model = keras.Model(ids, L.Dense(1, "sigmoid")(second))
    # Keras does not save a branch that leads to no output.
    zoo.import_keras(saved(model, tmp_path), INDEX)
    states = L.LSTM(4, name="third")(x, initial_state=[first, second])
    model = keras.Model(ids, L.Dense(1, "sigmoid")(states))
    with pytest.raises(ZooError, match="expected a chain, but layer 'second' does not read 'first' alone: embedding"):
        zoo.import_keras(saved(model, tmp_path), INDEX)
    shared, dense = L.LSTM(4, name="shared"), L.Dense(1, "sigmoid")
    model = keras.Model(ids, [dense(shared(x)), dense(shared(x))])
    with pytest.raises(ZooError, match="expected a chain, but layer 'shared' does not read 'embedding.*' alone"):
        zoo.import_keras(saved(model, tmp_path), INDEX)


@needs_keras
def test_a_model_that_reads_a_cell_s_inner_state_is_refused(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    _, _, state = L.LSTM(4, return_state=True)(L.Embedding(13, 5, mask_zero=True)(ids))
    model = keras.Model(ids, L.Dense(1, "sigmoid")(state))
    with pytest.raises(ZooError, match="expected return_state=False, got True"):
        zoo.import_keras(saved(model, tmp_path), INDEX)


@needs_keras
def test_a_head_with_an_unsupported_activation_is_refused(tmp_path):
    for head in ((1, "softmax"), (3, "relu")):
        with pytest.raises(ZooError, match="expected the activation .*sigmoid or linear, got"):
            zoo.import_keras(saved(keras_model([L.LSTM(4)], head), tmp_path), INDEX)


@needs_keras
def test_indices_and_labels_that_do_not_fit_are_refused(tmp_path):
    path = saved(keras_model([L.LSTM(4)]), tmp_path)
    for index, message in (
        ({"a": 1, "b": 1}, "two words with the same one"),
        ({"a": "1"}, "words and ids such as"),
        ({"a": True}, "words and ids such as"),
        (["a"], "words and ids such as"),
        ({"a": 1, "<pad>": 2}, "gives <pad> the id 2, but the name is that of padding"),
        ({"a": -1}, "'a' the id -1, but the model's embedding has 13 rows"),
        ({"a": 0, "b": 13}, "with ids of the model, from 1 to 12, got none"),
        (tmp_path / "absent.json", "expected a JSON file"),
        (path, "expected a JSON file"),
    ):
        with pytest.raises(ZooError, match=message):
            zoo.import_keras(path, index)
    with pytest.raises(ZooError, match="gives <unk> the id 2.*pass unknown='<unk>'"):
        zoo.import_keras(path, {"<OOV>": 1, "<unk>": 2}, unknown="<OOV>")
    ours, numpys = (zoo.import_keras(path, {w: kind(i) for w, i in INDEX.items()}) for kind in (int, np.int64))
    assert ours.predict(TEXTS) == numpys.predict(TEXTS)
    with pytest.raises(ZooError, match="word_index has no '<OOV>'"):
        zoo.import_keras(path, INDEX, unknown="<OOV>")
    with pytest.raises(ZooError, match="has 3 labels, got 2: yes, no"):
        zoo.import_keras(path, INDEX, labels=["yes", "no"])
    with pytest.raises(ZooError, match="'new' the id 13, but the model's embedding has 13 rows"):
        zoo.import_keras(path, INDEX | {"new": 13}, num_words=14)


def rewritten(path, target, config=None, weights=None):
    """The file with its configuration or its weights changed by a function."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json" and config:
                content = json.dumps(config(json.loads(content)))
            if name == "model.weights.h5" and weights:
                buffer = io.BytesIO(content)
                with h5py.File(buffer, "r+") as file:
                    weights(file)
                content = buffer.getvalue()
            out.writestr(name, content)
    return target


@needs_keras
@pytest.mark.parametrize("kind", ["Embedding", "GlobalAveragePooling1D"])
def test_a_second_embedding_or_pooling_is_refused(kind, tmp_path):
    def repeat(config):
        layers = config["config"]["layers"]
        layers.insert(*next((i, layer) for i, layer in enumerate(layers) if layer["class_name"] == kind))
        return config

    path = saved(keras_model(BODIES["mean"]()), tmp_path)
    with pytest.raises(ZooError, match=f"expected Embedding -> .*, got .*{kind} -> {kind}"):
        zoo.import_keras(rewritten(path, tmp_path / "changed.keras", config=repeat), INDEX)


@needs_keras
def test_damaged_and_malicious_files_are_refused(tmp_path):
    path = saved(keras_model([L.LSTM(4)]), tmp_path)
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["0"] = torch.zeros(13, 5).numpy()

    def delete(file):
        del file["layers/lstm/cell/vars/1"]

    def shorten(file):
        del file["layers/dense/vars/1"]
        file["layers/dense/vars/1"] = [1.0]

    def link(file):
        del file["layers/embedding/vars/0"]
        file["layers/embedding/vars/0"] = h5py.ExternalLink(str(secret), "0")

    def store_outside(file):
        del file["layers/embedding/vars/0"]
        file.create_dataset("layers/embedding/vars/0", (13, 5), "f4", external=[(str(secret), 0, 260)])

    def integers(file):
        del file["layers/embedding/vars/0"]
        file["layers/embedding/vars/0"] = torch.zeros(13, 5, dtype=torch.int8).numpy()

    for change, message in (
        (delete, "model.weights.h5 has no layers/lstm/cell/vars/1"),
        (shorten, r"expected weights of shape \(3,\) at layers/dense/vars/1 of model.weights.h5, got \(1,\)"),
        (link, "model.weights.h5 has no layers/embedding/vars/0"),
        (store_outside, "expected floating-point weights at layers/embedding/vars/0"),
        (integers, "expected floating-point weights at layers/embedding/vars/0"),
    ):
        with pytest.raises(ZooError, match=message):
            zoo.import_keras(rewritten(path, tmp_path / "changed.keras", weights=change), INDEX)
    for change in (lambda config: [], lambda config: {**config, "config": {"layers": [{"class_name": "LSTM"}]}}):
        with pytest.raises(ZooError, match="expected a .keras file, got .*model.save"):
            zoo.import_keras(rewritten(path, tmp_path / "changed.keras", config=change), INDEX)
    (tmp_path / "text.keras").write_text("no zip")
    for name in ("text.keras", "absent.keras", "secret.h5"):
        with pytest.raises(ZooError, match=f"expected a .keras file, got .*{name}"):
            zoo.import_keras(tmp_path / name, INDEX)


class LSTMTagger(nn.Module):
    """The tagger of the PyTorch tutorial: one sentence at a time, time first."""

    def __init__(self, words, tags, **options):
        super().__init__()
        self.word_embeddings = nn.Embedding(words, 5)
        self.lstm = nn.LSTM(5, 4, **options)
        self.hidden2tag = nn.Linear(8 if options.get("bidirectional") else 4, tags)

    def forward(self, sentence):  # (T,) -> (T, K)
        x, _ = self.lstm(self.word_embeddings(sentence).view(len(sentence), 1, -1))
        return self.hidden2tag(x.view(len(sentence), -1))


class LSTMClassifier(nn.Module):
    """The usual tutorial classifier: the last hidden state, of both directions where there are two."""

    def __init__(self, words, outputs, **options):
        super().__init__()
        self.embedding = nn.Embedding(words, 5)
        self.lstm = nn.LSTM(5, 4, **options)
        self.fc = nn.Linear(8 if options.get("bidirectional") else 4, outputs)

    def forward(self, text):  # (T,) -> (K,)
        _, (hidden, _) = self.lstm(self.embedding(text)[:, None])
        return self.fc(hidden[-2:, 0].flatten() if self.lstm.bidirectional else hidden[-1, 0])


# The ids of the tutorial start at 0, and there is no padding.
TORCH_INDEX = {word: i for i, word in enumerate(WORDS)}
LSTMS = [dict(), dict(num_layers=3), dict(bidirectional=True), dict(num_layers=2, bidirectional=True)]


def ids_of(text: str) -> torch.Tensor:
    return torch.tensor([TORCH_INDEX[word] for word in text.split() if word in TORCH_INDEX])


@pytest.mark.parametrize("options", LSTMS, ids=str)
def test_the_tutorial_tagger_gives_the_same_scores(options):
    torch.manual_seed(0)
    theirs = LSTMTagger(len(WORDS), 3, **options).eval()
    ours = zoo.import_state_dict(theirs.state_dict(), TORCH_INDEX, {"V": 2, "DET": 0, "N": 1})
    sentences = [[word for word in text.split() if word in TORCH_INDEX] for text in TEXTS]
    scores = ours(Sentences.of(sentences, ours.codec.indexer).inputs(range(len(sentences))))
    for row, (text, sentence) in enumerate(zip(TEXTS, sentences, strict=True)):
        expected = theirs(ids_of(text))
        close(scores[row, : len(sentence)], expected)
        assert ours.predict([sentence]) == [[["DET", "N", "V"][i] for i in expected.argmax(-1)]]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("options", LSTMS, ids=str)
def test_the_tutorial_classifier_gives_the_same_probabilities(options, outputs):
    torch.manual_seed(0)
    theirs = LSTMClassifier(len(WORDS), outputs, **options).eval()
    ours = zoo.import_state_dict(theirs.state_dict(), TORCH_INDEX)
    texts = [*(text.replace(",", "") for text in TEXTS), "soup " * 500 + "was not good"]
    scores = torch.stack([theirs(ids_of(text)) for text in texts]).detach()
    expected = torch.cat([1 - scores.sigmoid(), scores.sigmoid()], 1) if outputs == 1 else scores.softmax(-1)
    close(probabilities(ours, texts), expected)


@pytest.mark.parametrize("options, ids", [(dict(), [2]), (dict(tokenizer="words", lowercase=True), [0, 1])], ids=str)
def test_the_tutorial_classifier_reads_words_by_the_given_options(options, ids):
    torch.manual_seed(0)
    theirs = LSTMClassifier(3, 2).eval()
    ours = zoo.import_state_dict(theirs.state_dict(), {"good": 0, "!": 1, "Good!": 2}, **options)
    close(probabilities(ours, ["Good!"]), theirs(torch.tensor(ids)).softmax(-1)[None].detach())


def test_special_words_keep_their_rows():
    theirs = LSTMClassifier(4, 2)
    index = {"<unk>": 0, "<pad>": 1, "good": 2, "Good": 3}
    ours = zoo.import_state_dict(theirs.state_dict(), index, ["no", "yes"])
    assert list(ours.codec.vocabulary) == ["<pad>", "<unk>", "good", "Good"]
    torch.testing.assert_close(ours.embedding.words.weight[1:], theirs.embedding.weight[[0, 2, 3]])
    assert ours.embedding.words.weight[0].abs().sum() == 0
    chosen = zoo.import_state_dict(theirs.state_dict(), {"good": 1, "bad": 2}, unknown="bad")
    torch.testing.assert_close(chosen.embedding.words.weight[1], theirs.embedding.weight[2])
    without = zoo.import_state_dict(theirs.state_dict(), {"good": 1})
    assert without.embedding.words.weight[1].abs().sum() == 0


def test_only_files_of_tensors_are_read(tmp_path):
    weights = LSTMClassifier(len(WORDS), 2).state_dict()
    save_file(weights, tmp_path / "model.safetensors")
    torch.save(weights, tmp_path / "model.pt")
    expected = zoo.import_state_dict(weights, TORCH_INDEX).predict(TEXTS)
    for name in ("model.safetensors", "model.pt"):
        assert zoo.import_state_dict(tmp_path / name, TORCH_INDEX).predict(TEXTS) == expected
    torch.save(LSTMClassifier(3, 2), tmp_path / "whole.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("whole.pt", "text.pt", "empty.pt", "text.safetensors", "absent.pt"):
        with pytest.raises(ZooError, match=f"expected a file of tensors only.*{name}.*state_dict"):
            zoo.import_state_dict(tmp_path / name, TORCH_INDEX)
    torch.save({"epoch": 3, "net": weights}, tmp_path / "checkpoint.pt")
    with pytest.raises(ZooError, match="expected a state dict"):
        zoo.import_state_dict(tmp_path / "checkpoint.pt", TORCH_INDEX)


def test_parameters_of_another_class_are_named():
    weights = LSTMClassifier(len(WORDS), 2).state_dict()
    head = weights.pop("fc.bias")
    with pytest.raises(ZooError, match="word_embeddings, lstm, hidden2tag or embedding, lstm, fc; fc.bias is missing"):
        zoo.import_state_dict(weights, TORCH_INDEX)
    with pytest.raises(ZooError, match="attention.weight is not expected"):
        zoo.import_state_dict({**weights, "fc.bias": head, "attention.weight": head}, TORCH_INDEX)
    with pytest.raises(ZooError, match="lstm.weight_hr_l0 is not expected"):
        zoo.import_state_dict(LSTMClassifier(3, 2, proj_size=2).state_dict() | {"fc.bias": head}, {"a": 0})
    with pytest.raises(ZooError, match="'soup' the id 10, but the model's embedding has 10 rows"):
        zoo.import_state_dict(LSTMTagger(10, 2).state_dict(), {"a": 1, "soup": 10})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_weights_of_any_precision_are_imported(dtype):
    torch.manual_seed(0)
    weights = {name: value.to(dtype) for name, value in LSTMClassifier(len(WORDS), 2).state_dict().items()}
    rounded = {name: value.float() for name, value in weights.items()}
    ours, same = (zoo.import_state_dict(source, TORCH_INDEX) for source in (weights, rounded))
    assert ours.predict(TEXTS) == same.predict(TEXTS)


@pytest.mark.parametrize(
    "name, shape",
    [("fc.weight", (2, 9)), ("fc.bias", (3,)), ("embedding.weight", (7, 4)), ("embedding.weight", (5,)),
     ("lstm.weight_hh_l0", (16,)), ("lstm.weight_ih_l1", (16, 5)), ("lstm.bias_hh_l0", (15,))],
)  # fmt: skip
def test_weights_that_do_not_fit_each_other_are_named(name, shape):
    weights = LSTMClassifier(len(WORDS), 2, num_layers=2).state_dict() | {name: torch.zeros(shape)}
    with pytest.raises(ZooError, match="expected"):
        zoo.import_state_dict(weights, TORCH_INDEX)


@pytest.mark.parametrize("labels", [{0: "no", 1: "yes"}, {"no": 1, "yes": 2}, {"no": 0, "yes": 0}, ["no"]], ids=str)
def test_labels_that_do_not_number_the_outputs_are_refused(labels):
    with pytest.raises(ZooError, match="the numbers 0 to 1|has 2 labels, got 1: no"):
        zoo.import_state_dict(LSTMClassifier(len(WORDS), 2).state_dict(), TORCH_INDEX, labels)


@pytest.mark.parametrize("source", [LSTMClassifier(len(WORDS), 2), None, 3], ids=["a module", "None", "3"])
def test_other_values_than_state_dicts_are_refused(source):
    with pytest.raises(ZooError, match="pass model.state_dict"):
        zoo.import_state_dict(source, TORCH_INDEX)
