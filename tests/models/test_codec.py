"""Data and model read a text alike, or no training and no evaluation begins."""

from __future__ import annotations

import inspect

import pytest
import pytorch_lightning as pl
import torch

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.errors import DataError
from recipes import sentiment
from recipes.runner.training import train
from zoo.batches.indexers import PairIndexer
from zoo.text import Preprocessor, SentencePieceModel
from zoo.text.reversible import ReversibleTokenizer

QUIET = dict(
    accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, num_sanity_val_steps=0,
    enable_model_summary=False, max_epochs=1, limit_train_batches=1, limit_val_batches=1, limit_test_batches=1,
)  # fmt: skip
TEXTS = ["The cat sat on a mat", "a dog ran away", "an odd one out"]
PIECES = [SentencePieceModel.fit(TEXTS * n, size).serialized for n, size in ((1, 30), (2, 26))]


def swapped(entries):
    """The same entries, the last two of them in each other's place."""
    return [*entries[:-2], entries[-1], entries[-2]]


def classified(**changes):
    data = ClassificationDataModule("sample-spam")
    arguments = dict(vocabulary=data.vocabulary, labels=data.labels, embedding_size=4, hidden_size=4)
    return data, zoo.TextClassifier(**{**arguments, **changes})


def tagged(**changes):
    data = TaggingDataModule("sample-en-ner")
    arguments = dict(words=data.words, characters=data.characters, tags=data.tags, scheme=data.scheme)
    sizes = dict(word_size=4, character_size=4, character_output=4, hidden_size=4, num_layers=1)
    return data, zoo.SequenceTagger(**{**arguments, **sizes, **changes})


def written(**changes):
    data = Seq2SeqDataModule("sample-phrases", tokenizer="words")
    sizes = dict(embedding_size=4, encoder_size=4, decoder_size=4)
    arguments = dict(source_words=data.source_words, tokenizer="words")
    return data, zoo.Seq2Seq(**{**arguments, **sizes, **changes})


# For each task and each name of its codec what the model has otherwise.
SPAM, NER, PHRASES = (make()[0] for make in (classified, tagged, written))
CHANGES = {
    classified: {
        "vocabulary": dict(vocabulary=swapped(SPAM.vocabulary)),
        "labels": dict(labels=swapped(SPAM.labels)),
        "multi_label": dict(multi_label=True),
        "tokenizer": dict(tokenizer="characters"),
        "pieces": dict(tokenizer="sentencepiece", pieces=PIECES[0]),
        "stop_words": dict(stop_words=["the"]),
        "lowercase": dict(lowercase=False),
        "skip_unknown": dict(skip_unknown=True),
        "max_length": dict(max_length=30),
        "truncate": dict(truncate="tail"),
        "start": dict(start=True),
        "fill": dict(fill="before"),
        "empty": dict(empty="nothing"),
        "vector_words": dict(vector_words=["<pad>", "<unk>", "free"], vector_size=2),
    },
    tagged: {
        "words": dict(words=swapped(NER.words)),
        "characters": dict(characters=swapped(NER.characters)),
        "tags": dict(tags=swapped(NER.tags)),
        "scheme": dict(scheme=None),
        "tokenizer": dict(tokenizer="characters"),
        "lowercase": dict(lowercase=False),
        "vector_words": dict(vector_words=["<pad>", "<unk>", "free"], vector_size=2),
    },
    written: {
        "source_words": dict(source_words=swapped(PHRASES.source_words), target_words=PHRASES.source_words),
        "target_words": dict(target_words=swapped(PHRASES.source_words)),
        "tokenizer": dict(tokenizer="characters"),
        "source_pieces": dict(tokenizer="sentencepiece", source_pieces=PIECES[0]),
        "target_pieces": dict(tokenizer="sentencepiece", source_pieces=PIECES[0], target_pieces=PIECES[1]),
        "stop_words": dict(stop_words=["the"]),
        "lowercase": dict(lowercase=True),
        "vector_words": dict(vector_words=["<pad>", "<unk>", "free"], vector_size=2),
        "max_source": dict(max_source=7),
        "max_target": dict(max_target=8),
    },
}
ONE_BY_ONE = [(make, name) for make, changes in CHANGES.items() for name in changes]


@pytest.mark.parametrize("make", CHANGES)
def test_every_name_of_a_codec_is_an_argument_of_the_model_and_is_tried_here(make):
    data, model = make()
    assert set(CHANGES[make]) == set(model.codec) == set(data.codec)
    assert set(model.codec) <= set(inspect.signature(type(model)).parameters)


def test_a_codec_leaves_nothing_out():
    def arguments(kind):
        return set(inspect.signature(kind).parameters)

    assert arguments(Preprocessor) - {"known"} <= set(classified()[1].codec)
    codec = set(written()[1].codec)
    assert arguments(ReversibleTokenizer) - {"sentencepiece_model"} <= codec
    assert arguments(PairIndexer) & {"max_source", "max_target"} <= codec


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
@pytest.mark.parametrize("make, name", ONE_BY_ONE)
def test_what_data_and_model_have_different_is_named(make, name, stage):
    data, model = make(**CHANGES[make][name])
    with pytest.raises(DataError, match=rf"\b{name}\b.* in the data and .* in the model.*data.adopt\(model\)") as told:
        getattr(pl.Trainer(**QUIET), stage)(model, data)
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize("make, name", ONE_BY_ONE)
def test_data_that_follows_a_model_agrees_with_it(make, name):
    data, model = make(**CHANGES[make][name])
    if name == "multi_label":
        pytest.skip("texts with one label each are no data for a model of several")
    data.adopt(model)
    data.check_model(model)
    for attribute in set(model.codec) - {"target_words", "target_pieces"}:
        if hasattr(data, attribute):
            assert getattr(data, attribute) == model.codec[attribute], attribute
    pl.Trainer(**QUIET).fit(model, data)


def test_what_to_type_is_said_and_helps():
    data = ClassificationDataModule("sample-spam", tokenizer="characters", max_length=50, stop_words=None)
    with pytest.raises(DataError) as told:
        data.check_model(zoo.TextClassifier(data.vocabulary, data.labels, hidden_size=4))
    arguments = "tokenizer=data.tokenizer, max_length=data.max_length"
    assert f"zoo.TextClassifier(..., {arguments})" in str(told.value)
    model = zoo.TextClassifier(
        data.vocabulary, data.labels, hidden_size=4, tokenizer=data.tokenizer, max_length=data.max_length
    )
    data.check_model(model)


def test_a_model_that_is_scored_has_the_accuracy_of_its_predictions():
    """A pretrained tagger on another datamodule: once it agrees, `Trainer.test` and `predict` count the same."""
    tagger, data = zoo.from_pretrained("pos-en-ewt"), TaggingDataModule("sample-en")
    with pytest.raises(DataError, match="words has .* entries in the data and .* in the model"):
        pl.Trainer(**QUIET).test(tagger, data)
    data.adopt(tagger)
    trainer = pl.Trainer(**{**QUIET, "limit_test_batches": 1.0})
    (scores,) = trainer.test(tagger, data, verbose=False)
    sentences = data.sentences("test")
    found = tagger.predict([sentence.tokens for sentence in sentences])
    right = [a == b for s, tags in zip(sentences, found, strict=True) for a, b in zip(s.tags, tags, strict=True)]
    assert scores["test/accuracy"] == pytest.approx(sum(right) / len(right))
    assert scores["test/accuracy"] > 0.95


def test_the_tags_of_adopted_data_are_those_of_the_model():
    data, bio = tagged()
    other = TaggingDataModule("sample-en-ner", convert_to="BIOES")
    bioes = zoo.SequenceTagger(
        other.words, other.characters, other.tags, scheme=other.scheme, hidden_size=4, word_size=4, character_output=0
    )
    plain = tagged(scheme=None)[1]
    for model, expected in ((bioes, other), (plain, data), (bioes, other), (bio, data)):
        followed = TaggingDataModule("sample-en-ner")
        followed.adopt(plain)
        followed.adopt(model)
        assert followed.scheme == model.scheme
        assert followed.sentences("dev") == expected.sentences("dev")


def test_a_model_for_another_task_is_refused():
    with pytest.raises(DataError, match="ClassificationDataModule .* SequenceTagger is a model for something else"):
        pl.Trainer(**QUIET).fit(tagged()[1], SPAM)


def test_a_user_s_own_model_is_not_asked():
    class Own(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch, _):
            return self.weight * batch.word_ids.sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    pl.Trainer(**{**QUIET, "limit_val_batches": 0}).fit(Own(), ClassificationDataModule("sample-spam"))


def test_a_recipe_refuses_it_before_it_leaves_anything_behind(tmp_path):
    args = [f"--out={tmp_path / 'run'}", "--model.fill=before", "--trainer.accelerator=cpu"]
    with pytest.raises(DataError, match="leave fill out of a new model .--model.fill."):
        train(sentiment.RECIPE, args, test=True)
    assert not (tmp_path / "run").exists()
