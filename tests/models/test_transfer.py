"""What a model takes over from another one with other words and labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from unions import classifier, tagger, translator

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.catalog.origins import SAMPLES
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError
from zoo.hub import fine_tuning
from zoo.models.transfer import transfer
from zoo.text import Vocabulary


def smaller(codec, names: tuple[str, ...]):
    """The codec without every third entry of some vocabularies, and with the others in another order."""
    kept = {}
    for name in names:
        first, rest = getattr(codec, name)[:5], getattr(codec, name)[5:]
        kept[name] = Vocabulary((*first, *(entry for i, entry in enumerate(reversed(rest)) if i % 3)))
    return replace(codec, **kept)


def adapted(model, name, *, labels, codec):
    return fine_tuning.adapted([model], name, labels=labels, codec=codec, arguments={})


MADE = {
    "tagger": (lambda: tagger("sample-en-ner", head="crf", language_model_weight=0.1), ("words", "characters"), "tags"),
    "cnn": (lambda: tagger("sample-en", characters={"encoder": "cnn", "output_size": 4}), ("words",), "tags"),
    "classifier": (lambda: classifier(head_size=3, pooling="mean+attention"), ("vocabulary",), "labels"),
    "translator": (lambda: translator(tie_embeddings=False), ("source_words",), None),
}
EVERY_MODEL = pytest.mark.parametrize("case", MADE)


@pytest.fixture(scope="module")
def made():
    """Each model, with weights that have no zeros."""
    models = {}
    for name, (make, _, _) in MADE.items():
        torch.manual_seed(0)
        model = make()[0].eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        models[name] = model
    return models


@EVERY_MODEL
def test_every_weight_whose_shape_depends_on_the_codec_says_so(case, made):
    _, vocabularies, answers = MADE[case]
    model = made[case]
    codec = smaller(model.codec, vocabularies)
    if answers is not None:
        labels = [*getattr(codec, answers), *(["B-NEW", "I-NEW"] if case == "tagger" else ["new", "newer"])]
        codec = codec.with_labels(labels)
    arguments = {**model.arguments, "codec": codec}
    shapes = {name: tuple(weight.shape) for name, weight in type(model)(**arguments).state_dict().items()}
    for name, weight in model.state_dict().items():
        fields = model.indexed.get(name, ())
        assert (shapes[name] != tuple(weight.shape)) == bool({*fields} & {*vocabularies, answers}), name
        assert tuple(weight.shape[: len(fields)]) == tuple(len(getattr(model.codec, field)) for field in fields), name


@EVERY_MODEL
def test_shared_entries_keep_their_weights_wherever_they_stand(case, made):
    _, vocabularies, _ = MADE[case]
    model = made[case]
    other = adapted(model, "model", labels=None, codec=smaller(model.codec, vocabularies))
    old, new = model.state_dict(), other.state_dict()
    for name, fields in other.indexed.items():
        if name not in new:
            continue
        places = [getattr(model.codec, field).ids(getattr(other.codec, field)) for field in fields]
        # No word may have the id of padding, so `ids` does not find it.
        places = [[0 if row == 0 else place for row, place in enumerate(ids)] for ids in places]
        expected = old[name][torch.tensor(places[0])]
        if len(places) == 2:
            expected = expected[:, torch.tensor(places[1])]
        assert torch.equal(new[name], expected), name
    assert all(torch.equal(new[name], old[name]) for name in old if name not in other.indexed)


def inputs_of(data: TaggingDataModule | ClassificationDataModule, model, rows: int = 4):
    """The inputs of the first sentences or texts of train."""
    if isinstance(data, TaggingDataModule):
        tokens = [sentence.tokens for sentence in data.sentences("train")[:rows]]
        gold = [[model.codec.tags[0]] * len(sentence) for sentence in tokens]
    else:
        tokens = [model.codec.preprocessor(text.text) for text in data.texts("train")[:rows]]
        gold = [[model.codec.labels[0]]] * rows
    return model.codec.dataset(tokens, gold).batch(list(range(rows))).inputs


def test_a_tagger_encodes_known_words_exactly_as_before(made):
    model = made["cnn"]
    old = TaggingDataModule("sample-en")
    dev = str(SAMPLES / "en/dev.conllu")
    data = TaggingDataModule(train=dev, dev=dev, column="xpos", extends=model.codec)
    other = adapted(model, "model", labels=None, codec=data.codec).eval()
    assert len(other.codec.words) > len(model.codec.words) and other.codec.tags != model.codec.tags
    states = []
    for each in (model, other):
        inputs = inputs_of(old, each)
        states.append(each.encode(each.embedding(inputs.forms), inputs.form_ids, inputs.lengths))
    assert torch.equal(*states)
    rows = len(model.codec.words)
    assert torch.equal(other.embedding.words.weight[:rows], model.embedding.words.weight)
    # New rows are neither zero nor copies.
    assert other.embedding.words.weight[rows:].std() > 0.1


def test_a_classifier_encodes_known_words_exactly_as_before(made):
    model = made["classifier"]
    old = ClassificationDataModule("sample-spam")
    data = ClassificationDataModule("sample-topics", extends=model.codec)
    other = adapted(model, "model", labels=None, codec=data.codec).eval()
    assert len(other.codec.vocabulary) > len(model.codec.vocabulary)
    assert torch.equal(*(each.encode(inputs_of(old, each)).vectors for each in (model, other)))


def test_a_translator_scores_known_words_as_before(made):
    model = made["translator"]
    dev = str(SAMPLES / "seq2seq/phrases-dev")
    data = Seq2SeqDataModule(train=dev, dev=dev, source="en", target="de", extends=model.codec)
    other = adapted(model, "model", labels=None, codec=data.codec).eval()
    size = len(model.codec.source_words)
    assert len(other.codec.source_words) > size
    pairs = Seq2SeqDataModule("sample-phrases").pairs("train")[:4]
    scores = []
    for each in (model, other):
        decoded, _, _ = each.follow(each.codec.dataset(pairs).batch(list(range(4))))
        scores.append(each.project(decoded.output)[..., :size])
    assert torch.equal(*scores)


@pytest.mark.parametrize("name", ["pos-en-ewt", "ner-zh-resume", "topic-zh-shopping"])
def test_labels_in_another_order_change_no_prediction(name, capsys):
    model = zoo.from_pretrained(name)
    labels = list(reversed(getattr(model.codec, "tags", None) or model.codec.labels))
    other = zoo.from_pretrained(name, labels=labels)
    told = capsys.readouterr().err
    assert f"All {len(labels)} " in told and f"are those of {name} and keep their weights." in told
    texts = ["I saw her duck. It quacked.", "苹果很脆很甜，物流也快", "王珺珊女士，中国国籍。"]
    if isinstance(model, zoo.SequenceTagger):
        assert other.predict(texts) == model.predict(texts)
        return
    for ours, theirs in zip(other.predict(texts), model.predict(texts), strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)


def test_new_labels_begin_untrained_and_old_ones_keep_their_weights(made, capsys):
    model = made["cnn"]
    labels = ["FRESH", *model.codec.tags[2:5]]
    other = adapted(model, "NAME", labels=labels, codec=None)
    assert torch.equal(other.head.weight[1:], model.head.weight[2:5])
    assert torch.equal(other.head.bias[1:], model.head.bias[2:5])
    lost = len(model.codec.tags) - 3
    assert capsys.readouterr().err == (
        "NAME gives the weights of embedding, backbone and head.\n"
        f"3 of 4 tags are those of NAME and keep their weights, and {lost} of its tags are left out. New tags: FRESH.\n"
    )
    assert other.origin["entries"]["tags"] == {"known": 3, "new": 1, "lost": lost}
    assert other.untrained == ("head.weight", "head.bias")
    # It is a new model, to be trained.
    assert other.training and not model.training


def test_a_part_that_only_one_model_has_is_named(made):
    model = made["tagger"]
    without = {**model.arguments, "language_model_weight": 0.0}
    told = str(transfer(model, zoo.SequenceTagger(**without), "NAME"))
    assert "Left out of NAME: neighbours." in told
    softmax = zoo.SequenceTagger(**{**without, "head": "softmax"})
    told = str(transfer(softmax, zoo.SequenceTagger(**without), "NAME"))
    assert "New and untrained: crf." in told


def test_what_else_the_codecs_differ_in_is_named(made):
    model = made["cnn"]
    other = adapted(model, "NAME", labels=None, codec=replace(model.codec, lowercase=False, normalization=("quotes",)))
    assert other.origin["differences"] == ["lowercase is False here and True there", "normalization"]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"labels": "NOUN"}, "expected labels as a list of names, got one text"),
        ({"codec": ClassificationCodec(["<pad>", "<unk>"], ["a", "b"])}, "choose a model of the same task"),
        ({"labels": ["a", "b"], "codec": ClassificationCodec(["<pad>", "<unk>"], ["a", "b"])}, "either labels or a"),
        ({"labels": ["a", "a"]}, "'a' occurs more than once"),
    ],
    ids=["text", "task", "both", "twice"],
)
def test_what_cannot_be_meant_is_refused(given, message, made):
    with pytest.raises(ZooError, match=message):
        adapted(made["cnn"], "NAME", **{"labels": None, "codec": None, **given})


def test_a_model_with_no_labels_takes_none():
    with pytest.raises(ZooError, match="leave labels out"):
        zoo.from_pretrained("translate-en-de-multi30k", labels=["a"])


def test_an_encoder_that_does_not_fit_is_refused(made):
    model = made["cnn"]
    wider = zoo.SequenceTagger(**{**model.arguments, "hidden_size": 5})
    with pytest.raises(ZooError, match=r"NAME cannot be taken over: its backbone.layers.0.0.weight_ih is of shape \("):
        transfer(model, wider, "NAME")
    vectors = replace(model.codec, vector_words=Vocabulary(("<pad>", "<unk>", "dog")), vector_size=2)
    with pytest.raises(ZooError, match="its embedding.vectors.weight is missing"):
        adapted(model, "NAME", labels=None, codec=vectors)
