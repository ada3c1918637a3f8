"""Keras files beyond the plain chain: taggers, activations, noise; files of other kinds, damaged and hostile ones."""

from __future__ import annotations

import io
import os
import random
import zipfile

import pytest
import torch
from outcomes import result_or_error

import zoo
from zoo.batches.tagging import Sentences
from zoo.errors import ZooError

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras, which the imported models are made with, is missing")
h5py = pytest.importorskip("h5py")
L = keras.layers

WORDS = "the film was not good bad at all really a soup cold".split()
INDEX = {word: i for i, word in enumerate(WORDS, 1)}  # 0 is padding
TEXTS = ["the film was good", "bad", "not at all a good film really", "the soup was cold really cold", "good good"]


def made(body, *, mask_zero=True, functional=False):
    """A model of random weights, biases among them: an Embedding of 5 features, and these layers."""
    start = keras.Input((None,), dtype="int32")
    stack = [L.Embedding(len(INDEX) + 1, 5, mask_zero=mask_zero), *body]
    if functional:
        x = start
        for layer in stack:
            x = layer(x)
        model = keras.Model(start, x)
    else:
        model = keras.Sequential([start, *stack])
    dice = torch.Generator().manual_seed(0)
    shapes = [weight.shape for weight in model.get_weights()]
    # The weights of noise layers are the states of their random generators.
    model.set_weights(
        [
            torch.randn(shape, generator=dice).numpy() if weight.dtype.kind == "f" else weight
            for shape, weight in zip(shapes, model.get_weights(), strict=True)
        ]
    )
    return model


def saved(model, folder):
    model.save(folder / "model.keras")
    return folder / "model.keras"


def outputs(model, texts, *, padding="post", steps=9) -> torch.Tensor:
    ids = [[INDEX[word] for word in text.split()] for text in texts]
    return torch.as_tensor(
        model(torch.as_tensor(keras.utils.pad_sequences(ids, steps, padding=padding)), training=False)
    ).detach()


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def probabilities(model, texts) -> torch.Tensor:
    return torch.tensor([list(result["probabilities"].values()) for result in model.predict(texts)])


HEADS = {
    "softmax": lambda: [L.Dense(3), L.Activation("softmax")],
    "hidden": lambda: [L.Dense(4), L.Activation("relu"), L.Dropout(0.1), L.Dense(3), L.Activation("softmax")],
    "linear": lambda: [L.Activation("linear"), L.Dense(3), L.Activation("softmax"), L.Activation("linear")],
    "noise": lambda: [L.GaussianNoise(0.5), L.Dense(3), L.AlphaDropout(0.5), L.Activation("softmax")],
}


@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize("head", HEADS)
def test_an_activation_belongs_to_the_dense_layer_before_it(head, functional, tmp_path):
    noise = [L.GaussianDropout(0.5), L.SpatialDropout1D(0.5), L.ActivityRegularization(l2=0.1)]
    model = made([*noise, L.LSTM(4), *HEADS[head]()], functional=functional)
    imported = zoo.import_keras(saved(model, tmp_path), INDEX)
    found = probabilities(imported, TEXTS)
    assert found.std(0).min() > 1e-3
    close(found, outputs(model, TEXTS))


TAGGERS = {
    "lstm": lambda: [L.LSTM(4, return_sequences=True), L.Dense(3, "softmax")],
    "bidirectional stack": lambda: [
        L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.Dropout(0.5),
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
        L.TimeDistributed(L.Dense(3, activation="softmax")),
    ],
    "gru": lambda: [
        L.Bidirectional(L.GRU(4, return_sequences=True)),
        L.TimeDistributed(L.Dense(3)),
        L.Activation("softmax"),
    ],
    "no bias": lambda: [L.GRU(4, return_sequences=True), L.TimeDistributed(L.Dense(3, "softmax", use_bias=False))],
    "scores": lambda: [L.LSTM(4, return_sequences=True), L.Dense(3)],
}


def tag_probabilities(tagger, texts) -> list[torch.Tensor]:
    sentences = [text.split() for text in texts]
    scores = tagger(Sentences.of(sentences, tagger.codec.indexer).inputs(range(len(sentences)))).detach()
    return [scores[row, : len(sentence)] for row, sentence in enumerate(sentences)]


@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize("kind", TAGGERS)
def test_a_tagger_gives_the_probabilities_of_keras(kind, functional, tmp_path):
    model = made(TAGGERS[kind](), functional=functional)
    tagger = zoo.import_keras(saved(model, tmp_path), INDEX, labels=["DET", "N", "V"])
    assert isinstance(tagger, zoo.SequenceTagger)
    tags = tagger.predict(TEXTS)
    for padding in ("pre", "post"):
        expected = outputs(model, TEXTS, padding=padding)
        for row, (scores, text) in enumerate(zip(tag_probabilities(tagger, TEXTS), TEXTS, strict=True)):
            length = len(text.split())
            real = expected[row, :length] if padding == "post" else expected[row, -length:]
            close(scores if kind == "scores" else scores.softmax(-1), real)
            assert tags[row] == [["DET", "N", "V"][i] for i in real.argmax(-1)]
    # There are several tags, so this test does not compare constants.
    assert len({tag for sentence in tags for tag in sentence}) > 1
    assert zoo.from_pretrained(tagger.save_pretrained(tmp_path / "m")).predict(TEXTS) == tags


def test_a_tagger_that_reads_padding_is_imported_if_padding_comes_last(tmp_path):
    one_way, both = made(TAGGERS["lstm"](), mask_zero=False), made(TAGGERS["gru"](), mask_zero=False)
    tagger = zoo.import_keras(saved(one_way, tmp_path), INDEX, padding="post")
    close(tag_probabilities(tagger, TEXTS)[1].softmax(-1), outputs(one_way, TEXTS)[1, :1])
    for padding in ("pre", None):
        with pytest.raises(ZooError, match="reads padding.*padding='none'"):
            zoo.import_keras(tmp_path / "model.keras", INDEX, padding=padding)
    with pytest.raises(ZooError, match="reads padding.*padding='none'"):
        zoo.import_keras(saved(both, tmp_path), INDEX, padding="post")
    tagger = zoo.import_keras(tmp_path / "model.keras", INDEX, padding="none")
    for text, scores in zip(TEXTS, tag_probabilities(tagger, TEXTS), strict=True):
        close(scores.softmax(-1), outputs(both, [text], steps=len(text.split()))[0])


def test_a_tagger_looks_words_up_in_the_case_of_its_index(tmp_path):
    model = made(TAGGERS["lstm"]())
    path = saved(model, tmp_path)
    capitals = {word.title() if word == "soup" else word: i for word, i in INDEX.items()}
    assert zoo.import_keras(path, INDEX).predict(["the Soup"]) == zoo.import_keras(path, INDEX).predict(["the soup"])
    found = tag_probabilities(zoo.import_keras(path, capitals), ["the Soup"])
    close(found[0].softmax(-1), outputs(model, ["the soup"])[0, :2])
    for wrong in ({"max_length": 4}, {"index_from": 3}):
        with pytest.raises(ZooError, match="is a tagger, which reads whole sentences"):
            zoo.import_keras(path, INDEX, **wrong)


def test_errors_name_what_a_tagger_does_not_support(tmp_path):
    lstm = lambda: L.LSTM(4, return_sequences=True)  # noqa: E731
    for body, message in (
        ([L.LSTM(4), L.Activation("relu"), L.Dense(3)], "Activation after a Dense without one, got it after 'lstm"),
        ([L.LSTM(4), L.Dense(3, "relu"), L.Activation("softmax")], "a Dense with activation='relu'"),
        (
            [lstm(), L.TimeDistributed(L.LayerNormalization()), L.Dense(3)],
            "wraps the unsupported kind LayerNorm.*Dense",
        ),
        ([lstm(), L.Dense(4, "relu"), L.Dense(3)], "expected one Dense layer that scores the tags of a token, got 2"),
        ([lstm(), L.Dense(3, "sigmoid")], "expected the activation softmax or linear, got 'sigmoid'"),
        ([lstm(), L.Dense(1, "sigmoid")], "expected the activation softmax over two tags"),
    ):
        with pytest.raises(ZooError, match=message):
            zoo.import_keras(saved(made(body), tmp_path), INDEX)


class Subclassed(keras.Model):
    """A model whose code is its description."""

    def __init__(self, **options):
        super().__init__(**options)
        self.stack = [L.Embedding(13, 5), L.LSTM(4), L.Dense(1)]

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x


def test_errors_name_the_kind_of_other_models_and_files(tmp_path):
    model = Subclassed()
    model(torch.ones(1, 3, dtype=torch.int32))
    with pytest.raises(ZooError, match="of the class 'Subclassed', whose code is not in the file: .*set_weights"):
        zoo.import_keras(saved(model, tmp_path), INDEX)
    functional = made([L.LSTM(4), L.Dense(1)], functional=True)
    derived = type("Derived", (keras.Model,), {})(functional.inputs, functional.outputs)
    with pytest.raises(ZooError, match="of the class 'Derived', whose code"):
        zoo.import_keras(saved(derived, tmp_path), INDEX)
    functional.save(tmp_path / "old.h5")
    functional.save_weights(tmp_path / "only.weights.h5")
    (tmp_path / "exported").mkdir()
    for name, message in (
        ("old.h5", "an HDF5 file, either weights alone or the older format: load it with keras.models.load_model"),
        ("only.weights.h5", "an HDF5 file, either weights alone"),
        ("exported", "a folder, as TensorFlow's SavedModel is"),
    ):
        with pytest.raises(ZooError, match=f"expected a .keras file, got .*{name}: {message}"):
            zoo.import_keras(tmp_path / name, INDEX)


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "model.keras")
    with pytest.raises(ZooError, match="something that is not a file"):
        zoo.import_keras(tmp_path / "model.keras", INDEX)


def test_a_file_that_unpacks_to_more_than_memory_is_refused_before_it_does(tmp_path):
    path = saved(made([L.LSTM(4), L.Dense(1)]), tmp_path)
    with zipfile.ZipFile(path) as archive:
        config, weights = archive.read("config.json"), archive.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "zeros.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights + bytes(50_000_000))
    assert (tmp_path / "zeros.keras").stat().st_size < 100_000
    with pytest.raises(ZooError, match="expected model.weights.h5 of at most .* bytes, unpacked"):
        zoo.import_keras(tmp_path / "zeros.keras", INDEX)
    # HDF5 stores no data for a table with one value everywhere.
    rows = 10**11
    buffer = io.BytesIO(weights)
    with h5py.File(buffer, "r+") as file:
        del file["layers/embedding/vars/0"]
        file.create_dataset("layers/embedding/vars/0", (rows, 5), "f4", chunks=(1000, 5))
    with zipfile.ZipFile(tmp_path / "alike.keras", "w") as archive:
        archive.writestr("config.json", config.replace(b'"input_dim": 13', b'"input_dim": %d' % rows))
        archive.writestr("model.weights.h5", buffer.getvalue())
    with pytest.raises(ZooError, match="layers/embedding/vars/0 .*bytes, nearly all alike"):
        zoo.import_keras(tmp_path / "alike.keras", INDEX)


def test_a_damaged_file_gives_the_same_model_or_a_zoo_error(tmp_path):
    path = saved(made([L.LSTM(4), L.Dense(3, "softmax")]), tmp_path)
    packed = tmp_path / "packed.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    expected = zoo.import_keras(path, INDEX).predict(TEXTS)
    dice, refused = random.Random(0), 0
    mutants = int(os.environ.get("ZOO_MUTANTS", "150"))
    for number in range(mutants):
        whole = bytearray((path if number % 2 else packed).read_bytes())
        for _ in range(dice.choice([1, 1, 4])):
            start = dice.randrange(len(whole))
            end = min(len(whole), start + dice.choice([1, 1, 4, 200]))
            changed = bytes(dice.randrange(256) for _ in range(end - start))
            whole[start:end] = dice.choice([changed, b"", b"[" * 2000])
        (tmp_path / "mutant.keras").write_bytes(whole)
        model = result_or_error(lambda: zoo.import_keras(tmp_path / "mutant.keras", INDEX), ZooError)
        if isinstance(model, ZooError):
            assert "mutant.keras" in str(model), number
            refused += 1
        else:
            assert model.predict(TEXTS) == expected, number
    assert refused > mutants / 2
