"""Users' model classes: saved with the arguments of their own, and loaded as what they are."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, replace

import pytest
import pytorch_lightning as pl
import torch

import zoo
from datamodules import ClassificationDataModule
from zoo import RecurrentOptions
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError
from zoo.hub import pretrained

SIZES = {"hidden_size": 8, "embedding_size": 8}


class Plain(zoo.TextClassifier):
    """Has no arguments of its own."""


class Focal(zoo.TextClassifier):
    """Hands the others on by name."""

    def __init__(self, codec, *, focal: float = 0.0, **rest):
        super().__init__(codec, **rest)
        self.focal = focal


class Fixed(zoo.TextClassifier):
    """Decides some by itself, and takes no others."""

    def __init__(self, codec, focal: float = 0.0):
        super().__init__(codec, **SIZES)
        self.focal = focal


class Decided(zoo.TextClassifier):
    """Decides some by itself, one as its default is, and hands the others on."""

    def __init__(self, codec, *, focal: float = 0.0, **rest):
        super().__init__(codec, embedding_size=8, dropout=0.5, **rest)
        self.focal = focal


class Handing(zoo.TextClassifier):
    """Hands all on by place."""

    def __init__(self, *args, focal: float = 0.0, **rest):
        super().__init__(*args, **rest)
        self.focal = focal


class Popping(zoo.TextClassifier):
    """Takes its own from among the others, and changes its codec on the way."""

    def __init__(self, codec, **rest):
        self_focal = rest.pop("focal", 0.0)
        codec = ClassificationCodec.of(codec)
        super().__init__(replace(codec, labels=["neither", *codec.labels], positive=None), **rest)
        self.focal = self_focal


class Older(zoo.TextClassifier):
    """Written as before Python 3, and with Lightning's way of saving arguments."""

    def __init__(self, codec, focal=0.0, recurrent=None, **rest):
        zoo.TextClassifier.__init__(self, codec, recurrent=recurrent or RecurrentOptions(), **rest)
        self.save_hyperparameters()
        self.focal = focal


class Making(zoo.TextClassifier):
    """Makes its codec by itself."""

    def __init__(self, vocabulary, focal: float = 0.0):
        super().__init__(ClassificationCodec(vocabulary, ["no", "yes"]), **SIZES)
        self.focal = focal


class Nested(Focal):
    """A subclass of a subclass."""

    def __init__(self, *args, names=(), **rest):
        super().__init__(*args, **rest)
        self.names = tuple(names)


CALLS = {
    Plain: SIZES,
    Focal: {"focal": 2.0, **SIZES},
    Fixed: {"focal": 2.0},
    Decided: {"focal": 2.0, "hidden_size": 8},
    Handing: {"focal": 2.0, **SIZES},
    Popping: {"focal": 2.0, **SIZES},
    Older: {"focal": 2.0, "recurrent": RecurrentOptions(zoneout=0.1), **SIZES},
    Making: {"focal": 2.0},
    Nested: {"focal": 2.0, "names": ("a", "b"), **SIZES},
}


@pytest.fixture(scope="module")
def data():
    return ClassificationDataModule("sample-spam")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(pretrained, "MODELS", dict(pretrained.MODELS))
    for model in CALLS:
        zoo.register(model)


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.__name__)
def test_a_subclass_is_loaded_with_its_own_arguments(kind, data, tmp_path):
    model = kind(data.codec.vocabulary if kind is Making else data.codec, **CALLS[kind])
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    texts = ["free prize now", "see you at home"]
    ways = {
        "folder": zoo.from_pretrained(model.save_pretrained(tmp_path / "m")),
        "checkpoint": zoo.from_pretrained(tmp_path / "x.ckpt"),
        "lightning": kind.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True),
        "copy": copy.deepcopy(model),
        "pickle": pickle.loads(pickle.dumps(model)),
    }
    for way, again in ways.items():
        assert type(again) is kind, way
        assert getattr(again, "focal", None) == getattr(model, "focal", None), way
        assert getattr(again, "names", None) == getattr(model, "names", None), way
        assert again.arguments == model.arguments, way
        assert again.predict(texts) == model.predict(texts), way
    # Reports and experiment trackers show it.
    assert "hidden_size" in model.hparams


def test_defaults_of_the_base_model_are_saved_if_the_subclass_accepts_them(data):
    model = Focal(data.codec, **SIZES)
    assert model.arguments == {**zoo.TextClassifier(data.codec, **SIZES).arguments, "focal": 0.0}
    assert Decided(data.codec).arguments.keys() == model.arguments.keys() - {
        "embedding_size",
        "dropout",
    }
    assert Fixed(data.codec).arguments.keys() == {"codec", "focal"}
    recurrent = Older(data.codec, **CALLS[Older]).arguments["recurrent"]
    assert recurrent == asdict(RecurrentOptions(zoneout=0.1))


def test_an_unknown_argument_raises_with_its_name(data):
    for kind in (zoo.TextClassifier, Focal):
        with pytest.raises(TypeError, match="TextClassifier.*'hiden_size'"):
            kind(data.codec, hiden_size=3)
    with pytest.raises(TypeError, match="Fixed.*missing.*'codec'"):
        Fixed()


def test_an_argument_that_json_cannot_represent_is_named(data, tmp_path):
    class WithTable(zoo.TextClassifier):
        def __init__(self, codec, *, table, **rest):
            super().__init__(codec, **rest)

    model = WithTable(data.codec, table=torch.zeros(2), **SIZES)
    with pytest.raises(ZooError, match="argument table of WithTable cannot be saved: .*got a Tensor"):
        model.save_pretrained(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_error_for_an_unregistered_class_says_how_to_register_it(data, tmp_path):
    class Unknown(zoo.TextClassifier):
        pass

    folder = Unknown(data.codec, **SIZES).save_pretrained(tmp_path / "m")
    with pytest.raises(ZooError, match=r"zoo.register\(YourClass\).*'Unknown'"):
        zoo.from_pretrained(folder)
    assert zoo.register(Unknown) is Unknown
    assert type(zoo.from_pretrained(folder)) is Unknown


def test_two_classes_cannot_be_registered_under_one_name(data):
    with pytest.raises(ZooError, match="zoo.models.classifier.TextClassifier already has the name TextClassifier"):
        zoo.register(type("TextClassifier", (zoo.TextClassifier,), {}))
    for wrong in (torch.nn.Linear, "Focal", Focal(data.codec, **SIZES)):
        with pytest.raises(ZooError, match="expected a subclass of one of"):
            zoo.register(wrong)
    again = type("Focal", (zoo.TextClassifier,), {"__module__": Focal.__module__, "__qualname__": "Focal"})
    # The same class may be registered again, as when a notebook's cell runs twice.
    assert zoo.register(again) is again
